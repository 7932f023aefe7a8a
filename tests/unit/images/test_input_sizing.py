"""Models whose pictures are as large as what goes in: a size that is asked for is told, or refused."""

from __future__ import annotations

import pytest

from config.sizing import InputSizing
from gateway.images.fitted import Rule
from gateway.images.intent import intent_of
from gateway.images.nearest_sizes import nearest
from gateway.images.size_choice import choose, passes_strict

SIZING = InputSizing(kind="input")


@pytest.mark.parametrize(
    ("asked", "requested", "rule"),
    [
        ((None, None, None), None, Rule.AUTO),
        (("auto", None, None), "auto", Rule.AUTO),
        (("1024x1024", None, None), "1024x1024", Rule.NEAREST),
        ((None, "16:9", "2K"), "16:9@2K", Rule.NEAREST),
    ],
)
def test_nothing_is_sent_and_what_was_asked_is_told(
    asked: tuple[str | None, str | None, str | None], requested: str | None, rule: Rule
) -> None:
    choice = choose(intent_of(*asked), SIZING)
    assert (choice.rule, choice.requested, choice.sent, choice.pixels) == (rule, requested, "auto", None)
    assert dict(choice.fields) == {}


def test_a_size_does_not_pass_strict_mode_and_auto_is_what_would() -> None:
    intent = intent_of("1024x1024", None, None)
    assert not passes_strict(choose(intent, SIZING).rule)
    assert nearest(intent, SIZING) == ("auto",)
