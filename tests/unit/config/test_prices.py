"""Prices of the operator's own: what may be written, and what wins."""
# ruff: noqa: E501 (a row of a table of faults is one line)

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.catalog import CatalogModel, load_catalog
from config.loader import ConfigErrors, load
from config.own_prices import priced
from config.prices import PriceSettings, PriceVersion, Source
from config.schema import Settings
from config.units import parse_day, parse_dollars, parse_share

TODAY = date(2026, 11, 20)
CATALOG = load_catalog()


def settings_of(tmp_path: Path, text: str) -> tuple[Settings, list[str]]:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    loaded = load(file, environ={"OPENAI_API_KEY": "x"}, today=TODAY)
    return loaded.settings, loaded.warnings


def target_entry(settings: Settings, name: str) -> CatalogModel:
    """As a target of a declared model is priced."""
    assert settings.models is not None
    target = settings.models[name].targets[0]
    account, upstream = settings.providers[target.provider], target.model or name
    entry = CATALOG.describe(account.type, upstream, target.catalog)
    return priced(entry, CATALOG, account, upstream, target.prices)


CONTRACT = """
providers:
  openai:
    type: openai
    cost_source: provider
    prices:
      gpt-image-2:
        - {since: 2026-10-01, until: 2026-12-31, tokens: {text_in: 4, image_in: 6.4, image_out: 24}, note: contract 4711}
models:
  gpt-image-2: {targets: [{provider: openai}]}
  dated: {targets: [{provider: openai, model: gpt-image-2-2026-04-21}]}
  special: {targets: [{provider: openai, model: gpt-image-2, prices: [{per_image: 0.1, since: 2026-11-01}]}]}
"""


def test_a_providers_price_wins_over_the_catalog_on_the_days_it_holds(tmp_path: Path) -> None:
    settings, warnings = settings_of(tmp_path, CONTRACT)
    entry = target_entry(settings, "gpt-image-2")
    found = {
        day: entry.price_on(date.fromisoformat(day))
        for day in ("2026-09-30", "2026-10-01", "2026-12-31", "2027-01-01")
    }
    outs = [version.tokens.image_out for version in found.values() if version and version.tokens]
    assert outs == [30, 24, 24, 30]
    contract = found["2026-10-01"]
    assert contract is not None
    assert (contract.origin, contract.source.text) == ("provider", "contract 4711")
    assert settings.providers["openai"].cost_source == "provider"
    assert warnings == []


def test_a_dated_name_costs_what_its_model_costs(tmp_path: Path) -> None:
    settings, _ = settings_of(tmp_path, CONTRACT)
    assert target_entry(settings, "dated").price_on(TODAY) == target_entry(settings, "gpt-image-2").price_on(
        TODAY
    )


def test_a_targets_price_wins_over_its_providers(tmp_path: Path) -> None:
    settings, _ = settings_of(tmp_path, CONTRACT)
    entry = target_entry(settings, "special")
    days = [entry.price_on(day) for day in (date(2026, 9, 1), date(2026, 10, 31), date(2026, 11, 1))]
    assert [version.origin for version in days if version] == ["catalog", "provider", "target"]
    assert days[2] is not None
    assert days[2].per_image == Decimal("0.1")


def test_a_price_of_ones_own_needs_no_day_to_win() -> None:
    written = {"type": "openai", "prices": {"gpt-image-2": [{"per_image": "0.2"}]}}
    account = Settings.model_validate({"providers": {"o": written}}).providers["o"]
    entry = CATALOG.describe("openai", "gpt-image-2")
    of_account = priced(entry, CATALOG, account, "gpt-image-2").price_on(TODAY)
    of_target = priced(entry, CATALOG, account, "gpt-image-2", [PriceSettings(free=True)]).price_on(TODAY)
    assert [version.origin for version in (of_account, of_target) if version] == ["provider", "target"]


def test_nothing_written_changes_nothing() -> None:
    settings = Settings.model_validate({"providers": {"openai": {"type": "openai"}}})
    entry = CATALOG.entries[0]
    assert priced(entry, CATALOG, settings.providers["openai"], entry.id) is entry


