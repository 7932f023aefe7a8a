"""No adapter does anything silently, and the page that says what each does is current."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.registry import ADAPTERS
from tests.conformance.page import page, wrong
from tests.conformance.running import results_of
from tests.conformance.stands import STANDS
from tests.conformance.troubles import TROUBLES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("conformance")]
_PAGE = Path(__file__).parents[2] / "docs" / "providers.md"


def test_every_adapter_has_a_simulator_in_the_suite() -> None:
    assert set(STANDS) == set(ADAPTERS)


@pytest.mark.parametrize("type", STANDS)
def test_nothing_is_silently_wrong(type: str) -> None:
    assert wrong(results_of(type)) == []


@pytest.mark.parametrize("type", STANDS)
def test_every_failure_that_a_stand_names_is_a_known_one(type: str) -> None:
    assert STANDS[type].troubles.keys() <= TROUBLES.keys()


@pytest.mark.timeout(300)
def test_the_page_of_providers_is_current() -> None:
    current = page({type: results_of(type) for type in STANDS})
    same = _PAGE.read_text("utf-8") == current
    assert same, "run: python -m tests.conformance docs/providers.md"
