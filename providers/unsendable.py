"""Requests that cannot be put into an upstream's words."""

from __future__ import annotations

from providers.base import Certainty, Kind, ProviderError


def unsendable(message: str, *, param: str | None = None, code: str | None = None) -> ProviderError:
    """In the form of a refusal of OpenAI's, for the caller to mend; nothing was sent. ``message`` says what
    to send instead."""
    return ProviderError(
        Kind.INVALID,
        Certainty.NOT_SENT,
        message,
        status=400,
        type="invalid_request_error",
        param=param,
        code=code,
    )
