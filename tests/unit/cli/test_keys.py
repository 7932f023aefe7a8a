"""``imagegate keys`` without a server: the command opens the ledger itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.ledger.keyformat import well_formed
from tests.gateway_process import clean_environment
from tests.servers import ROOT
from tests.unit.cli.conftest import Run, parsed


def test_the_key_is_alone_on_stdout(run: Run) -> None:
    made = run("keys", "create", "--name", "ci", "--project", "growth")
    assert made.exit_code == 0
    assert well_formed(made.stdout.strip())
    assert re.fullmatch(r"sk-ig-\w{49}\n", made.stdout)
    assert "not shown again" in made.stderr
    assert made.stdout.strip() not in made.stderr


def test_a_command_of_its_own_process_prints_nothing_but_json(config: Path, tmp_path: Path) -> None:
    words = ["keys", "create", "--name", "ci", "--project", "growth", "--json", "--config", str(config)]
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *words],
        cwd=ROOT,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert well_formed(json.loads(done.stdout)["key"])
    assert done.stderr == ""


def test_json_holds_the_key_once_and_the_list_never(run: Run) -> None:
    made = parsed(run("keys", "create", "--name", "ci", "--project", "growth", "--expires", "30d", "--json"))
    assert well_formed(made["key"])
    assert made["project_id"] == "proj_growth"
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    listed = run("keys", "list", "--json")
    (key,) = parsed(listed)["keys"]
    assert key == {name: value for name, value in made.items() if name != "key"}
    assert made["key"] not in listed.output


def test_models_narrow_a_key(run: Run) -> None:
    made = parsed(
        run(
            "keys",
            "create",
            "--name",
            "a",
            "--project",
            "art",
            "--model",
            "sandbox",
            "--model",
            "hero",
            "--json",
        )
    )
    assert made["models"] == ["sandbox", "hero"]
    assert made["project_id"] == "art"


def test_the_list_is_for_people_and_is_never_cut(run: Run) -> None:
    name = "a rather long name of a key that a narrow terminal would cut in the middle"
    run("keys", "create", "--name", name, "--project", "growth")
    shown = run("keys", "list").stdout
    assert name in shown
    assert "valid" in shown
    assert re.search(r"sk-ig-\.\.\.\w{4}", shown)


def test_markup_in_a_name_is_only_text(run: Run) -> None:
    run("keys", "create", "--name", "[red]x[/red]", "--project", "growth")
    assert "[red]x[/red]" in run("keys", "list").stdout


def test_revoking_is_said_and_may_be_repeated(run: Run) -> None:
    made = parsed(run("keys", "create", "--name", "ci", "--project", "growth", "--json"))
    first = parsed(run("keys", "revoke", made["id"], "--json"))
    assert first["revoked_at"] is not None
    assert parsed(run("keys", "revoke", made["id"], "--json")) == first
    assert "revoked" in run("keys", "list").stdout
    assert made["id"] in run("keys", "revoke", made["id"]).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("revoke", "key_none"), "no key 'key_none'"),
        (("create", "--name", "x"), "Say which project: growth, art"),
        (("create", "--name", "x", "--project", "grwoth"), "no project 'grwoth'"),
        (("create", "--name", "", "--project", "growth"), "'name' must have"),
        (("create", "--name", "x", "--project", "growth", "--expires", "soon"), "30d or 12h"),
        (("create", "--name", "x", "--project", "growth", "--expires", "9999999d"), "30d or 12h"),
        (("create", "--name", "x", "--project", "growth", "--expires", "0s"), "lies in the past"),
    ],
)
def test_a_mistake_is_told_on_stderr_and_changes_nothing(run: Run, words: tuple[str, ...], said: str) -> None:
    result = run("keys", *words)
    assert result.exit_code != 0
    assert result.stdout == ""
    assert said in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())
    assert parsed(run("keys", "list", "--json")) == {"keys": []}


def test_data_moves_everything_to_a_folder_of_ones_own(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    run("keys", "create", "--name", "x", "--project", "growth", "--data", str(folder))
    assert {path.name for path in folder.iterdir()} >= {"imagegate.db", "secret", "lock"}
    assert not (tmp_path / "data").exists()
    assert len(parsed(run("keys", "list", "--data", str(folder), "--json"))["keys"]) == 1


def test_nothing_in_the_data_folder_is_for_others_to_read(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    run("keys", "create", "--name", "x", "--project", "growth")
    assert [path.name for path in data.iterdir() if path.stat().st_mode & 0o077] == []


def test_reading_needs_no_secret(run: Run, config: Path) -> None:
    config.write_text(config.read_text() + "server: {secret: 'env:SECRET_THAT_IS_NOT_SET'}\n")
    assert parsed(run("keys", "list", "--json")) == {"keys": []}
    refused = run("keys", "create", "--name", "x", "--project", "growth")
    assert refused.exit_code == 1
    assert "SECRET_THAT_IS_NOT_SET" in refused.stderr


def test_a_wrong_configuration_is_told_by_file_and_line(run: Run, config: Path) -> None:
    config.write_text("organisation: {}\n")
    result = run("keys", "list")
    assert result.exit_code == 1
    assert "gateway.yaml:1:1" in result.stderr


def test_without_declared_projects_the_default_one_is_used(run: Run, config: Path) -> None:
    config.write_text("providers: {sandbox: {type: sandbox}}\n")
    assert parsed(run("keys", "create", "--name", "x", "--json"))["project_id"] == "default"
    assert parsed(run("keys", "create", "--name", "x", "--project", "any", "--json"))["project_id"] == "any"


def test_on_postgresql_the_command_opens_the_database_itself(
    postgres_database: str, run: Run, config: Path, tmp_path: Path
) -> None:
    config.write_text(f"{config.read_text()}storage: {{database: '{postgres_database}'}}\n")
    made = parsed(run("keys", "create", "--name", "x", "--project", "growth", "--json"))
    assert [key["id"] for key in parsed(run("keys", "list", "--json"))["keys"]] == [made["id"]]
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"secret"}
