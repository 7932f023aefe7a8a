"""What the fake upstream does with a request: an answer, a refusal, or a way of failing at one.

A behaviour is a plain value; the functions below make the usual ones, ``dataclasses.replace`` combines
them. In a process of its own the upstream takes them as text, in the prompt or in a header::

    [upstream: ok bytes=28000000 delay=2]      [upstream: error rate_limit]      [upstream: cut 5000]
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tests.simulators.refusals import REFUSALS, Refusal

Where = Literal["during_body", "before_headers", "after_headers"]
End = Literal["whole", "cut", "reset", "hang", "silent"]
Payload = Literal[
    "pictures",
    "empty",
    "no_data",
    "bad_base64",
    "truncated_base64",
    "not_a_picture",
    "broken_json",
    "nothing",
]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """``delay`` seconds pass before the status line. Then a ``refusal``, or the answer to the request,
    which ends early where ``end`` and ``at`` say so: ``at`` is a point of the answer, a number of bytes of
    its body, or (streams) ``events``, a number of whole events. Streams pause ``event_delay`` seconds
    before each event."""

    delay: float = 0.0
    refusal: Refusal | None = None
    early: bool = False
    """Refuse as soon as the request's head is in, without reading its body."""
    payload: Payload = "pictures"
    bytes: int | None = None
    """Size of the whole answer's body; pictures are padded to it."""
    usage: Literal["after", "before", "none"] = "after"
    count: int | None = None
    """Pictures in the answer, where not as many as were asked for."""
    compact: bool = False
    """JSON without spaces and line breaks."""
    drip: tuple[int, float] | None = None
    """(bytes, seconds): the body comes in pieces of that size with that pause between."""
    framing: Literal["length", "chunked", "close"] = "length"
    lie: int = 0
    """Added to the true ``Content-Length``."""
    headers: tuple[tuple[str, str], ...] = ()
    end: End = "whole"
    at: Where | int | None = None
    events: int | None = None
    within: bool = False
    """Streams: end in the middle of the event that follows."""
    stream_error: bool = False
    """Streams: end with an ``error`` event (after ``events`` others, where given)."""
    event_delay: float = 0.0
    partials: int | None = None
    """Partial images in a stream, where not as many as were asked for."""

    @property
    def size(self) -> int | None:
        """Bytes that the body must have: as asked for, or enough to reach the point where it breaks off."""
        if self.bytes is None and isinstance(self.at, int):
            return self.at + 1000
        return self.bytes


def ok(
    *,
    bytes: int | None = None,
    usage: Literal["after", "before", "none"] = "after",
    delay: float = 0.0,
    drip: tuple[int, float] | None = None,
    count: int | None = None,
    framing: Literal["length", "chunked", "close"] = "length",
    compact: bool = False,
    lie: int = 0,
    headers: Mapping[str, str] | None = None,
    event_delay: float = 0.0,
    partials: int | None = None,
) -> Behaviour:
    """A good answer."""
    return Behaviour(
        delay=delay,
        bytes=bytes,
        usage=usage,
        count=count,
        compact=compact,
        drip=drip,
        framing=framing,
        lie=lie,
        headers=tuple((headers or {}).items()),
        event_delay=event_delay,
        partials=partials,
    )


def error(
    what: str | int,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    content_type: str = "application/json",
    delay: float = 0.0,
    early: bool = False,
) -> Behaviour:
    """A refusal: by its name in ``refusals.REFUSALS``, or by status with a body (bytes, text, or JSON)."""
    if isinstance(what, str):
        known = REFUSALS[what]
        return Behaviour(
            delay=delay,
            early=early,
            refusal=replace(known, headers=(*known.headers, *(headers or {}).items())),
        )
    if body is None:
        raw = b""
    elif isinstance(body, str | bytes):
        raw = body.encode() if isinstance(body, str) else body
    else:
        raw = json.dumps(body).encode()
    return Behaviour(
        delay=delay,
        early=early,
        refusal=Refusal(what, raw, tuple((headers or {}).items()), content_type if raw else ""),
    )


def cut(after_bytes: int, *, bytes: int | None = None, **more: Any) -> Behaviour:
    """An answer whose connection is closed in good order after so many bytes of its body."""
    return replace(Behaviour(bytes=bytes, end="cut", at=after_bytes), **more)


def reset(at: Where | int = "before_headers", *, delay: float = 0.0, **more: Any) -> Behaviour:
    """A TCP reset: ``during_body`` of the request, before or after our headers, or after so many bytes."""
    return replace(Behaviour(delay=delay, end="reset", at=at), **more)


