"""What a prompt can ask the sandbox to do, written into it as ``[sandbox: WORD]``.

====================  =======================================================================
word                  what happens
====================  =======================================================================
``400``               an invalid parameter (rejected)
``401``, ``403``      the gateway's account is refused (rejected)
``404``               no such model (rejected)
``429``               a rate limit with ``retry-after: 1`` (rejected)
``quota``             429, the gateway's account is out of money (rejected)
``500``               a failure in the provider's own envelope (failed)
``502``, ``504``      an intermediary's HTML page (maybe accepted)
``503``               an overload in the provider's own envelope (rejected)
``moderation``        the prompt is refused for its content (rejected)
``moderation-output`` the finished picture is refused for its content (rejected, billing unknown)
``refused``           the connection is refused (not sent)
``reset``             the connection is reset after the request was sent (maybe accepted)
``timeout [SECONDS]`` silence until the deadline, or for so long (maybe accepted)
``empty``             HTTP 200 with no picture in it
``partial``           HTTP 200 with one picture fewer than asked for
``cut``               the body ends in the middle
``truncated``         the JSON is whole, the picture in it ends in the middle
``html``              HTTP 200 with an HTML page (answered, bad payload)
``no-usage``          the answer does not say what was used
``slow SECONDS``      so much later, e.g. ``[sandbox: slow 5s]``
====================  =======================================================================

Several may stand in one prompt; ``slow`` goes with any other. An unknown word is a 400 that lists these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from config.units import parse_seconds
from providers.base import Certainty, Kind, ProviderError

_DIRECTIVE = re.compile(r"\[\s*sandbox\s*:\s*([^\]]*?)\s*\]", re.IGNORECASE)
_LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not 2xx; it is read by the same rules as a real upstream's."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What to do differently. The defaults are a good provider."""

    refusal: Refusal | None = None
    failure: tuple[Kind, Certainty, str] | None = None
    silence: float | None = None
    """Seconds without an answer."""
    slow: float = 0.0
    missing: float = 0.0
    """The share of the pictures that is left out, rounded up; 1 leaves none."""
    cut: bool = False
    truncated: bool = False
    html: bool = False
    usage: bool = True


def _says(status: int, message: str, type: str, code: str | None = None, **more: object) -> Behaviour:
    headers = {"retry-after": "1"} if code == "rate_limit_exceeded" else {}
    error = {"message": message, "type": type, "param": None, "code": code, **more}
    return Behaviour(Refusal(status, msgspec.json.encode({"error": error}), headers))


def _page(status: int, title: str) -> Behaviour:
    return Behaviour(Refusal(status, f"<html><title>{title}</title></html>".encode(), {}))


def _moderated(stage: str) -> Behaviour:
    return _says(
        400,
        "Your request was rejected by the safety system.",
        "image_generation_user_error",
        "moderation_blocked",
        moderation_details={"moderation_stage": stage, "categories": ["other"]},
    )


_REQUEST = "invalid_request_error"
_PLAIN: Mapping[str, Behaviour] = {
    "400": _says(400, "Invalid value: the sandbox was asked for a 400.", _REQUEST, "invalid_value"),
    "401": _says(401, "Incorrect API key provided.", _REQUEST, "invalid_api_key"),
    "403": _says(403, "Your organization must be verified to use the model.", _REQUEST),
    "404": _says(404, "The model does not exist.", _REQUEST, "model_not_found"),
    "429": _says(429, "Rate limit reached on images per min.", "requests", "rate_limit_exceeded"),
    "quota": _says(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    "500": _says(500, "The server had an error while processing the request.", "server_error"),
    "502": _page(502, "Bad Gateway"),
    "503": _says(503, "The server is overloaded.", "server_error", "server_is_overloaded"),
    "504": _page(504, "Gateway Time-out"),
    "moderation": _moderated("input"),
    "moderation-output": _moderated("output"),
    "refused": Behaviour(failure=(Kind.SERVER, Certainty.NOT_SENT, "the connection was refused")),
    "reset": Behaviour(
        failure=(Kind.SERVER, Certainty.MAYBE_ACCEPTED, "the connection ended without an answer")
    ),
    "timeout": Behaviour(silence=_LONGEST),
    "empty": Behaviour(missing=1.0),
    "partial": Behaviour(missing=0.01),
    "cut": Behaviour(cut=True),
    "truncated": Behaviour(truncated=True),
    "html": Behaviour(html=True),
    "no-usage": Behaviour(usage=False),
}
_TIMED: Mapping[str, str] = {"slow": "slow", "timeout": "silence"}
"""Words that take seconds, and the field these go into."""

WORDS = (*_PLAIN, "slow SECONDS", "timeout SECONDS")


def read(prompt: str) -> tuple[str, Behaviour]:
    """The prompt without its directives, and what they ask for. Raises :class:`ProviderError` (invalid,
    rejected) for an unknown one."""
    found: dict[str, object] = {}
    for match in _DIRECTIVE.finditer(prompt):
        found |= _changes(_one(match[1]))
    rest = " ".join(_DIRECTIVE.sub(" ", prompt).split()) if found or _DIRECTIVE.search(prompt) else prompt
    return rest, replace(Behaviour(), **found)  # type: ignore[arg-type]


def _one(text: str) -> Behaviour:
    word, _, amount = text.lower().partition(" ")
    if not amount and word in _PLAIN:
        return _PLAIN[word]
    if word in _TIMED:
        try:
            seconds = parse_seconds(amount)
        except ValueError:
            seconds = -1.0
        if 0 <= seconds <= _LONGEST:
            return Behaviour(slow=seconds) if word == "slow" else Behaviour(silence=seconds)
    raise ProviderError(
        Kind.INVALID,
        Certainty.REJECTED,
        f"The sandbox has no such directive. Write one of these as [sandbox: …]: {', '.join(WORDS)}.",
        status=400,
        type=_REQUEST,
        param="prompt",
        code="invalid_value",
    )


def _changes(behaviour: Behaviour) -> dict[str, object]:
    good = Behaviour()
    return {
        name: value
        for name in Behaviour.__dataclass_fields__
        if (value := getattr(behaviour, name)) != getattr(good, name)
    }
