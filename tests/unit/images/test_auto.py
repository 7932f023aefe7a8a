"""``auto`` and absent values give way to a model's defaults before anything is priced."""

from __future__ import annotations

from gateway.images.auto import resolve_auto
from gateway.images.fitted import Adjustment, How
from tests.unit.images.priced import call

DEFAULTS = {"size": "1024x1024", "quality": "medium", "background": "opaque"}


def test_auto_gives_way_and_is_reported() -> None:
    resolved, mapped = resolve_auto(call(size="auto", quality="auto", background="auto"), DEFAULTS)
    assert resolved.params == {"size": "1024x1024", "quality": "medium", "background": "auto"}
    assert mapped == {"size": "1024x1024", "quality": "medium"}
    assert resolved.adjusted == (
        Adjustment("size", "auto", How.MAPPED, "1024x1024"),
        Adjustment("quality", "auto", How.MAPPED, "medium"),
    )


def test_what_the_caller_chose_stays() -> None:
    asked = call(size="1536x1024", quality="low")
    assert resolve_auto(asked, DEFAULTS) == (asked, {})


def test_a_ratio_or_a_resolution_is_a_choice_of_size() -> None:
    asked = call(size="auto", aspect_ratio="16:9", quality="low")
    assert resolve_auto(asked, DEFAULTS) == (asked, {})
    assert resolve_auto(call(resolution="2K", quality="low"), DEFAULTS)[0].adjusted == ()


def test_an_absent_value_is_auto() -> None:
    resolved, mapped = resolve_auto(call(quality="low"), DEFAULTS)
    assert resolved.params == {"size": "1024x1024", "quality": "low"}
    assert mapped == {"size": "1024x1024"}
    assert resolved.adjusted == (Adjustment("size", None, How.MAPPED, "1024x1024"),)


def test_without_a_default_auto_stays() -> None:
    asked = call(size="auto")
    assert resolve_auto(asked, {"size": "auto"}) == (asked, {})
    assert resolve_auto(asked, {}) == (asked, {})
