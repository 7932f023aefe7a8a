"""Words of a query string that are on or off: ``?dryRun=true``, ``?schema=true``.

OpenAI ignores query words that it does not know, and Azure's clients send ``api-version``, so others are
passed over. A switch itself is read in any spelling (``dry_run``, ``DryRun``), and a value that is neither
on nor off is refused: who writes ``dryrun=yes`` must not get a bill.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from gateway.errors import InvalidRequest
from gateway.images.wording import shown

_VALUES = {"": True, "true": True, "1": True, "false": False, "0": False}


def is_on(query: bytes, name: str) -> bool:
    """Whether the query string turns ``name`` on. Raises :class:`InvalidRequest`."""
    if not query:
        return False
    wanted = _plain(name)
    found: set[bool] = set()
    for word, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="replace"):
        if _plain(word) != wanted:
            continue
        meant = _VALUES.get(value.strip().lower())
        if meant is None:
            raise _wrong(name, f"'{shown(value)}' is neither true nor false")
        found.add(meant)
    if len(found) > 1:
        raise _wrong(name, "it is given as true and as false")
    return True in found


def _plain(word: str) -> str:
    return word.strip().replace("_", "").replace("-", "").lower()


def _wrong(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid query: {what}. Use '{name}=true'.", param=name, code="invalid_value")
