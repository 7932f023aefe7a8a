"""The size rule: the published examples, a table of cases, and the edges that the rule leaves to itself."""

from __future__ import annotations

import csv
import re
from fractions import Fraction
from pathlib import Path

import pytest

from config.catalog import load_catalog
from config.sizing import AnySizing, FreeSizing, ListedSizing, RatioSizing, Sizing
from gateway.images.fitted import Rule, SizeChoice
from gateway.images.intent import intent_of
from gateway.images.sizing import choose, passes_strict
from tests.unit.images.size_oracle import Ask, oracle

CATALOG = load_catalog()
DOCUMENT = Path(__file__).parents[3] / "docs" / "normalization.md"
TIERED = RatioSizing(
    kind="ratios",
    ratios=["1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "21:9"],
    tiers=["1K", "2K", "4K"],
)
with (Path(__file__).with_name("golden_sizes.csv")).open(newline="", encoding="utf-8") as file:
    GOLDEN = list(csv.DictReader(file))


def sizing_of(model: str) -> Sizing:
    return CATALOG.describe("openai-compatible", model).sizing


def chosen(ask: Ask, sizing: Sizing) -> SizeChoice:
    intent = intent_of(ask.size, ask.aspect_ratio, ask.resolution)
    across, _, down = (ask.input or "").partition(":")
    return choose(intent, sizing, input_ratio=Fraction(int(across), int(down)) if down else None)


def ratios(*ratios: str, **more: object) -> RatioSizing:
    return RatioSizing.model_validate({"kind": "ratios", "ratios": ratios, **more})


EXAMPLES = re.findall(
    r"^\| `(.+)` \| (\S+) \| (\S+) \| (\w+) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize(("asked", "target", "sent", "rule"), EXAMPLES)
def test_every_worked_example_comes_out_as_published(asked: str, target: str, sent: str, rule: str) -> None:
    ask = Ask(**dict(field.split(": ") for field in asked.split(", ")))
    choice = chosen(ask, TIERED if target == "ratios" else sizing_of(target))
    assert (choice.sent, choice.rule) == (sent, rule)


def test_there_are_worked_examples_of_every_rule_that_changes_something() -> None:
    assert len(EXAMPLES) >= 20
    assert {rule for *_, rule in EXAMPLES} == set(Rule) - {Rule.AUTO}


def test_the_table_of_cases_is_large_enough_to_mean_something() -> None:
    assert len(GOLDEN) >= 300
    assert len({row["model"] for row in GOLDEN}) >= 12
    assert {sizing_of(row["model"]).kind for row in GOLDEN} == {"free", "sizes", "ratios", "any"}
    assert {row["rule"] for row in GOLDEN} == set(Rule)
    assert len({tuple(row.values())[:5] for row in GOLDEN}) == len(GOLDEN)


def ask_of(row: dict[str, str]) -> Ask:
    return Ask(*(row[name] or None for name in ("size", "aspect_ratio", "resolution", "input")))


@pytest.mark.parametrize("model", sorted({row["model"] for row in GOLDEN}))
def test_every_case_of_the_table_is_served_as_it_says(model: str) -> None:
    for row in GOLDEN:
        if row["model"] == model:
            choice = chosen(ask_of(row), sizing_of(model))
            assert (choice.sent, choice.rule) == (row["sent"], row["rule"]), row


@pytest.mark.parametrize("model", sorted({row["model"] for row in GOLDEN}))
def test_a_second_reckoning_agrees_with_the_table(model: str) -> None:
    """The table is nobody's output: what stands in it is what size_oracle.py finds by trying."""
    entry = CATALOG.describe("openai-compatible", model)
    for row in GOLDEN:
        if row["model"] == model:
            assert oracle(ask_of(row), entry) == (row["sent"], row["rule"]), row


@pytest.mark.parametrize(
    ("ask", "sizing", "fields", "pixels"),
    [
        (Ask(size="16:9"), sizing_of("gpt-image-2"), {"size": "1280x720"}, (1280, 720)),
        (Ask(size="1024X1536"), sizing_of("gpt-image-1.5"), {"size": "1024x1536"}, (1024, 1536)),
        (Ask(), sizing_of("gpt-image-2"), {}, None),
        (Ask(size="auto"), sizing_of("gpt-image-2"), {"size": "auto"}, None),
        (Ask(aspect_ratio="auto"), sizing_of("gpt-image-1.5"), {"size": "auto"}, None),
        (Ask(size="auto"), TIERED, {}, None),
        (Ask(size="3:2"), TIERED, {"aspect_ratio": "3:2", "resolution": "1K"}, None),
        (Ask(resolution="4k"), TIERED, {"aspect_ratio": "1:1", "resolution": "4K"}, None),
        (Ask(size="3:2"), ratios("1:1", "3:2"), {"aspect_ratio": "3:2"}, None),
        (
            Ask(size="3:2"),
            sizing_of("gemini-3.1-flash-image"),
            {"aspect_ratio": "3:2", "resolution": "1K"},
            (1264, 848),
        ),
        (Ask(size="3:2"), sizing_of("gemini-2.5-flash-image"), {"aspect_ratio": "3:2"}, (1248, 832)),
    ],
)
def test_each_kind_of_model_is_sent_its_own_words(
    ask: Ask, sizing: Sizing, fields: dict[str, str], pixels: tuple[int, int] | None
) -> None:
    choice = chosen(ask, sizing)
    assert (dict(choice.fields), choice.pixels) == (fields, pixels)


def test_a_server_without_published_limits_is_sent_what_was_asked() -> None:
    anything = AnySizing(kind="any")
    both = chosen(Ask(aspect_ratio=" 21:9 ", resolution="2k"), anything)
    assert dict(both.fields) == {"aspect_ratio": "21:9", "resolution": "2K"}
    assert (both.requested, both.sent, both.rule) == ("21:9@2K", "21:9@2K", Rule.FILLED)
    pixels = chosen(Ask(size="777×333"), anything)
    assert (dict(pixels.fields), pixels.pixels, pixels.rule) == ({"size": "777x333"}, (777, 333), Rule.EXACT)
    assert chosen(Ask(), anything) == SizeChoice(Rule.AUTO, None, "auto", {})
    assert chosen(Ask(size="auto"), anything).fields == {"size": "auto"}
    weaker = chosen(Ask(size="100x100", aspect_ratio="2:1"), anything)
    assert dict(weaker.fields) == {"size": "100x100"}


def test_of_entries_equally_far_in_ratio_the_nearer_area_then_the_larger_then_the_first_is_taken() -> None:
    def pick(ask: Ask, *sizes: str) -> str:
        return chosen(ask, ListedSizing(kind="sizes", sizes=list(sizes))).sent

    assert pick(Ask(size="1000x1000"), "512x512", "900x900", "2048x2048") == "900x900"
    assert pick(Ask(size="1024x1024"), "512x512", "2048x2048") == "2048x2048"
    assert pick(Ask(size="1024x1024"), "1024x512", "512x1024") == "1024x512"
    assert pick(Ask(size="1024x1024"), "512x1024", "1024x512") == "512x1024"


def test_a_size_is_of_a_tier_when_their_areas_are_within_a_quarter_of_each_other() -> None:
    for size, rule in (
        ("916x916", Rule.FILLED), ("915x915", Rule.CLAMPED),
        ("1144x1144", Rule.FILLED), ("1145x1145", Rule.RAISED),
    ):  # fmt: skip
        assert chosen(Ask(resolution="1K"), ListedSizing(kind="sizes", sizes=[size])).rule is rule


def test_of_ratios_equally_far_the_first_listed_and_of_tiers_the_smaller_is_taken() -> None:
    assert chosen(Ask(aspect_ratio="1:1"), ratios("2:1", "1:2", default_ratio="2:1")).sent == "2:1"
    assert chosen(Ask(aspect_ratio="1:1"), ratios("1:2", "2:1", default_ratio="2:1")).sent == "1:2"
    assert chosen(Ask(resolution="2K"), ratios("1:1", tiers=["4K", "1K"])).sent == "1:1@1K"


def test_a_model_without_an_auto_gets_its_default_size_and_nothing_is_reported() -> None:
    listed = ListedSizing(kind="sizes", sizes=["512x512", "1024x1024", "1024x768"], auto=False)
    free = FreeSizing(
        kind="free", step=8, max_edge=2048, min_pixels=1, max_pixels=2**22, max_ratio=4,
        auto=False, default_ratio="2:1", default_area=2**19,
    )  # fmt: skip
    named = ratios("1:1", "4:3", tiers=["1K", "2K"], default_ratio="4:3", default_tier="2K", auto=False)
    for sizing, sent in ((listed, "1024x1024"), (free, "1024x512"), (named, "4:3@2K")):
        for ask in (Ask(), Ask(size="auto"), Ask(resolution="auto")):
            choice = chosen(ask, sizing)
            assert (choice.rule, choice.sent) == (Rule.AUTO, sent)
            assert choice.fields
    assert chosen(Ask(input="4:3"), listed).sent == "1024x768"


def test_an_edit_without_a_ratio_keeps_that_of_its_first_picture() -> None:
    assert chosen(Ask(resolution="2K", input="4:3"), sizing_of("gpt-image-2")).sent == "2304x1728"
    assert chosen(Ask(resolution="2K", input="4:3"), TIERED).sent == "4:3@2K"
    assert chosen(Ask(resolution="1K", input="100:101"), TIERED).rule is Rule.FILLED
    assert chosen(Ask(aspect_ratio="1:1", input="4:3"), TIERED).sent == "1:1@1K"
    strip = chosen(Ask(resolution="1K", input="10:1"), sizing_of("gpt-image-2"))
    assert (strip.sent, strip.rule) == ("1728x576", Rule.FILLED)


def test_every_published_size_of_a_model_with_ratios_can_be_asked_for_as_pixels() -> None:
    for entry in CATALOG.entries:
        if isinstance(entry.sizing, RatioSizing):
            for row in entry.sizing.pixels.values():
                for pixels in row.values():
                    choice = chosen(Ask(size=pixels), entry.sizing)
                    assert (choice.sent, choice.rule) == (pixels, Rule.EXACT), entry.id


def test_equal_edges_keep_the_orientation_that_was_asked() -> None:
    """Rounding makes a square of both, and one step must go: not the one that would turn the picture."""
    narrow = FreeSizing(
        kind="free", step=16, max_edge=4096, min_pixels=1, max_pixels=2890 * 2890, max_ratio=3
    )
    assert chosen(Ask(size="2896x2880"), narrow).sent == "2896x2880"
    assert chosen(Ask(size="2893x2888"), narrow).sent == "2880x2880"
    wide = FreeSizing(kind="free", step=64, max_edge=4096, min_pixels=1, max_pixels=1000**2, max_ratio=3)
    assert chosen(Ask(size="1000x993"), wide).sent == "1024x960"
    assert chosen(Ask(size="993x1000"), wide).sent == "960x1024"


@pytest.mark.parametrize(
    ("size", "limits", "sent", "rule"),
    [
        ("100x100", {"min_pixels": 10_000}, "112x96", Rule.STEP),
        ("102x99", {"min_pixels": 10_000}, "112x96", Rule.STEP),
        ("99x102", {"min_pixels": 10_000}, "96x112", Rule.STEP),
        ("70x143", {"min_pixels": 10_000}, "80x144", Rule.STEP),
        ("143x70", {"min_pixels": 10_000}, "144x80", Rule.STEP),
        ("150x60", {"max_pixels": 9000}, "128x64", Rule.STEP),
        ("151x60", {"max_pixels": 9000}, "144x48", Rule.LOWERED),
        ("120x90", {"max_edge": 120}, "112x96", Rule.STEP),
        ("121x90", {"max_edge": 120}, "112x80", Rule.LOWERED),
        ("99x99", {"min_pixels": 10_000}, "112x112", Rule.RAISED),
    ],
)
def test_pixels_at_a_limit_are_within_it_and_those_beyond_are_not(
    size: str, limits: dict[str, int], sent: str, rule: Rule
) -> None:
    open_limits = {"step": 16, "max_edge": 4096, "min_pixels": 1, "max_pixels": 2**24, "max_ratio": 3}
    choice = chosen(Ask(size=size), FreeSizing.model_validate({"kind": "free", **open_limits, **limits}))
    assert (choice.sent, choice.rule) == (sent, rule)


def test_what_the_rule_reckons_itself_counts_as_beyond_a_limit_that_it_meets() -> None:
    """A tier that is the least area or the most: the edges that belong to it round up, or down."""
    limits = {"kind": "free", "step": 16, "max_edge": 8192, "max_ratio": 8}
    least = FreeSizing.model_validate({**limits, "min_pixels": 2**20, "max_pixels": 2**24})
    most = FreeSizing.model_validate({**limits, "min_pixels": 2**10, "max_pixels": 2**20})
    for sizing, sent in ((least, "1408x768"), (most, "1392x752")):
        choice = chosen(Ask(aspect_ratio="1.85:1", resolution="1K"), sizing)
        assert (choice.sent, choice.rule) == (sent, Rule.NEAREST)
        assert chosen(Ask(resolution="1K"), sizing).rule is Rule.FILLED


def test_limits_so_narrow_that_single_steps_miss_them_still_give_a_size_that_is_made() -> None:
    """Only 96x96 and 128x96 either way are made: 9216 to 12288 pixels in steps of 32."""
    odd = FreeSizing(kind="free", step=32, max_edge=128, min_pixels=9000, max_pixels=12300, max_ratio=2)
    for size in ("1x1", "64x64", "100x100", "128x128", "128x64", "9999x100", "50x500"):
        assert chosen(Ask(size=size), odd).sent in {"96x96", "128x96", "96x128"}
    assert chosen(Ask(aspect_ratio="2:1"), odd).sent == "128x96"


def test_only_what_was_asked_passes_strict_mode() -> None:
    assert {rule for rule in Rule if passes_strict(rule)} == {Rule.EXACT, Rule.AUTO, Rule.FILLED}
