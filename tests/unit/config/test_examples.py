"""Examples and documentation say what the code does."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import jsonschema
import pytest

import config
from config.json_schema import document
from config.json_schema import render as rendered_schema
from config.loader import ConfigErrors, load
from config.nodes import plain
from config.reference import renewed
from config.yaml12 import read

PACKAGE = Path(config.__file__).parent
TODAY = date(2026, 11, 20)
"""Prices grow old and models are shut down, in the examples as elsewhere."""
EXAMPLES = sorted((PACKAGE / "examples").glob("*.yaml"))
DOCUMENT = PACKAGE.parent / "docs" / "configuration.md"


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES} >= {"openai", "azure", "compatible", "team"}


@pytest.mark.parametrize("path", [*EXAMPLES, PACKAGE / "default.yaml"], ids=lambda path: path.stem)
def test_an_example_can_be_used_as_it_is(path: Path) -> None:
    assert load(path, environ={}, today=TODAY).warnings == []


@pytest.mark.parametrize("path", [*EXAMPLES, PACKAGE / "default.yaml"], ids=lambda path: path.stem)
def test_an_editor_finds_no_fault_in_an_example(path: Path) -> None:
    jsonschema.validate(plain(read(path.read_bytes(), path.name)), document())


def test_an_editor_finds_a_slip_of_the_pen() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"servr": {}}, document())


def test_the_team_example_is_made_of_several_files() -> None:
    result = load(PACKAGE / "examples" / "team.yaml", environ={})
    assert [project.name for project in result.settings.organization.projects] == ["brand", "growth"]
    assert len(result.files) == 3


def test_the_schema_for_editors_is_fresh() -> None:
    """Renew it with: python -m config.json_schema"""
    assert (PACKAGE / "schema.json").read_text(encoding="utf-8") == rendered_schema()


def test_the_tables_of_settings_are_fresh() -> None:
    """Renew them with: python -m config.reference docs/configuration.md"""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == renewed(text)


def test_every_setting_is_documented() -> None:
    """Straight from the schema, so that a fault of the tables' maker cannot hide a setting."""
    text = DOCUMENT.read_text(encoding="utf-8")
    schema = document()
    for definition in [schema, *schema["$defs"].values()]:
        for name, written in definition.get("properties", {}).items():
            is_section = (
                "$ref" in written and "properties" in schema["$defs"][written["$ref"].rsplit("/", 1)[-1]]
            )
            shown = rf"### `([^`]+\.)?{name}`" if is_section else rf"\| `{name}` \|"
            assert re.search(shown, text), (
                f"docs/configuration.md says nothing of {definition['title']}.{name}"
            )
            assert is_section or written.get("description"), (
                f"{definition['title']}.{name} has no description"
            )


def test_the_documented_example_can_be_used(tmp_path: Path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[0]
    (tmp_path / "imagegate.yaml").write_text(example)
    assert load(tmp_path / "imagegate.yaml", environ={}, today=TODAY).warnings == []


def test_the_documented_refusal_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("imagegate.yaml").write_text(
        "providers: {openai: {type: openai}}\nmodels:\n  gpt-image-2:\n    targets: [{provider: opnai}]\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        load(Path("imagegate.yaml"))
    assert str(caught.value) in DOCUMENT.read_text(encoding="utf-8")


def test_the_schema_is_json_that_names_itself() -> None:
    schema = json.loads(rendered_schema())
    assert schema["title"] == "imagegate configuration"
    assert "$id" not in schema
