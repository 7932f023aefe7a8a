"""What an upstream says may be shown to a client only without keys and without the client's own prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_TEXT = 1000
"""Characters of an upstream's message that are kept."""

_READ = 4 * MAX_TEXT
"""Characters that are searched at all: a hostile upstream must not set the length of our work."""

_KEYS = re.compile(
    r"""
      \b(?:sk|pk|rk|xai|key|gsk)-[A-Za-z0-9_*.\-…]{6,200}[A-Za-z0-9_*]   # OpenAI's form and its relatives
    | \bAIza[A-Za-z0-9_\-]{10,200}                                       # Google
    | [A-Za-z0-9_\-]{0,64}\*{3,}[A-Za-z0-9_\-*]*                         # anything masked by stars
    | (?<=Bearer\ )[A-Za-z0-9._~+/\-]{8,}=*
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ECHO = 16
"""An echo of at least this many characters from the prompt's start counts as an echo of the prompt."""


class Scrubber:
    """Knows one account's secrets. Called with a text, and with the prompt of the call it came from."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that a secret that is part of another leaves no rest of it behind.
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def __call__(self, text: str, prompt: str = "") -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        text = _without_prompt(_KEYS.sub("[key]", text[:_READ]), prompt)
        return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"


def _without_prompt(text: str, prompt: str) -> str:
    """The text with the prompt, or its beginning where it was echoed shortened, replaced by a word."""
    prompt = prompt.strip()
    if len(prompt) < _ECHO:
        # A short prompt may be part of any word; only the whole of it, standing alone, is an echo.
        return re.sub(rf"(?<!\w){re.escape(prompt)}(?!\w)", "[prompt]", text) if prompt else text
    start = text.find(prompt[:_ECHO])
    while start >= 0:
        end = start + _ECHO
        while end < len(text) and end - start < len(prompt) and text[end] == prompt[end - start]:
            end += 1
        text = f"{text[:start]}[prompt]{text[end:]}"
        start = text.find(prompt[:_ECHO], start + len("[prompt]"))
    return text
