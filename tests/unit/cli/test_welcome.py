"""What ``imagegate serve`` says at its start must be true of the configuration that it was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loader import load
from gateway.app.gateway import open_gateway
from gateway.cli.welcome import FIRST_KEY, first_key, welcome

ADDRESS = "http://127.0.0.1:1"
REMOTE = "providers: {one: {type: openai-compatible, base_url: 'http://127.0.0.1:9/v1'}}\n"
REMOTE += "models: {picture: {targets: [{provider: one}]}}\n"
BOX = "providers: {box: {type: sandbox}}\nmodels: {draw: {targets: [{provider: box, model: sandbox}]}}\n"


async def said(folder: Path, config: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """What is printed, and the projects of the stored keys."""
    (folder / "gateway.yaml").write_text(config)
    loaded = load(folder / "gateway.yaml")
    data = loaded.base / loaded.settings.storage.data
    data.mkdir(parents=True, exist_ok=True)
    async with open_gateway(loaded) as gateway:
        key = await first_key(gateway, data)
        welcome(gateway, loaded, ADDRESS, key, embedded=False)
        assert (data / FIRST_KEY).exists() == (key is not None)
        return capsys.readouterr().out, [record.project_id for record in await gateway.ledger.keys.list()]


async def test_the_snippet_draws_with_a_model_that_is_there_and_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed, projects = await said(tmp_path, BOX, capsys)
    assert '{"model": "draw", ' in printed
    assert projects == ["default"]


async def test_without_a_free_model_the_snippet_calls_no_provider(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed, _ = await said(tmp_path, REMOTE, capsys)
    assert f"curl -s {ADDRESS}/v1/models " in printed
    assert "/images/" not in printed


async def test_the_first_key_does_not_escape_the_limits_of_the_declared_project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, projects = await said(tmp_path, BOX + "organization: {projects: [{name: growth}]}\n", capsys)
    assert projects == ["growth"]


async def test_of_several_projects_the_operator_says_whose_the_first_key_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed, projects = await said(
        tmp_path, BOX + "organization: {projects: [{name: growth}, {name: brand}]}\n", capsys
    )
    assert projects == []
    assert "imagegate keys create --name NAME --project PROJECT --config" in printed
