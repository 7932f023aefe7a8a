"""Whom a call is for, beyond its key: the end user, and the caller's own tags. Both are kept with the call.

Nothing is ignored in silence: a tag that nobody allowed is refused, so that no report lacks what somebody
believes to be in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from config.problems import did_you_mean
from gateway.caller import Caller
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.wording import shown

TAGS_HEADER = b"x-imagegate-tags"
MOST_TAGS = 16
LONGEST_HEADER = 2048
LONGEST_VALUE = 128
LONGEST_END_USER = 512

Headers = Mapping[bytes, bytes]


def end_user_of(call: ImageCall, caller: Caller, headers: Headers) -> str | None:
    """``safety_identifier``, else ``user``, else the project's ``end_user_header``. Raises
    :class:`InvalidRequest` for a header that is no name."""
    return call.end_user or end_user_in(caller, headers)


def end_user_in(caller: Caller, headers: Headers) -> str | None:
    """What the project's ``end_user_header`` says. ``headers`` have lower-case names."""
    if caller.end_user_header is None:
        return None
    raw = headers.get(caller.end_user_header.encode("latin-1"), b"").strip()
    if not raw:
        return None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if len(text) > LONGEST_END_USER or not text.isprintable():
        raise InvalidRequest(
            f"Invalid '{caller.end_user_header}' header: an end user's name is at most {LONGEST_END_USER} "
            "printable characters.",
            param=caller.end_user_header,
            code="invalid_value",
        )
    return text


def tags_of(caller: Caller, headers: Headers) -> Mapping[str, str]:
    """The request's tags: ``x-imagegate-tags: name=value, name2=value2``, empty without that header. Raises
    :class:`InvalidRequest` for what is malformed, too much, or not allowed."""
    raw = headers.get(TAGS_HEADER, b"").strip()
    if not raw:
        return {}
    text = raw.decode("latin-1")
    if len(text) > LONGEST_HEADER or not (text.isascii() and text.isprintable()):
        raise _wrong(f"at most {LONGEST_HEADER} printable ASCII characters")
    tags: dict[str, str] = {}
    for part in text.split(","):
        name, is_pair, value = (piece.strip() for piece in part.partition("="))
        if not is_pair or not name or not value:
            raise _wrong("expected name=value pairs with commas between them, such as team=red, run=7")
        if name not in caller.tags:
            raise _unknown(name, caller)
        if name in tags:
            raise _wrong(f"the tag '{shown(name)}' stands there twice")
        if len(value) > LONGEST_VALUE:
            raise _wrong(f"the value of '{shown(name)}' has more than {LONGEST_VALUE} characters")
        tags[name] = value
    if len(tags) > MOST_TAGS:
        raise _wrong(f"at most {MOST_TAGS} tags")
    return tags


def _wrong(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid 'x-imagegate-tags' header: {what}.", param="x-imagegate-tags", code="invalid_value"
    )


def _unknown(name: str, caller: Caller) -> InvalidRequest:
    allowed = sorted(caller.tags)
    hint = did_you_mean(name, allowed)
    offer = f" Allowed: {', '.join(allowed)}." if allowed else " This gateway's operator has allowed none."
    return InvalidRequest(
        f"Unknown tag in 'x-imagegate-tags': '{shown(name)}'.{hint}{offer}",
        param="x-imagegate-tags",
        code="unknown_tag",
    )
