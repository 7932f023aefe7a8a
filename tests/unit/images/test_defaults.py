"""A model's defaults: they fill what is left open, and are told."""

from __future__ import annotations

import pytest

from gateway.images.defaults import fill
from tests.unit.images.asking import generate


def test_defaults_fill_what_is_absent_and_nothing_else() -> None:
    call = generate({"quality": "high", "size": None}, defaults={"quality": "low", "size": "1024x1024"})
    assert dict(call.params) == {"quality": "high", "size": "1024x1024"}
    assert [(one.field, one.was, one.now, one.how.value) for one in call.adjusted] == [
        ("size", None, "1024x1024", "mapped")
    ]


@pytest.mark.parametrize(
    ("asked", "defaults", "filled"),
    [
        ({"aspect_ratio": "16:9"}, {"size": "1024x1024"}, {}),
        ({"resolution": "2K"}, {"size": "1024x1024"}, {}),
        ({"size": "16:9"}, {"resolution": "2K"}, {"resolution": "2K"}),
        ({"size": "16:9"}, {"aspect_ratio": "1:1"}, {}),
        ({"size": "2K"}, {"aspect_ratio": "1:1"}, {"aspect_ratio": "1:1"}),
        ({"size": "1024x1024"}, {"resolution": "2K", "aspect_ratio": "16:9"}, {}),
        ({"aspect_ratio": "16:9"}, {"size": "2K"}, {"size": "2K"}),
        ({"aspect_ratio": "auto"}, {"size": "1024x1024"}, {"size": "1024x1024"}),
        ({"size": "auto"}, {"aspect_ratio": "16:9"}, {"aspect_ratio": "16:9"}),
        ({}, {"size": "auto"}, {"size": "auto"}),
        ({"aspect_ratio": "16:9"}, {"size": "auto"}, {}),
    ],
)
def test_a_default_size_fills_only_what_the_caller_left_open(
    asked: dict[str, object], defaults: dict[str, object], filled: dict[str, object]
) -> None:
    params, told = fill(asked, defaults)
    assert params == {**asked, **filled}
    assert {one.field: one.now for one in told} == filled


def test_values_of_every_type_are_told_as_text() -> None:
    _, told = fill({}, {"n": 2, "stream": False})
    assert [(one.field, one.now) for one in told] == [("n", "2"), ("stream", "false")]
