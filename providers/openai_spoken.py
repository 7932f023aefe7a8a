"""Errors that an upstream speaks inside a 200: an ``error`` event of a stream, or an ``error`` object where
pictures should be."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from providers.base import ProviderError
from providers.openai_errors import refusal
from providers.scrub import Scrubber

USER_ERRORS = ("image_generation_user_error", "invalid_request_error")


def error_in_answer(
    document: Mapping[str, object], *, provider: str, prompt: str, scrub: Scrubber
) -> ProviderError | None:
    """The error a document speaks, classified as the same words would be with a status line of their own
    (400 for the user's errors, else 500); None where it speaks none. The provider itself says that it made
    nothing, so the certainty is ``rejected`` or ``failed``."""
    error = document.get("error")
    if not error:
        return None
    if not isinstance(error, dict):
        error = {"message": str(error)[:500]}
    words = {**error, "message": error.get("message") or "the provider reported an error without a message"}
    status = 400 if error.get("type") in USER_ERRORS else 500
    return refusal(
        status, {}, msgspec.json.encode({"error": words}), provider=provider, scrub=scrub, prompt=prompt
    )
