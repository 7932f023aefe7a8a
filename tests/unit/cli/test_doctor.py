"""``imagegate doctor``: what is said of accounts, models, prices and dates, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from config.loader import load
from config.own_catalog import catalog_of
from gateway.cli.examination import Finding, Level, examine
from gateway.cli.main import cli
from gateway.routing import directory
from tests.simulators.openai_upstream import Upstream

TODAY = date(2026, 11, 20)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


def written(
    tmp_path: Path, upstream: Upstream, models: str = "gpt-image-2: {targets: [{provider: o}]}"
) -> Path:
    file = tmp_path / "c.yaml"
    (tmp_path / "key").write_text(upstream.key)
    account = f'{{type: openai, base_url: "{upstream.base_url}", api_key: "file:key"}}'
    file.write_text(f"providers: {{o: {account}}}\nmodels: {{{models}}}\n")
    return file


async def run(file: Path, *words: str) -> Result:
    """In a thread, since the upstream runs in this one."""
    return await asyncio.to_thread(CliRunner().invoke, cli, ["doctor", "--config", str(file), *words])


async def found(file: Path, today: date = TODAY) -> list[Finding]:
    loaded = load(file)
    models = directory.build(loaded.settings, catalog_of(loaded.settings), {})
    (account,) = await examine(loaded.settings, models, base=loaded.base, today=today)
    return [each for each in account.findings if each.level is not Level.NOTE]


async def test_a_good_account_ends_with_0_and_no_picture_is_asked_for(
    tmp_path: Path, upstream: Upstream
) -> None:
    done = await run(written(tmp_path, upstream))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[1].split() == ["o", "openai", "yes", "accepted", "12", "models", "1"]
    assert [call.method for call in upstream.calls] == ["GET"]


async def test_a_refused_key_ends_with_1_and_is_not_shown(tmp_path: Path, upstream: Upstream) -> None:
    file = written(tmp_path, upstream)
    (tmp_path / "key").write_text("sk-not-the-right-one")
    done = await run(file)
    assert done.exit_code == 1
    assert "the key was refused" in done.output
    assert "sk-not-the-right-one" not in done.output


async def test_what_cannot_be_reached_ends_with_1(tmp_path: Path, upstream: Upstream) -> None:
    file = written(tmp_path, upstream)
    await upstream.stop()
    done = await run(file)
    assert done.exit_code == 1
    assert "cannot be reached" in done.output


async def test_a_key_that_is_not_there_is_named_and_nothing_is_asked(
    tmp_path: Path, upstream: Upstream
) -> None:
    file = written(tmp_path, upstream)
    (tmp_path / "key").unlink()
    done = await run(file, "--json")
    (account,) = json.loads(done.output)["providers"]
    assert (done.exit_code, account["reachable"]) == (1, None)
    assert "key" in account["findings"][0]["text"]
    assert not upstream.calls


def test_a_fresh_install_that_works_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in configuration without a key: the sandbox serves, and nobody has set up OpenAI."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = CliRunner().invoke(cli, ["doctor", "--strict"])
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert ["openai", "openai", "-", "not", "set"] in [row[:5] for row in rows]
    told = " ".join(done.output.split())
    assert "not set up openai the environment variable OPENAI_API_KEY is not set." in told
    assert "set it to offer them" in told
    document = json.loads(CliRunner().invoke(cli, ["doctor", "--json"]).output)
    levels = [each["level"] for one in document["providers"] for each in one["findings"] if not each["model"]]
    assert (document["ok"], "not set up" in levels, "error" in levels) == (True, True, False)


async def test_the_same_file_in_somebodys_own_words_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names an account wants it."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    file = tmp_path / "c.yaml"
    file.write_text("providers: {openai: {type: openai}, sandbox: {type: sandbox}}\n")
    done = await run(file)
    assert done.exit_code == 1
    told = " ".join(done.output.split())
    assert "the environment variable OPENAI_API_KEY is not set. Set it" in told
    assert "or take the account out of the configuration" in told


async def test_of_several_keys_the_one_that_is_refused_is_named(tmp_path: Path, upstream: Upstream) -> None:
    file = written(tmp_path, upstream)
    (tmp_path / "second").write_text("sk-not-the-right-one")
    text = file.read_text().replace('api_key: "file:key"', 'api_keys: ["file:key", "file:second"]')
    file.write_text(text)
    (error,) = await found(file)
    assert error.text.startswith("key 2 of 2: ")


async def test_a_target_that_is_not_listed_is_a_warning_and_fatal_when_strict(
    tmp_path: Path, upstream: Upstream
) -> None:
    file = written(
        tmp_path, upstream, "house: {targets: [{provider: o, model: no-such, catalog: gpt-image-2}]}"
    )
    assert await found(file) == [Finding(Level.WARNING, "the provider does not list it", "no-such")]
    assert [(await run(file)).exit_code, (await run(file, "--strict")).exit_code] == [0, 1]


@pytest.mark.parametrize(
    ("today", "level", "text"),
    [
        (date(2026, 8, 1), None, ""),
        (date(2026, 11, 20), Level.WARNING, "is shut down on 2026-12-01, in 11 days"),
        (date(2026, 12, 1), Level.ERROR, "was shut down on 2026-12-01"),
    ],
)
async def test_retirement_is_told_90_days_ahead_and_is_an_error_from_its_day_on(
    tmp_path: Path, upstream: Upstream, today: date, level: Level | None, text: str
) -> None:
    file = written(tmp_path, upstream, "gpt-image-1.5: {targets: [{provider: o}]}")
    told = [each for each in await found(file, today) if "shut down" in each.text]
    assert told == ([] if level is None else [Finding(level, text, "gpt-image-1.5")])


async def test_an_end_that_the_provider_names_itself_counts_where_the_catalog_knows_none(
    tmp_path: Path, upstream: Upstream
) -> None:
    file = written(
        tmp_path, upstream, "house: {targets: [{provider: o, model: gpt-image-1.5, catalog: gpt-image-2}]}"
    )
    warning = Finding(Level.WARNING, "is shut down on 2026-12-01, in 11 days", "gpt-image-1.5")
    assert warning in await found(file)


async def test_a_price_that_is_old_or_not_known_is_a_warning(tmp_path: Path, upstream: Upstream) -> None:
    file = written(
        tmp_path, upstream, "a: {targets: [{provider: o, model: gpt-image-2}, {provider: o, model: x}]}"
    )
    told = {(each.model, each.text) for each in await found(file, date(2028, 1, 1))}
    assert ("x", "its price is not known, so that no dollar limit can hold it") in told
    assert any(name == "gpt-image-2" and "last verified" in text for name, text in told)


async def test_what_nobody_has_verified_is_a_note(tmp_path: Path, upstream: Upstream) -> None:
    file = written(tmp_path, upstream, "gpt-image-1-mini: {targets: [{provider: o}]}")
    plain, noted = await run(file), await run(file, "--notes")
    assert "not verified: " not in plain.output
    assert "1 notes more" in plain.output
    assert "not verified: " in noted.output


async def test_of_models_that_nobody_named_all_is_a_note(tmp_path: Path, upstream: Upstream) -> None:
    file = written(tmp_path, upstream)
    file.write_text(file.read_text().partition("models:")[0])
    assert await found(file) == []
    document: dict[str, Any] = json.loads((await run(file, "--json")).output)
    assert document["ok"]
    names = [target["model"] for target in document["providers"][0]["targets"]]
    assert len(names) == len(set(names)) > 3