def test_like_takes_over_prices_and_how_tokens_are_counted(tmp_path: Path) -> None:
    settings, warnings = settings_of(
        tmp_path,
        "providers: {local: {type: openai-compatible, base_url: 'http://127.0.0.1:1/v1'}, sandbox: {type: sandbox}}\n"
        "models:\n"
        "  relay: {targets: [{provider: local, model: img, prices: [{like: gpt-image-2}]}]}\n"
        "  drill: {targets: [{provider: sandbox, model: sandbox, prices: [{like: gpt-image-2}]}]}\n"
        "organization: {limits: [{spend_usd: 1, per: day}]}\n",
    )
    original = CATALOG.get("gpt-image-2")
    assert original is not None
    relay, drill = target_entry(settings, "relay"), target_entry(settings, "drill")
    for entry in (relay, drill):
        price = entry.price_on(TODAY)
        assert price is not None
        assert price.tokens == original.prices[0].tokens
        assert price.version.startswith("target:2026-04-21:")
    assert (relay.counting, relay.auto) == (original.counting, original.auto)
    assert drill.counting == CATALOG.describe("sandbox", "sandbox").counting
    assert warnings == []


def test_like_holds_within_its_own_days() -> None:
    account = Settings.model_validate({"providers": {"s": {"type": "sandbox"}}}).providers["s"]
    entry = CATALOG.describe("sandbox", "sandbox")
    like = PriceSettings(
        like="gpt-image-2", since=date(2026, 10, 1), until=date(2026, 10, 31), margin=Decimal("0.2")
    )
    found = priced(entry, CATALOG, account, "sandbox", [like])
    assert [
        bool(v and v.free)
        for v in (
            found.price_on(date(2026, 9, 30)),
            found.price_on(date(2026, 10, 1)),
            found.price_on(date(2026, 11, 1)),
        )
    ] == [True, False, True]
    inside = found.price_on(date(2026, 10, 31))
    assert inside is not None
    assert (inside.margin, inside.minimum) == (Decimal("0.2"), None)
    floored = priced(
        entry, CATALOG, account, "sandbox", [PriceSettings(like="gpt-image-2", minimum=Decimal("0.01"))]
    )
    assert [version.minimum for version in floored.prices] == [None, Decimal("0.01")]
    assert floored.prices[1].margin is None
    early = PriceSettings(like="gpt-image-2", until=date(2026, 1, 1))
    assert priced(entry, CATALOG, account, "sandbox", [early]).prices == entry.prices


def test_a_price_may_hold_for_one_day() -> None:
    account = Settings.model_validate({"providers": {"s": {"type": "sandbox"}}}).providers["s"]
    entry = CATALOG.describe("sandbox", "sandbox")
    for form in ({"like": "gpt-image-2"}, {"per_image": "0.1"}):
        one_day = PriceSettings.model_validate({**form, "since": "2026-11-20", "until": "2026-11-20"})
        found = priced(entry, CATALOG, account, "sandbox", [one_day])
        days = [found.price_on(date(2026, 11, day)) for day in (19, 20, 21)]
        assert [version.origin for version in days if version] == ["catalog", "target", "catalog"]


def test_like_must_name_an_entry() -> None:
    account = Settings.model_validate({"providers": {"s": {"type": "sandbox"}}}).providers["s"]
    with pytest.raises(ValueError, match="no model nope"):
        priced(CATALOG.entries[0], CATALOG, account, "x", [PriceSettings(like="nope")])


