"""``imagegate estimate`` and ``imagegate models``: offline, from a configuration alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from gateway.cli.estimate import estimate
from gateway.cli.models import models

CONFIG = """
providers:
  openai: {type: openai, api_key: "env:A_KEY_THAT_IS_NOT_SET"}
  sandbox: {type: sandbox}
models:
  gpt-image-2: {targets: [{provider: openai}, {provider: openai, model: gpt-image-1.5}]}
  sandbox: {targets: [{provider: sandbox}]}
normalization: {legacy_models: gpt-image-2}
organization:
  limits: [{spend_usd: 5, per: day}]
  projects:
    - {name: Growth, id: proj_growth, models: [sandbox], limits: [{images: 3, per: minute}]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


def run(command: Any, config: Path, *words: str) -> Result:
    # Wide enough that no table is cut.
    return CliRunner(env={"COLUMNS": "220"}).invoke(command, ["--config", str(config), *words])


def document(command: Any, config: Path, *words: str) -> dict[str, Any]:
    result = run(command, config, *words, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_table_tells_each_target_and_each_limit(config: Path) -> None:
    result = run(
        estimate, config, "--model", "gpt-image-2", "--size", "1920x1080", "--quality", "hd", "--n", "2"
    )
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[1][:4] == ["openai/gpt-image-2", "2", "1920x1088", "step"]
    assert rows[2][:4] == ["openai/gpt-image-1.5", "2", "1536x1024", "nearest"]
    assert "quality hd → high" in result.stdout
    assert rows[-1][:4] == ["organization", "spend_usd", "day", "5"]
    assert rows[1][-1] == f"${rows[-1][-1]}", "what is held is what the limit needs"


def test_json_is_what_a_dry_run_answers(config: Path) -> None:
    found = document(
        estimate, config, "--model", "gpt-image-2", "--aspect-ratio", "16:9", "--resolution", "2K"
    )
    assert (found["estimated"], found["provider"]) == (True, "openai")
    assert found["plan"][0]["request"]["size"] == "2560x1440"
    assert found["limits"]["admitted"] is None, "nobody knows offline what is left"
    (limit,) = found["limits"]["applying"]
    assert (limit["scope"], limit["limit"], limit["needed"]) == ("organization", "5", found["held"]["usd"])


def test_an_edit_is_priced_with_its_pictures(config: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (1024, 1024)).save(out, "PNG")
    (tmp_path / "in.png").write_bytes(out.getvalue())
    words = ("--model", "gpt-image-2", "--size", "1024x1024", "--quality", "low")
    edit = document(estimate, config, *words, "--image", str(tmp_path / "in.png"))
    assert edit["plan"][0]["inputs"] == {"images": 1}
    assert [part["type"] for part in edit["components"]] == ["input", "input", "output"]
    assert edit["components"][1]["quantity"] == 1024
    plain = document(estimate, config, *words)
    assert edit["held"]["micros"] > plain["held"]["micros"]


def test_a_project_has_its_models_and_limits(config: Path) -> None:
    found = document(estimate, config, "--model", "sandbox", "--key-project", "Growth", "--n", "2")
    assert [limit["scope"] for limit in found["limits"]["applying"]] == ["organization", "project"]
    assert found["limits"]["applying"][1]["needed"] == 2
    assert found["total_cost_micros"] == 0
    assert found["components"] == []
    refused = run(estimate, config, "--model", "gpt-image-2", "--key-project", "proj_growth")
    assert refused.exit_code == 1
    assert "may not use the model 'gpt-image-2'" in " ".join(refused.output.replace("│", " ").split())
    nobody = run(estimate, config, "--model", "sandbox", "--key-project", "Nobody")
    assert nobody.exit_code == 1
    assert "Growth" in nobody.output


@pytest.mark.parametrize(
    "words",
    [
        ("--model", "nope"),
        ("--model", "gpt-image-2", "--size", "huge"),
        ("--model", "gpt-image-2", "--size", "1920x1080", "--strict"),
        ("--model", "gpt-image-2", "--field", "qualty=low"),
        ("--model", "gpt-image-2", "--field", "seed"),
    ],
)
def test_what_would_be_refused_is_refused_with_the_reason(config: Path, words: tuple[str, ...]) -> None:
    result = run(estimate, config, *words)
    assert result.exit_code == 1
    assert "Error" in result.output
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)


def test_any_field_can_be_given(config: Path) -> None:
    found = document(
        estimate, config, "--model", "dall-e-3", "--field", "style=vivid", "--field", "stream=true"
    )
    assert found["model"] == "gpt-image-2"
    changed = {each["field"]: each["how"] for each in found["plan"][0]["adjustments"]}
    assert changed["model"] == "mapped"
    assert changed["style"] == "dropped"
    assert found["plan"][0]["request"]["stream"] is True


def test_a_wrong_configuration_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("providers: {a: {type: nothing}}")
    for command, words in ((estimate, ("--model", "x")), (models, ())):
        result = run(command, tmp_path / "bad.yaml", *words)
        assert result.exit_code == 1
        assert "bad.yaml:1" in result.output


def test_the_models_are_listed_with_sizes_and_prices(config: Path) -> None:
    result = run(models, config)
    assert result.exit_code == 0
    assert "gpt-image-2" in result.stdout
    assert "8,294,400 pixels" in result.stdout
    assert "$30.00 per million tokens out" in result.stdout
    assert "free" in result.stdout
    narrow = document(models, config, "--key-project", "Growth")
    assert [model["id"] for model in narrow["data"]] == ["sandbox"]


def test_one_model_is_told_with_its_targets_and_sources(config: Path) -> None:
    result = run(models, config, "gpt-image-2")
    assert result.exit_code == 0
    assert "openai/gpt-image-1.5" in result.stdout
    assert "2026-11-20" in result.stdout
    found = document(models, config, "gpt-image-2")
    assert [target["model"] for target in found["targets"]] == ["gpt-image-2", "gpt-image-1.5"]
    assert found["schema"]["edits"]["properties"]["n"]["maximum"] == 10
    missing = run(models, config, "nope")
    assert missing.exit_code == 1
    assert "gpt-image-2" in missing.output
