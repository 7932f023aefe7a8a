"""What ``imagegate doctor`` asks is free of charge at every provider, and tells a wrong key."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from config.catalog import load_catalog
from config.loader import load
from gateway.cli.examination import Examined, Level, examine
from gateway.routing import directory
from tests.conformance.stand import Stand
from tests.conformance.stands import STANDS

_SILENT = {"openrouter", "sandbox"}
"""They say nothing of the key."""


async def looked_at(stand: Stand, folder: Path, key: str | None = None) -> Examined:
    async with stand.upstream() as upstream:
        file, secret = folder / "c.yaml", folder / "key"
        secret.write_text(key or stand.key(upstream))
        account = stand.account(upstream, "KEY").replace("env:KEY", "file:key")
        (bench, *_) = stand.benches
        described = f', catalog: "{bench.catalog}"' if bench.catalog else ""
        target = f'{{provider: it, model: "{bench.model}"{described}}}'
        file.write_text(f"providers: {{it: {{{account}}}}}\nmodels: {{m: {{targets: [{target}]}}}}\n")
        loaded = load(file)
        models = directory.build(loaded.settings, load_catalog(), {})
        (found,) = await examine(loaded.settings, models, base=folder, today=date(2026, 11, 20))
        assert list(stand.calls(upstream)) == [], "it bought a picture"
        return found


@pytest.mark.parametrize("type", STANDS)
async def test_an_account_that_is_there_is_found_to_be(type: str, tmp_path: Path) -> None:
    found = await looked_at(STANDS[type], tmp_path)
    assert found.reachable
    assert found.key_accepted is (None if type in _SILENT else True)
    assert [each for each in found.findings if each.level is Level.ERROR] == []
    assert "the provider does not list it" not in [each.text for each in found.findings]
    assert len(found.targets) == 1


@pytest.mark.parametrize("type", [type for type in STANDS if type not in _SILENT])
async def test_a_key_that_is_refused_is_an_error(type: str, tmp_path: Path) -> None:
    found = await looked_at(STANDS[type], tmp_path, key="wrong-key-0123456789abcdef")
    assert (found.reachable, found.key_accepted) == (True, False)
    (error,) = [each for each in found.findings if each.level is Level.ERROR]
    assert "refused" in error.text
    assert "wrong-key" not in error.text
