"""``imagegate media``: links taken back, old pictures removed, beside a server or without one."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from config.loader import load
from gateway.cli.media import media
from gateway.media.store import MediaStore, open_media
from tests.unit.media.shelves import chunks_of

SECRET = b"secret of the tests"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").write_bytes(SECRET + b"\n")
    (tmp_path / "gateway.yaml").write_text("providers: {sandbox: {type: sandbox}}\n")
    return tmp_path


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(media, [*words, "--config", str(home / "gateway.yaml")])


def kept(home: Path, request: str, count: int = 1) -> list[str]:
    loaded = load(home / "gateway.yaml")

    async def put() -> list[str]:
        store = open_media(loaded.settings, loaded.base, SECRET)
        ids = [(await store.put(chunks_of(b"x"), "png", request_id=request)).id for _ in range(count)]
        await store.aclose()
        return ids

    return asyncio.run(put())


def left(home: Path) -> set[str]:
    return {path.name for path in (home / "data" / "media").rglob("*.png")}


def test_a_link_and_an_id_are_revoked(home: Path) -> None:
    one, two, three = kept(home, "req_1", 3)
    loaded = load(home / "gateway.yaml")
    store: MediaStore = open_media(loaded.settings, loaded.base, SECRET)
    link = store.url(one, "https://images.example/gateway", now=datetime.now(UTC))
    done = run(home, "revoke", link, two, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"removed": [one, two]}
    assert left(home) == {three}


def test_all_pictures_of_a_request_are_revoked_and_no_others(home: Path) -> None:
    kept(home, "req_1", 3)
    (other,) = kept(home, "req_2")
    assert run(home, "revoke", "req_1").stdout == "3 removed.\n"
    assert left(home) == {other}
    again = run(home, "revoke", "req_1")
    assert (again.exit_code, again.stdout) == (1, "Nothing was there to remove.\n")


def test_what_names_nothing_is_refused(home: Path) -> None:
    done = run(home, "revoke", "../../etc/passwd")
    assert done.exit_code == 2
    assert "is no link to a picture" in done.output


def test_a_sweep_tells_what_it_did(home: Path) -> None:
    old, young = kept(home, "req_1", 2)
    os.utime(home / "data" / "media" / old[:2] / old, (0, 0))
    done = run(home, "sweep", "--json")
    assert json.loads(done.stdout) == {"removed": 1, "freed": 1, "early": 0, "left": 1, "held": 1}
    assert left(home) == {young}
    assert run(home, "sweep").stdout.startswith("0 removed (0 bytes)")


def test_without_the_servers_secret_nothing_is_made_or_removed(home: Path) -> None:
    (home / "data" / "secret").unlink()
    done = run(home, "revoke", "req_1")
    assert done.exit_code == 1
    assert "cannot be read" in done.output
    assert list((home / "data").iterdir()) == []
