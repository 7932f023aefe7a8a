"""The words that calls are told in."""

from __future__ import annotations

from config.schema import provider_types
from gateway.engine.told import SYSTEMS, Ending
from gateway.errors import InternalError
from providers.base import Certainty, Kind, ProviderError


def test_every_word_for_a_system_is_of_a_type_of_account() -> None:
    assert set(SYSTEMS) <= set(provider_types())


def test_an_end_is_one_word_of_ours() -> None:
    ending = Ending()
    assert (ending.outcome, ending.certainty) == ("ok", None)
    ending.failed(ProviderError(Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED, "private words"))
    assert (ending.outcome, ending.certainty) == ("timeout", "maybe_accepted")
    ending = Ending()
    ending.failed(ValueError("private words"))
    assert (ending.outcome, ending.certainty) == ("internal", None)
    ending.failed(InternalError("private words"))
    assert "private" not in ending.outcome
