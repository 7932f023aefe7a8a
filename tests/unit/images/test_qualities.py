"""``quality`` for targets of other levels and other words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import CatalogModel
from gateway.images.qualities import serve_quality
from tests.unit.images.asking import FREE, entry_of

LEVELS = ("low", "medium", "high", "xhigh", "max")


def taking(*qualities: str) -> CatalogModel:
    return entry_of("gpt-image-2").model_copy(update={"qualities": list(qualities)})


@pytest.mark.parametrize(
    ("asked", "has", "sent"),
    [
        ("standard", ("low", "medium", "high", "auto"), "medium"),
        ("hd", ("low", "medium", "high", "auto"), "high"),
        ("max", ("low", "medium", "high", "auto"), "high"),
        ("xhigh", ("low", "medium", "high", "auto"), "high"),
        ("medium", ("low", "high"), "low"),
        ("low", ("medium", "high"), "medium"),
        ("high", ("standard", "hd"), "hd"),
        ("medium", ("standard", "hd"), "standard"),
        ("max", ("standard", "hd"), "hd"),
        ("low", ("standard", "hd"), "standard"),
    ],
)
def test_a_level_that_is_lacking_goes_to_the_next_lower_one(
    asked: str, has: Sequence[str], sent: str
) -> None:
    served = serve_quality(asked, taking(*has))
    assert served.fields == {"quality": sent}
    (told,) = served.adjustments
    assert (told.field, told.was, told.now, told.how.value) == ("quality", asked, sent, "mapped")


@given(st.sampled_from(LEVELS), st.sets(st.sampled_from(LEVELS), min_size=1))
def test_a_lower_level_is_never_passed_over_and_a_higher_one_never_taken_for_it(
    asked: str, has: set[str]
) -> None:
    sent = str(serve_quality(asked, taking(*has)).fields["quality"])
    below = [level for level in has if LEVELS.index(level) <= LEVELS.index(asked)]
    assert sent == (max(below, key=LEVELS.index) if below else min(has, key=LEVELS.index))


def test_what_the_target_has_is_sent_and_nothing_told() -> None:
    for quality in ("low", "auto"):
        served = serve_quality(quality, taking("low", "auto"))
        assert (served.fields, served.adjustments) == ({"quality": quality}, ())
    assert serve_quality("anything", FREE).fields == {"quality": "anything"}
    assert serve_quality(None, FREE).fields == {}


def test_auto_of_a_target_without_one_is_its_own_choice() -> None:
    served = serve_quality("auto", taking("low", "high"))
    assert (served.fields, served.adjustments) == ({}, ())


@pytest.mark.parametrize(
    "entry", [taking("1k-fast"), entry_of("gpt-image-2").model_copy(update={"fields": ["n"]})]
)
def test_a_target_without_such_levels_gets_none_and_that_is_told(entry: CatalogModel) -> None:
    served = serve_quality("high", entry)
    assert served.fields == {}
    assert [(one.was, one.now, one.how.value) for one in served.adjustments] == [("high", None, "dropped")]


def test_a_word_of_one_target_is_dropped_at_another() -> None:
    assert serve_quality("1k-fast", taking("1k-fast")).fields == {"quality": "1k-fast"}
    assert serve_quality("1k-fast", taking("low")).fields == {}
