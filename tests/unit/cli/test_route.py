"""``imagegate route``: the explanation of where a request goes, offline."""
# ruff: noqa: E501 (a row of a table is one line)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import config
from gateway.cli.main import cli

EXAMPLES = Path(config.__file__).parent / "examples"


def run(example: str, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["route", "--config", str(EXAMPLES / f"{example}.yaml"), *words])
    return done.exit_code, done.output


def explained(example: str, *words: str) -> dict[str, Any]:
    status, text = run(example, "--json", *words)
    assert status == 0, text
    document: dict[str, Any] = json.loads(text)
    return document


def order(document: dict[str, Any]) -> list[str]:
    return [f"{entry['provider']}/{entry['model']}" for entry in document["order"]]


def test_a_plan_stands_by_priority_and_says_why() -> None:
    found = explained("failover", "--model", "gpt-image-2", "--size", "1920x1080")
    assert order(found) == ["azure/img2-prod", "openai/gpt-image-2", "openai/gpt-image-2.5-flare"]
    assert {entry["size"] for entry in found["order"]} == {"1920x1088"}
    assert found["order"][0]["expected_usd"] is not None
    assert (found["rule"], found["denied"], found["select"]) == (None, None, "priority")


def test_a_provider_that_is_down_is_the_last_resort() -> None:
    found = explained("failover", "--model", "gpt-image-2", "--down", "azure")
    assert order(found)[0] == "openai/gpt-image-2"
    assert found["order"][-1]["place"] == "last_resort"


def test_wishes_of_a_project_that_may_not_have_any_are_refused_as_the_gateway_does(tmp_path: Path) -> None:
    file = tmp_path / "wishes.yaml"
    file.write_text(
        "providers: {s: {type: sandbox}, t: {type: sandbox}}\n"
        "models: {gpt-image-2: {targets: [{provider: s}, {provider: t}]}}\n"
        "organization: {projects: [{name: plain}, {name: choosy, providers_header: [exclude]}]}\n"
    )
    words = ["route", "--config", str(file), "--model", "gpt-image-2", "--providers", "-s", "--key-project"]
    refused = CliRunner().invoke(cli, [*words, "plain"])
    assert refused.exit_code == 1
    assert "may not exclude providers" in refused.output
    assert CliRunner().invoke(cli, [*words, "choosy"]).exit_code == 0


def test_callers_wishes_are_followed() -> None:
    found = explained("failover", "--model", "gpt-image-2", "--providers", "-azure")
    assert order(found) == ["openai/gpt-image-2", "openai/gpt-image-2.5-flare"]
    assert found["left_out"][0]["because"] == "excluded"
    assert run("failover", "--model", "gpt-image-2", "--providers", "nobody")[0] == 1


@pytest.mark.parametrize(
    ("words", "rule", "model", "targets"),
    [
        (["--key-project", "clinic"], "patients stay in Europe", "gpt-image-2", ["europe/gpt-image-2"]),
        (["--key-project", "growth", "--resolution", "4K"], "large pictures get the best model", "hero", None),
        (["--key-project", "growth", "--size", "3840x2160"], "large pictures get the best model", "hero", None),
        (["--key-project", "growth", "--spent", "95%"], "nearly out of money", "draft", None),
        (["--key-project", "growth", "--tag", "run=load"], "load tests cost nothing", "rehearsal", ["sandbox/sandbox"]),
        (["--key-project", "growth"], None, "gpt-image-2", ["openai/gpt-image-2", "europe/gpt-image-2"]),
        (["--key-project", "growth", "--key", "batch", "--at", "2026-11-21T12:00"], None, "gpt-image-2", None),
    ],
)  # fmt: skip
def test_the_first_rule_that_fits_decides(
    words: list[str], rule: str | None, model: str, targets: list[str] | None
) -> None:
    found = explained("rules", "--model", "gpt-image-2", "--at", "2026-11-20T12:00", *words)
    assert (found["rule"], found["model"]) == (rule, model)
    assert targets is None or order(found) == targets


def test_a_denial_is_told_with_what_was_passed_over() -> None:
    words = (
        "--model",
        "gpt-image-2",
        "--key-project",
        "growth",
        "--key",
        "batch",
        "--at",
        "2026-11-20T12:00",
    )
    found = explained("rules", *words)
    assert found["denied"].startswith("Batches run from 18:00")
    assert "order" not in found
    assert found["passed"][0] == {"rule": "patients stay in Europe", "unmet": ["project"]}
    status, text = run("rules", *words)
    assert status == 0
    assert "denied: Batches run from 18:00" in text


def test_a_rule_may_lead_to_a_model_that_the_caller_may_not_name(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "providers: {s: {type: sandbox}}\n"
        "models:\n  a: {targets: [{provider: s, model: sandbox}]}\n  b: {targets: [{provider: s, model: sandbox}]}\n"
        "routing: {rules: [{when: {model: a}, model: b}]}\n"
        "organization: {projects: [{name: p, models: [a]}]}\n"
    )
    done = CliRunner().invoke(
        cli, ["route", "--config", str(file), "--key-project", "p", "--model", "a", "--json"]
    )
    assert json.loads(done.output)["model"] == "b"
    refused = CliRunner().invoke(cli, ["route", "--config", str(file), "--key-project", "p", "--model", "b"])
    assert refused.exit_code == 1


def test_targets_with_conditions_and_those_that_lack_something_are_told() -> None:
    found = explained("weighted", "--model", "quick", "--quality", "max")
    assert {(out["provider"], out["because"], out["detail"]) for out in found["left_out"]} == {
        ("trial", "when", "quality")
    }
    assert found["select"] == "fastest"


def test_the_dice_are_the_seeds() -> None:
    first = [order(explained("weighted", "--model", "gpt-image-2", "--seed", str(n)))[0] for n in range(12)]
    again = [order(explained("weighted", "--model", "gpt-image-2", "--seed", str(n)))[0] for n in range(12)]
    assert first == again


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "nobody"], "nobody"),
        (["--model", "gpt-image-2", "--at", "noon"], "--at takes a moment"),
        (["--model", "gpt-image-2", "--tag", "run"], "--tag takes NAME=VALUE"),
        (["--model", "gpt-image-2", "--spent", "most"], "expected a share"),
        (["--model", "gpt-image-2", "--down", "nobody"], "no provider 'nobody'"),
        (["--model", "gpt-image-2", "--size", "huge"], "size"),
    ],
)
def test_what_cannot_be_understood_is_said(words: list[str], said: str) -> None:
    status, text = run("failover", *words)
    assert status == 1
    assert said in text


def test_people_get_a_table() -> None:
    status, text = run("weighted", "--model", "gpt-image-2")
    assert status == 0
    assert "by weight 9" in text
    assert "rule: none fits" in text
