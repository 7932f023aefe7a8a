"""The words that calls are told in."""

from __future__ import annotations

from config.accounts.kinds import provider_types
from gateway.engine.told import SYSTEMS, Ending, tokens_of
from gateway.errors import InternalError
from gateway.images.amounts import Usage
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


def test_tokens_are_told_by_modality_and_their_sum_is_what_was_billed() -> None:
    whole = Usage(
        input_tokens=30, input_text_tokens=10, input_image_tokens=20, output_tokens=5, output_image_tokens=5
    )
    assert list(tokens_of(whole)) == [("input", "text", 10), ("input", "image", 20), ("output", "image", 5)]
    bare = Usage(input_tokens=30, output_tokens=5)
    assert list(tokens_of(bare)) == [("input", "any", 30), ("output", "image", 5)]
    assert list(tokens_of(Usage())) == []
