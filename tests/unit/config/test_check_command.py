"""``imagegate check``: plain lines, exit status, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.check import check

GOOD = """providers: {s: {type: sandbox}}
organization: {projects: [{name: a, keys: [{name: k, key: env:K_UNSET}]}]}
"""
WARNED = GOOD + "models: {dall-e-3: {targets: [{provider: s}]}}\n"
BAD = "providers: {s: {type: sandbx}}\nrouting: {deadline: soon}\n"


def run(tmp_path: Path, text: str, *options: str) -> Result:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return CliRunner().invoke(check, [str(file), *options])


def test_a_good_file_is_summed_up(tmp_path: Path) -> None:
    result = run(tmp_path, GOOD)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"note: {tmp_path}/c.yaml:2:59: organization.projects[0].keys[0].key: "
        "the environment variable K_UNSET is not set",
        f"ok: {tmp_path}/c.yaml: 1 provider, 1 model, 1 project, 1 key, 0 warnings",
    ]


def test_every_error_is_a_line_that_begins_with_its_place(tmp_path: Path) -> None:
    result = run(tmp_path, BAD)
    assert result.exit_code == 1
    first, second, last = result.stdout.splitlines()
    assert first.startswith(
        f"{tmp_path}/c.yaml:1:23: providers.s.type: there is no provider type 'sandbx'. Did you mean sandbox?"
    )
    assert second.startswith(f"{tmp_path}/c.yaml:2:21: routing.deadline: ")
    assert last == "2 errors: this configuration cannot be used"


def test_warnings_stop_only_a_strict_check(tmp_path: Path) -> None:
    easy, strict = run(tmp_path, WARNED), run(tmp_path, WARNED, "--strict")
    assert (easy.exit_code, strict.exit_code) == (0, 1)
    assert "warning: " in easy.stdout
    assert "dall-e-3 was shut down on 2026-05-12" in easy.stdout
    assert strict.stdout.splitlines()[-1].startswith("refused by --strict: ")


def test_a_strict_check_is_content_without_warnings_though_secrets_are_elsewhere(tmp_path: Path) -> None:
    assert run(tmp_path, GOOD, "--strict").exit_code == 0


def test_packages_that_are_not_installed_are_noted_where_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.extras.find_spec", lambda module: None)
    text = """providers:
  aws: {type: bedrock, region: us-west-2}
  keyed: {type: bedrock, region: us-west-2, api_key: env:PATH}
  cloud: {type: vertex, project: p}
storage: {database: "postgresql+asyncpg://db/imagegate", media: "s3://pictures"}
"""
    result = run(tmp_path, text, "--strict")
    notes = [line for line in result.stdout.splitlines() if "extra" in line]
    assert result.exit_code == 0
    assert [note.removeprefix(f"note: {tmp_path}/c.yaml:").partition(" the extra")[0] for note in notes] == [
        "2:15: providers.aws.type: signed calls to Bedrock need",
        "4:17: providers.cloud.type: calls to Google Cloud without an access_token need",
        "5:21: storage.database: PostgreSQL needs",
        "5:65: storage.media: an S3 bucket needs",
    ]
    assert notes[0].endswith("which is not here: pip install 'imagegate[bedrock]'")
    assert len(json.loads(run(tmp_path, text, "--json").stdout)["missing_extras"]) == 4


def test_json_is_one_object_for_programs(tmp_path: Path) -> None:
    good = json.loads(run(tmp_path, GOOD, "--json").stdout)
    assert good["ok"] is True
    assert (good["providers"], good["models"], good["projects"], good["keys"]) == (
        ["s"],
        ["sandbox"],
        ["a"],
        1,
    )
    assert (len(good["unset"]), good["warnings"], good["problems"]) == (1, [], [])
    bad = json.loads(run(tmp_path, BAD, "--json").stdout)
    assert bad["ok"] is False
    assert [(problem["line"], problem["path"]) for problem in bad["problems"]] == [
        (1, "providers.s.type"),
        (2, "routing.deadline"),
    ]
    strict = run(tmp_path, WARNED, "--json", "--strict")
    assert strict.exit_code == 1
    assert json.loads(strict.stdout)["ok"] is False


@pytest.mark.parametrize("text", [GOOD, WARNED, BAD])
def test_without_a_terminal_there_are_no_colours_and_no_wrapped_lines(tmp_path: Path, text: str) -> None:
    output = run(tmp_path, text).stdout
    assert "\x1b" not in output
    assert all(line.split(": ")[0] for line in output.splitlines())
    assert all(not line.startswith(" ") for line in output.splitlines())


def test_no_color_is_honoured_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run(tmp_path, BAD).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in run(tmp_path, BAD).stdout


def test_without_a_file_the_default_is_checked() -> None:
    result = CliRunner().invoke(check, [])
    assert result.exit_code == 0
    assert "ok: the built-in default: 2 providers" in result.stdout


def test_a_file_that_is_not_there_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(check, [str(tmp_path / "absent.yaml")])
    assert result.exit_code == 1
    assert "absent.yaml:1:1: cannot be read: No such file or directory" in result.stdout
