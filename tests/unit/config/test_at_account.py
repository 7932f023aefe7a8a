"""What an account does of what its models can, known before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.catalog import load_catalog
from config.loader import ConfigErrors, load
from config.own_catalog import catalog_of
from gateway.routing.directory import PublicModel, build

PLAIN = """providers:
  local: {{type: openai-compatible, base_url: 'http://127.0.0.1:1/v1', edits: {edits}}}
models:
  own: {{targets: [{{provider: local, model: anything}}]}}
  gpt-image-2: {{targets: [{{provider: local}}]}}
"""
FLUX = """providers:
  azure: {{type: azure-flux, base_url: 'https://r.services.ai.azure.com', api_key: 'env:K'{paths}}}
models:
  drawn: {{targets: [{{provider: azure, model: my-flux, catalog: FLUX.2-pro}}]}}
  flux: {{targets: [{{provider: azure, model: FLUX.2-pro}}]}}
"""


def models(file: Path, text: str) -> dict[str, PublicModel]:
    file.write_text(text)
    settings = load(file, environ={}).settings
    directory = build(settings, catalog_of(settings), {})
    return {name: model for name in directory.names() if (model := directory.get(name)) is not None}


@pytest.mark.parametrize(
    ("edits", "operations"), [("true", ["generations", "edits"]), ("false", ["generations"])]
)
def test_an_account_that_edits_nothing_is_planned_for_nothing_else(
    tmp_path: Path, edits: str, operations: list[str]
) -> None:
    found = models(tmp_path / "c.yaml", PLAIN.format(edits=edits))
    for name in ("own", "gpt-image-2"):
        assert found[name].targets[0].entry.operations == operations


UNKNOWN = """providers:
  cf: {type: cloudflare, account_id: abc, api_key: 'env:K'}
  g: {type: gemini, api_key: 'env:K'}
  o: {type: openai, api_key: 'env:K'}
models:
  cf: {targets: [{provider: cf, model: '@cf/new/model'}]}
  g: {targets: [{provider: g, model: gemini-9-image}]}
  o: {targets: [{provider: o, model: gpt-image-9}]}
  known: {targets: [{provider: g, model: gemini-3-pro-image}]}
"""


def test_of_a_model_that_nobody_describes_it_is_known_how_pictures_reach_it(tmp_path: Path) -> None:
    """Else a link would be planned, and refused when it is to be sent."""
    found = models(tmp_path / "c.yaml", UNKNOWN)
    forms = {name: model.targets[0].entry.inputs.forms for name, model in found.items()}
    assert (forms["cf"], forms["g"], forms["o"]) == (["file"], ["file", "data"], ["file", "url", "data"])
    described = load_catalog().get("gemini-3-pro-image")
    assert described is not None
    assert forms["known"] == described.inputs.forms


def test_a_deployment_without_an_address_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    with pytest.raises(ConfigErrors) as caught:
        models(file, FLUX.format(paths=""))
    (problem,) = map(str, caught.value.problems)
    assert problem.startswith(f"{file}:4:")
    assert "no address for 'my-flux'" in problem
    assert "my-flux: flux-2-pro" in problem
    assert set(models(file, FLUX.format(paths=", paths: {my-flux: flux-2-pro}"))) == {"drawn", "flux"}
