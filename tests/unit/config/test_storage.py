"""The data folder moves what is kept in it, and nothing that was put elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.schema import Settings
from config.secrets import SecretMissing, SecretRef
from config.server import ServerSettings
from config.storage import Bucket, database_url, media_place, with_data_folder
from config.storage_settings import StorageSettings


def test_the_data_folder_takes_database_and_secret_along(tmp_path: Path) -> None:
    moved = with_data_folder(Settings(), tmp_path)
    assert moved.storage.data == str(tmp_path)
    assert moved.storage.database == f"sqlite:///{tmp_path}/imagegate.db"
    assert moved.server.secret.source == f"{tmp_path}/secret"
    assert moved.storage.media == f"file:{tmp_path}/media"


def test_what_was_set_stays(tmp_path: Path) -> None:
    settings = Settings(
        server=ServerSettings(secret=SecretRef("env:PEPPER")),
        storage=StorageSettings(database="postgresql+asyncpg://u@h/d", media="s3://bucket/there"),
    )
    moved = with_data_folder(settings, tmp_path)
    assert moved.server == settings.server
    assert moved.storage == settings.storage.model_copy(update={"data": str(tmp_path)})


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    first = with_data_folder(Settings(), Path("/srv/one"))
    moved = with_data_folder(first, tmp_path)
    assert moved.storage.data == str(tmp_path)
    assert moved.storage.database == f"sqlite:///{tmp_path}/imagegate.db"


def test_a_relative_folder_starts_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert with_data_folder(Settings(), Path("d")).storage.data == str(tmp_path / "d")


def test_other_settings_are_not_touched(tmp_path: Path) -> None:
    settings = Settings(server=ServerSettings(port=1))
    assert with_data_folder(settings, tmp_path).server.port == 1
    assert settings.storage.data == "data"


def test_a_database_address_may_come_from_a_variable_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgresql+asyncpg://u:p@h/d\n")
    for written, expected in (
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("env:DSN", "postgresql+asyncpg://u:p@h/e"),
        ("file:dsn", "postgresql+asyncpg://u:p@h/d"),
    ):
        settings = Settings(storage=StorageSettings(database=written))
        assert database_url(settings, tmp_path, {"DSN": "postgresql+asyncpg://u:p@h/e"}) == expected
    with pytest.raises(SecretMissing, match="NOBODY is not set"):
        database_url(Settings(storage=StorageSettings(database="env:NOBODY")), tmp_path, {})


def test_media_lie_in_a_folder_or_a_bucket(tmp_path: Path) -> None:
    assert media_place("file:data/media", tmp_path) == tmp_path / "data/media"
    assert media_place("file:/srv/media", tmp_path) == Path("/srv/media")
    assert media_place("s3://pictures", tmp_path) == Bucket("pictures", "")
    assert media_place("s3://pictures/a/b/", tmp_path) == Bucket("pictures", "a/b")
    for wrong in ("data/media", "file:", "s3://", "s3://A", "gs://bucket", "https://bucket"):
        with pytest.raises(ValueError, match="expected file:FOLDER or s3://BUCKET/PREFIX"):
            media_place(wrong, tmp_path)