def test_a_version_of_ones_own_is_named_by_place_day_and_content() -> None:
    source = Source(text="a", mark="read", verified_on=TODAY)
    one = PriceVersion(since=date.min, per_image=Decimal("0.1"), source=source, origin="target")
    other = one.model_copy(update={"per_image": Decimal("0.2")})
    noted = one.model_copy(update={"source": source.model_copy(update={"text": "b"})})
    assert re.fullmatch(r"target:always:[0-9a-f]{8}", one.version)
    assert one.version != other.version
    assert one.version == noted.version
    assert one.model_copy(update={"origin": "catalog", "since": TODAY}).version == "2026-11-20"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "needs a form"),
        ({"note": "x"}, "needs a form"),
        ({"free": True, "per_image": 1}, "either free or billed"),
        ({"like": "gpt-image-2", "per_image": 1}, "takes the place"),
        ({"like": "gpt-image-2", "free": True}, "takes the place"),
        ({"per_image": 1, "since": "2026-02-01", "until": "2026-01-31"}, "is before since"),
        ({"per_image": -1}, "expected dollars"),
        ({"per_image": 1, "since": "soon"}, "expected a day"),
        ({"per_image": 1, "margin": "0.1"}, "expected a share such as 10%"),
        ({"image_table": {}}, "at least one quality"),
        ({"image_table": {"high": {}}}, "at least one size"),
        ({"per_megapixel": {"output": 1, "pixels": 1000}}, "1000000"),
    ],
)  # fmt: skip
def test_a_price_that_says_nothing_or_two_things_is_refused(written: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PriceSettings.model_validate(written)


OPENAI = "providers: {o: {type: openai, prices: %s}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OPENAI % "{gpt-image-2: [{like: gpt-imag-2}]}", "prices.gpt-image-2[0].like: the catalog has no model 'gpt-imag-2'. Did you mean gpt-image-2?"),
        (OPENAI % "{gpt-image-2: [{per_image: 1}, {per_image: 2}]}", "prices.gpt-image-2[1]: another price here holds from the same day (always)"),
        (OPENAI % "{gpt-image-2: [{like: gpt-image-1.5}, {per_image: 2, since: 2026-01-01}]}", "may not overlap another one"),
        ("providers: {o: {type: openai}}\nmodels: {m: {targets: [{provider: o, model: gpt-image-2, prices: [{like: nope}]}]}}", "models.m.targets[0].prices[0].like: the catalog has no model 'nope'"),
        (OPENAI % "{gpt-image-2: [{per_image: cheap}]}", "prices.gpt-image-2[0].per_image: expected dollars such as"),
        (OPENAI % "{gpt-image-2: [{per_imag: 1}]}", "there is no such setting. Did you mean per_image?"),
    ],
)  # fmt: skip
def test_a_fault_in_a_price_is_told_at_its_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigErrors, match=r"c\.yaml:\d+:\d+") as caught:
        settings_of(tmp_path, text)
    assert expected in str(caught.value)


def test_prices_that_follow_a_like_are_accepted(tmp_path: Path) -> None:
    text = (
        OPENAI
        % "{gpt-image-2: [{like: gpt-image-1.5, until: 2026-06-30}, {per_image: 2, since: 2026-07-01}]}"
    )
    assert settings_of(tmp_path, text)[1] == []


def test_a_price_under_a_name_that_nothing_is_called_is_a_warning(tmp_path: Path) -> None:
    _, warnings = settings_of(tmp_path, OPENAI % "{gpt-image-3: [{per_image: 1}]}")
    assert len(warnings) == 1
    assert (
        "providers.o.prices.gpt-image-3: no model of this provider is called 'gpt-image-3', so this price is never used."
        in warnings[0]
    )


LIMITED = "providers: {l: {type: openai-compatible, base_url: 'http://127.0.0.1:1/v1'}}\nmodels: {m: {targets: [{provider: l, prices: [%s]}]}}\norganization: {limits: [{spend_usd: 1, per: day}]}\n"


def test_a_price_of_ones_own_satisfies_a_dollar_limit(tmp_path: Path) -> None:
    assert settings_of(tmp_path, LIMITED % "{per_image: 0.04}")[1] == []


def test_token_prices_of_a_model_whose_tokens_nobody_knows_are_a_warning_under_a_dollar_limit(
    tmp_path: Path,
) -> None:
    _, warnings = settings_of(tmp_path, LIMITED % "{tokens: {text_in: 1, image_in: 1, image_out: 1}}")
    assert len(warnings) == 1
    assert "how many tokens 'm' takes is not known before a call" in warnings[0]


def test_a_price_that_has_ended_is_a_warning_under_a_dollar_limit(tmp_path: Path) -> None:
    _, warnings = settings_of(tmp_path, LIMITED % "{per_image: 0.04, until: 2026-11-19}")
    assert len(warnings) == 1
    assert "the price of 'm' is not known" in warnings[0]


@pytest.mark.parametrize(
    ("text", "share"), [("10%", "0.1"), ("0%", "0"), ("2.5 %", "0.025"), ("150%", "1.5")]
)
def test_shares_are_exact(text: str, share: str) -> None:
    assert parse_share(text) == Decimal(share)


@pytest.mark.parametrize("text", ["10", "-1%", "%", "1001%", "0.1", 0.1, True, None])
def test_a_share_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a share"):
        parse_share(text)


def test_days_are_days() -> None:
    assert parse_day("2026-11-20") == TODAY == parse_day(TODAY)


@pytest.mark.parametrize("text", ["2026-13-01", "20261120", "2026-11-20T00:00", 2026, None])
def test_a_day_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a day"):
        parse_day(text)


def test_the_smallest_amount_survives_being_written_again() -> None:
    assert parse_dollars(Decimal("0.000000001")) == Decimal("1E-9")
