from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from gateway.cli.migrate import migrate
from gateway.ledger.lock import take_data_folder
from gateway.ledger.migrate import HEAD
from tests.servers import ROOT


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(migrate, ["--config", str(config), *words])


def _schema(data: Path) -> str:
    with sqlite3.connect(data / "imagegate.db") as link:
        (found,) = link.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found)


def test_an_empty_database_gets_this_version_s_schema_and_keeps_it(config: Path) -> None:
    done = run(config)
    assert (done.exit_code, done.stdout) == (
        0,
        f"The database is ready: its schema was none and is {HEAD}.\n",
    )
    assert _schema(config.parent / "data") == HEAD
    again = run(config)
    assert (again.exit_code, again.stdout) == (0, f"The database is ready: its schema is {HEAD}.\n")


def test_the_data_folder_is_the_one_that_serve_would_use(config: Path, tmp_path: Path) -> None:
    assert run(config, "--data", str(tmp_path / "elsewhere")).exit_code == 0
    assert _schema(tmp_path / "elsewhere") == HEAD


def test_a_database_of_a_newer_version_is_left_alone(config: Path) -> None:
    run(config)
    with sqlite3.connect(config.parent / "data" / "imagegate.db") as link:
        link.execute("UPDATE alembic_version SET version_num = '9999'")
    done = run(config)
    assert done.exit_code == 1
    assert "newer imagegate" in done.stderr
    assert _schema(config.parent / "data") == "9999"


def test_beside_a_running_server_it_says_who_has_the_folder(config: Path) -> None:
    lock = take_data_folder(config.parent / "data")
    try:
        done = run(config)
    finally:
        lock.release()
    assert done.exit_code == 1
    assert "is in use by process" in " ".join(done.stderr.replace("│", " ").split())


def test_a_configuration_that_cannot_be_used_is_told_line_by_line(config: Path) -> None:
    config.write_text("providers:\n  a: {type: opnai}\n")
    done = run(config)
    assert done.exit_code == 1
    assert f"{config}:2:" in done.stderr


async def test_on_postgresql_it_waits_for_its_turn_and_does_it_once(
    config: Path, postgres_database: str
) -> None:
    config.write_text(config.read_text() + f'storage: {{database: "{postgres_database}"}}\n')
    # CliRunner swaps the process's streams, so that it cannot run twice at once.
    command = [sys.executable, "-P", "-m", "gateway.cli.main", "migrate", "--config", str(config)]
    started = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        for _ in range(2)
    ]
    said = sorted([(await each.communicate())[0].decode() for each in started])
    assert said == [
        f"The database is ready: its schema is {HEAD}.\n",
        f"The database is ready: its schema was none and is {HEAD}.\n",
    ]
