"""Which rule fits which request."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from config.routing import RuleSettings, WhenSettings
from gateway.routing.conditions import Condition, Question, tier_of
from gateway.routing.rules import Passed, Rulebook

VIENNA = ZoneInfo("Europe/Vienna")
FRIDAY = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ASKED = Question(
    model="gpt-image-2",
    operation="generations",
    moment=FRIDAY,
    project="Growth",
    project_id="proj_growth",
    key="ci",
    end_user="ann",
    quality="high",
    area=3840 * 2160,
    tags={"run": "7"},
    spent=Decimal("0.8"),
)


def fits(question: Question = ASKED, **when: object) -> bool:
    return Condition(WhenSettings.model_validate(when), VIENNA).fits(question)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("project", "Growth", "lab"),
        ("project", ["lab", "proj_growth"], "growth"),
        ("key", "ci", "other"),
        ("key", "Growth/ci", "lab/ci"),
        ("key", "proj_growth/ci", "ci/Growth"),
        ("end_user", "ann", "bob"),
        ("model", ["hero", "gpt-image-2"], "hero"),
        ("operation", "generations", "edits"),
        ("quality", ["high", "max"], "low"),
        ("resolution", "4K", ["1K", "2K"]),
        ("tags", {"run": ["7", "8"]}, {"run": "9"}),
        ("tags", {"run": "7"}, {"run": "7", "team": "red"}),
        ("spent", "80%", "80.1%"),
        ("days", ["fri"], ["sat", "sun"]),
        ("hours", "13:00-13:01", "12:00-13:00"),
    ],
)
def test_a_condition_fits_or_not(name: str, good: object, bad: object) -> None:
    assert fits(**{name: good})
    assert not fits(**{name: bad})


def test_all_that_is_written_must_hold() -> None:
    assert fits(project="Growth", quality="high")
    condition = Condition(
        WhenSettings.model_validate({"project": "Growth", "quality": "low", "days": "sat"}), VIENNA
    )
    assert condition.unmet(ASKED) == ("quality", "days")


@pytest.mark.parametrize("name", ["end_user", "quality", "area", "spent"])
def test_what_a_call_leaves_open_fits_no_condition_on_it(name: str) -> None:
    question = replace(ASKED, **{name: None})
    when = {"end_user": "ann", "quality": "high", "area": "4K", "spent": "1%"}[name]
    assert not fits(question, **{name.replace("area", "resolution"): when})


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2026-11-20T22:00", True),
        ("2026-11-20T21:59", False),
        ("2026-11-21T05:59", True),
        ("2026-11-21T06:00", False),
        ("2026-11-21T23:00", False),
        ("2026-11-20T03:00", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_begins(moment: str, inside: bool) -> None:
    at = replace(ASKED, moment=datetime.fromisoformat(moment).replace(tzinfo=VIENNA))
    assert fits(at, hours="22:00-06:00", days="fri") == inside


def test_hours_are_the_organizations() -> None:
    assert fits(replace(ASKED, moment=datetime(2026, 7, 1, 6, 30, tzinfo=UTC)), hours="08:00-09:00")
    assert fits(replace(ASKED, moment=datetime(2026, 12, 1, 7, 30, tzinfo=UTC)), hours="08:00-09:00")
    assert fits(replace(ASKED, moment=datetime(2026, 12, 1, 22, 30, tzinfo=UTC)), hours="23:00-24:00")


@pytest.mark.parametrize(
    ("width", "height", "tier"),
    [
        (256, 256, "512"), (512, 512, "512"), (832, 480, "512"), (768, 768, "1K"), (1024, 1024, "1K"),
        (1536, 1024, "1K"), (1792, 1024, "1K"), (1920, 1080, "2K"), (2048, 2048, "2K"), (2560, 1440, "2K"),
        (3840, 2160, "4K"), (2880, 2880, "4K"), (4096, 4096, "4K"), (7680, 4320, "8K"),
    ],
)  # fmt: skip
def test_pixels_count_as_a_tier(width: int, height: int, tier: str) -> None:
    assert tier_of(width * height) == tier


def test_the_first_rule_that_fits_decides() -> None:
    book = Rulebook(
        [
            RuleSettings.model_validate({"when": {"project": "lab"}, "deny": "no"}),
            RuleSettings.model_validate(
                {"name": "large", "when": {"resolution": "4K"}, "model": "hero", "targets": ["a"]}
            ),
            RuleSettings.model_validate({"model": "draft"}),
        ],
        VIENNA,
    )
    ruling = book.ruling(ASKED)
    assert (ruling.rule, ruling.model, ruling.targets, ruling.deny) == ("large", "hero", ("a",), None)
    assert ruling.passed == (Passed("rules[0]", ("project",)),)
    assert book.ruling(replace(ASKED, area=None)).rule == "rules[2]"
    assert book.ruling(replace(ASKED, project="lab")).deny == "no"


def test_without_rules_nothing_is_changed() -> None:
    ruling = Rulebook([], VIENNA).ruling(ASKED)
    assert (ruling.rule, ruling.model, ruling.targets, ruling.select) == (None, None, None, None)
