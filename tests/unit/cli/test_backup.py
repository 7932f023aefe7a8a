"""``imagegate backup`` and ``imagegate restore``: beside a server, without one, and in another folder."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from gateway.cli.backup import backup
from gateway.cli.keys import keys
from gateway.cli.restore import restore
from gateway.cli.usage import usage
from gateway.ledger.migrate import HEAD
from gateway.ledger.opening import open_store
from tests.gateway_process import Gateway
from tests.unit.cli.books import order as account
from tests.unit.cli.conftest import CONFIG, parsed
from tests.unit.ledger import released

COMMANDS = {"backup": backup, "restore": restore, "keys": keys, "usage": usage}


def order(config: Path, name: str, *words: str) -> Result:
    return CliRunner().invoke(COMMANDS[name], [*words, "--config", str(config)])


def said(result: Result) -> str:
    return " ".join(result.stderr.replace("│", " ").split())


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The configuration of another folder, where nothing is yet."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "gateway.yaml").write_text(CONFIG)
    return folder / "gateway.yaml"


def with_key(config: Path) -> dict[str, Any]:
    return parsed(order(config, "keys", "create", "--name", "ci", "--project", "growth", "--json"))


def test_without_a_server_the_file_is_copied_and_what_else_belongs_is_named(
    config: Path, tmp_path: Path
) -> None:
    with_key(config)
    done = order(config, "backup", str(tmp_path / "b.db"))
    assert done.exit_code == 0, done.output
    assert f"schema {HEAD}, without calls, 1 keys" in done.stdout
    assert str(tmp_path / "data" / "secret") in done.stdout
    assert str(tmp_path / "data" / "arrears") in done.stdout
    assert str(tmp_path / "data" / "media") in done.stdout
    assert stat.S_IMODE((tmp_path / "b.db").stat().st_mode) == 0o600
    again = order(config, "backup", str(tmp_path / "b.db"))
    assert again.exit_code == 1
    assert "exists" in said(again)


def test_a_database_of_an_older_release_is_copied_as_it_is(config: Path, tmp_path: Path) -> None:
    """So that a backup can be made before the upgrade, with either version."""
    with_key(config)
    with sqlite3.connect(tmp_path / "data" / "imagegate.db") as link:
        link.execute("UPDATE alembic_version SET version_num = '9999'")
    made = parsed(order(config, "backup", str(tmp_path / "b.db"), "--json"))
    assert (made["schema"], made["keys"]) == ("9999", 1)
    refused = order(config, "restore", str(tmp_path / "b.db"), "--data", str(tmp_path / "new"))
    assert refused.exit_code == 1
    assert "newer imagegate" in said(refused)
    assert not (tmp_path / "new" / "imagegate.db").exists(), "as if nothing had been done"


def test_where_there_is_no_ledger_nothing_is_made(config: Path, tmp_path: Path) -> None:
    done = order(config, "backup", str(tmp_path / "b.db"))
    assert done.exit_code == 1
    assert "There is no ledger" in said(done)
    assert not (tmp_path / "data").exists()
    assert "There is no ledger" in said(order(config, "restore"))


def test_a_backup_is_put_in_place_once_with_an_id_of_its_own(
    config: Path, elsewhere: Path, tmp_path: Path
) -> None:
    made = with_key(config)
    order(config, "backup", str(tmp_path / "b.db"))
    without = order(elsewhere, "restore", str(tmp_path / "b.db"))
    assert without.exit_code == 0, without.output
    assert "It knows no calls" in without.stdout
    assert "1 keys that were made here work only with the server.secret of the backup" in said(without)
    over = order(elsewhere, "restore", str(tmp_path / "b.db"))
    assert over.exit_code == 1
    assert "exists" in said(over)
    shutil.copy(tmp_path / "data" / "secret", elsewhere.parent / "data" / "secret")
    listed = parsed(order(elsewhere, "keys", "list", "--json"))["keys"]
    assert [each["id"] for each in listed] == [made["id"]]
    ids = [parsed(order(elsewhere, "restore", "--json"))["id"] for _ in range(2)]
    with sqlite3.connect(tmp_path / "data" / "imagegate.db") as link:
        (original,) = link.execute("SELECT value FROM meta WHERE name = 'instance_id'").fetchone()
    assert len({original, *ids}) == 3, "each time another"


async def _older(folder: Path) -> None:
    store = await open_store("sqlite:///old.db", folder)
    try:
        await store.write(lambda connection: released.make(connection, "0003"))
    finally:
        await store.close()


def test_a_backup_of_an_older_release_is_brought_to_this_version_s_schema(
    elsewhere: Path, tmp_path: Path
) -> None:
    asyncio.run(_older(tmp_path))
    done = parsed(order(elsewhere, "restore", str(tmp_path / "old.db"), "--json"))
    assert (done["schema"], done["keys"], done["open"]) == (HEAD, 1, 2)
    assert done["newest_call"] == "2024-11-08T12:00:00+00:00"
    (elsewhere.parent / "data" / "secret").write_bytes(released.PEPPER)
    again = parsed(order(elsewhere, "restore", "--json"))
    assert again["warning"] is None, "its journal was signed under that secret"
    words = ("--since", "2024-10-01", "--until", "2024-11-30", "--by", "model", "--json")
    (row,) = parsed(order(elsewhere, "usage", *words))["rows"]
    assert (row["cost_nano_usd"], row["unknown_cost"]) == (253_775_000, 3)


def test_a_wal_that_lies_about_is_not_taken_for_the_backups_own(
    config: Path, elsewhere: Path, tmp_path: Path
) -> None:
    with_key(config)
    order(config, "backup", str(tmp_path / "b.db"))
    data = elsewhere.parent / "data"
    data.mkdir()
    (data / "imagegate.db-wal").write_text("of the database that was lost")
    done = order(elsewhere, "restore", str(tmp_path / "b.db"))
    assert done.exit_code == 1
    assert "imagegate.db-wal exists" in said(done)


def test_another_servers_secret_is_noticed(config: Path, elsewhere: Path, tmp_path: Path) -> None:
    with_key(config)
    given = account(config, "credit", "--scope", "project:growth", "--usd", "5", "--reason", "r")
    assert given.exit_code == 0, given.output
    order(config, "backup", str(tmp_path / "b.db"))
    with_key(elsewhere)
    (elsewhere.parent / "data" / "imagegate.db").unlink()
    done = order(elsewhere, "restore", str(tmp_path / "b.db"))
    assert done.exit_code == 0, done.output
    assert "signed under another server.secret" in said(done)


def test_on_postgresql_backup_names_its_tools_and_restore_takes_no_file(
    postgres_database: str, tmp_path: Path
) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG + f'storage: {{database: "{postgres_database}"}}\n')
    refused = order(config, "backup", str(tmp_path / "b.db"))
    assert refused.exit_code == 1
    assert "pg_dump" in said(refused)
    (tmp_path / "b.db").touch()
    assert "pg_restore" in said(order(config, "restore", str(tmp_path / "b.db")))
    assert parsed(order(config, "restore", "--json"))["schema"] == HEAD


def test_beside_a_running_server_the_backup_is_made_by_it_and_its_keys_work_where_it_is_restored(
    start_gateway: Callable[..., Gateway], config: Path, elsewhere: Path, tmp_path: Path
) -> None:
    """The whole way: calls, a backup beside the server, a new folder, the same usage, the same key, and a
    limit that has counted what the backup knows."""
    text = CONFIG.replace("id: proj_growth", "id: proj_growth\n      limits: [{images: 3, per: total}]")
    for path in (config, elsewhere):
        path.write_text(text)
    gateway = start_gateway(text)
    key = parsed(
        order(config, "keys", "create", "--name", "c", "--project", "growth", "--json",
              "--data", str(gateway.data))
    )["key"]  # fmt: skip

    def ask(base_url: str) -> httpx.Response:
        body = {"model": "sandbox", "prompt": "a kite", "size": "1024x1024"}
        return httpx.post(
            f"{base_url}/v1/images/generations", json=body, timeout=60, trust_env=False,
            headers={"authorization": f"Bearer {key}"},
        )  # fmt: skip

    assert [ask(gateway.base_url).status_code for _ in range(2)] == [200, 200]
    told = {"total": {"images": 0}}
    until = time.monotonic() + 30
    while told["total"]["images"] < 2 and time.monotonic() < until:  # the last row follows the answer
        told = parsed(order(config, "usage", "--json", "--data", str(gateway.data)))
    beside = order(config, "backup", str(tmp_path / "b.db"), "--data", str(gateway.data), "--json")
    made = parsed(beside)
    assert (made["path"], made["keys"]) == (str(tmp_path / "b.db"), 1)
    busy = order(config, "restore", str(tmp_path / "b.db"), "--data", str(gateway.data))
    assert "is in use by process" in said(busy)
    assert ask(gateway.base_url).status_code == 200
    assert ask(gateway.base_url).status_code == 429
    secret = (gateway.data / "secret").read_bytes()
    gateway.stop()

    restored = parsed(order(elsewhere, "restore", str(tmp_path / "b.db"), "--json"))
    assert restored["newest_call"] == made["newest_call"]
    assert (restored["open"], restored["keys"]) == (0, 1)
    data = elsewhere.parent / "data"
    (data / "secret").write_bytes(secret)
    assert parsed(order(elsewhere, "usage", "--json"))["rows"] == told["rows"]
    again = start_gateway(text, data=data)
    assert ask(again.base_url).status_code == 200, "the backup knows of two"
    refused = ask(again.base_url)
    assert refused.status_code == 429
    assert json.loads(refused.text)["error"]["code"] == "rate_limit_exceeded"
