from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.schema import Settings
from config.secrets import SecretMissing
from gateway.ledger.pepper import load_pepper


def settings(secret: str) -> Settings:
    return Settings.model_validate({"server": {"secret": secret}})


def test_a_missing_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    pepper = load_pepper(settings("file:data/secret"), tmp_path)
    path = tmp_path / "data" / "secret"
    assert len(base64.b64decode(pepper)) == 48
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_pepper(settings("file:data/secret"), tmp_path) == pepper
    assert os.listdir(path.parent) == ["secret"]


def test_starts_at_the_same_moment_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: load_pepper(settings("file:secret"), tmp_path), range(32)))
    assert len(found) == 1
    assert os.listdir(tmp_path) == ["secret"]


def test_a_file_that_exists_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("my own\n")
    assert load_pepper(settings("file:secret"), tmp_path) == b"my own"
    (tmp_path / "secret").write_text("")
    with pytest.raises(SecretMissing, match="empty"):
        load_pepper(settings("file:secret"), tmp_path)


def test_an_environment_variable_must_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SecretMissing, match="PEPPER_OF_A_TEST"):
        load_pepper(settings("env:PEPPER_OF_A_TEST"), tmp_path)
    monkeypatch.setenv("PEPPER_OF_A_TEST", "from outside")
    assert load_pepper(settings("env:PEPPER_OF_A_TEST"), tmp_path) == b"from outside"