def hang(at: Where | int = "before_headers", *, delay: float = 0.0, **more: Any) -> Behaviour:
    """Silence on an open connection until the client leaves."""
    return replace(Behaviour(delay=delay, end="hang", at=at), **more)


def close(at: Where | int = "before_headers", **more: Any) -> Behaviour:
    """The connection is closed in good order, without an answer or within its headers' reach."""
    return replace(Behaviour(end="cut", at=at), **more)


def empty_data(*, missing: bool = False, usage: Literal["after", "before", "none"] = "after") -> Behaviour:
    """A 200 without pictures: ``"data": []``, or no ``data`` at all."""
    return Behaviour(payload="no_data" if missing else "empty", usage=usage)


def bad_base64(**more: Any) -> Behaviour:
    """Base64 with characters that are none, in the middle."""
    return replace(Behaviour(payload="bad_base64"), **more)


def truncated_base64(**more: Any) -> Behaviour:
    """JSON that closes around base64 that does not: the picture lacks its end."""
    return replace(Behaviour(payload="truncated_base64"), **more)


def not_a_picture(**more: Any) -> Behaviour:
    """Good base64 of something that is no picture."""
    return replace(Behaviour(payload="not_a_picture"), **more)


def broken_json(**more: Any) -> Behaviour:
    """A whole body, as long as promised, whose JSON does not close."""
    return replace(Behaviour(payload="broken_json"), **more)


def nothing() -> Behaviour:
    """A 200 whose body is empty."""
    return Behaviour(payload="nothing")


def html(status: int = 502) -> Behaviour:
    """The page of an intermediary."""
    pages = {502: "bad_gateway", 503: "no_backend", 504: "gateway_timeout", 524: "origin_timeout"}
    pages |= {408: "request_timeout", 200: "html_200"}
    return Behaviour(refusal=REFUSALS[pages[status]])


def stream_cut(after_events: int, *, within: bool = False, **more: Any) -> Behaviour:
    """A stream that ends without a word after so many events, or ``within`` the next one."""
    return replace(Behaviour(end="cut", events=after_events, within=within), **more)


def stream_end(after_events: int, **more: Any) -> Behaviour:
    """A stream that is finished in good order after so many events, without ``completed`` or an error."""
    return replace(Behaviour(end="silent", events=after_events), **more)


def stream_reset(after_events: int, **more: Any) -> Behaviour:
    return replace(Behaviour(end="reset", events=after_events), **more)


def stream_hang(after_events: int, **more: Any) -> Behaviour:
    return replace(Behaviour(end="hang", events=after_events), **more)


def stream_error(after_events: int = 0, **more: Any) -> Behaviour:
    """A stream whose provider reports a failure in an ``error`` event after so many others."""
    return replace(Behaviour(stream_error=True, events=after_events), **more)


_MAKERS: dict[str, Callable[..., Behaviour]] = {
    maker.__name__: maker
    for maker in (
        ok,
        error,
        cut,
        reset,
        hang,
        close,
        empty_data,
        bad_base64,
        truncated_base64,
        not_a_picture,
        broken_json,
        nothing,
        html,
        stream_cut,
        stream_end,
        stream_reset,
        stream_hang,
        stream_error,
    )
}
_DIRECTIVE = re.compile(r"\[upstream:\s*([^\]]+)\]")


def from_text(text: str) -> Behaviour:
    """``NAME ARGUMENT… key=value…``, e.g. ``ok bytes=1000 usage=none`` or ``drip`` as ``drip=100/0.5``."""
    name, *words = text.split()
    if name not in _MAKERS:
        raise ValueError(f"unknown behaviour {name!r}; known: {', '.join(_MAKERS)}")
    positional = [_value(word) for word in words if "=" not in word]
    named = {key: _value(value) for key, _, value in (word.partition("=") for word in words if "=" in word)}
    return _MAKERS[name](*positional, **named)


def _value(word: str) -> Any:
    if re.fullmatch(r"\d+/\d+(\.\d+)?", word):
        size, _, pause = word.partition("/")
        return int(size), float(pause)
    if word in ("true", "false"):
        return word == "true"
    if re.fullmatch(r"-?\d+", word):
        return int(word)
    return float(word) if re.fullmatch(r"\d*\.\d+", word) else word


def in_prompt(prompt: str) -> Behaviour | None:
    """The behaviour that a prompt asks for, if it does."""
    found = _DIRECTIVE.search(prompt)
    return from_text(found[1]) if found else None
