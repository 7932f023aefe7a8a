"""A streamed answer: the upstream's events relayed whole, or made from an answer that came in one piece.

An event is relayed only when its last byte is here and its picture was judged; comments, ``[DONE]`` and
events of other types are dropped, since the official Python SDK takes an unknown event for a partial picture.
A stream that ends without ``completed`` is a failure and never a silent end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import time

import msgspec

from gateway.engine.outlet import Outlet
from gateway.engine.whole import UnusableAnswer, Whole, receive_whole
from gateway.images.amounts import Usage
from gateway.images.call import ImageCall
from gateway.images.events import Event, EventSplitter
from gateway.images.skeleton import BadAnswer, judge
from gateway.images.usage import add, read_usage
from gateway.media.spool import Spool, SpoolFailed, SpoolRoom, SpoolTooLarge
from providers.base import Certainty, ImageResult, Kind, Operation, ProviderError
from providers.openai_spoken import error_in_answer

_NAMES = {Operation.GENERATE: "image_generation", Operation.EDIT: "image_edit"}


_Spoken = Callable[[Mapping[str, object]], ProviderError | None]


@dataclass(slots=True)
class Streamed:
    """What went past: completed pictures, and the usage their events reported."""

    images: int = 0
    usage: Usage | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    """The last ``completed`` event without its picture."""

    def said(self, name: str) -> str | None:
        """What the answer says of ``quality`` or ``size``."""
        value = self.facts.get(name)
        return value if isinstance(value, str) and value != "auto" else None


async def relay_stream(
    result: ImageResult, room: SpoolRoom, outlet: Outlet, call: ImageCall, provider: str
) -> Streamed:
    """Read a result to its end into the outlet. Raises :class:`ProviderError`; certainty ``answered`` once an
    image event went out."""
    if not result.content_type.startswith("text/event-stream"):
        whole = await receive_whole(result, room, provider=provider, prompt=call.prompt)
        return await _from_whole(whole, room, outlet, call)
    streamed = Streamed()
    try:
        await _relay_events(
            result,
            room,
            outlet,
            streamed,
            lambda document: error_in_answer(
                document, provider=provider, prompt=call.prompt, scrub=result.scrub
            ),
        )
    except ProviderError as error:
        if streamed.images >= call.n:
            return streamed  # every picture came; how the connection then ended changes nothing
        if outlet.relayed:
            error.certainty = Certainty.ANSWERED  # part of it is with the client: no other target may follow
        raise
    finally:
        await result.aclose()
    if not streamed.images:
        raise UnusableAnswer(Kind.BAD_PAYLOAD, "the stream ended before its picture was complete")
    return streamed


async def _relay_events(
    result: ImageResult, room: SpoolRoom, outlet: Outlet, streamed: Streamed, spoken: _Spoken
) -> None:
    splitter, spool = EventSplitter(), room.spool()
    try:
        async for chunk in result.body:
            for piece, event in splitter.feed(chunk):
                await spool.write(piece)
                if event is None:
                    continue
                await spool.finish()
                if _wanted(event, streamed, spoken):
                    outlet.relayed = True
                    outlet.put(spool if event.named else await _with_name(spool, event.name, room))
                    streamed.images += event.final  # only what the client will get ends a stream well
                else:
                    spool.close()
                spool = room.spool()
    except (SpoolTooLarge, SpoolFailed) as error:
        raise UnusableAnswer(Kind.BAD_PAYLOAD, str(error), streamed.usage) from None
    except BadAnswer as error:
        raise UnusableAnswer(Kind.BAD_PAYLOAD, str(error), streamed.usage) from None
    finally:
        spool.close()


def _wanted(event: Event, streamed: Streamed, spoken: _Spoken) -> bool:
    """Whether the event is relayed; keeps its usage if it completes a picture. Raises on an error event."""
    if event.scanned is None:
        if event.image:
            raise BadAnswer("an event of the stream is not well-formed")
        return False
    document = event.scanned.document
    error = spoken({"error": True, **document} if event.name == "error" else document)
    if error is not None:
        raise error
    if not event.image:
        return False
    encoded = document.get("b64_json")
    if not isinstance(encoded, str) or not encoded:
        raise UnusableAnswer(Kind.EMPTY, "an event of the stream holds no picture", read_usage(document))
    judge(event.scanned, encoded)
    if event.final:
        streamed.usage = add(streamed.usage, read_usage(document))
        streamed.facts = document
    return True


async def _with_name(spool: Spool, name: str, room: SpoolRoom) -> Spool:
    """The same event with the ``event:`` line that its upstream left out."""
    named = room.spool()
    try:
        await named.write(b"event: %b\n" % name.encode())
        async for chunk in spool.chunks():
            await named.write(chunk)
        await named.finish()
    except BaseException:
        named.close()
        raise
    spool.close()
    return named


async def _from_whole(whole: Whole, room: SpoolRoom, outlet: Outlet, call: ImageCall) -> Streamed:
    """``completed`` events out of an answer that came in one piece, the base64 copied as bytes."""
    data = whole.scanned.document["data"]
    assert isinstance(data, list)
    try:
        for index, item in enumerate(data):
            event = room.spool()
            try:
                await _write_completed(event, whole, item, index, call)
            except BaseException:
                event.close()
                raise
            outlet.relayed = True
            outlet.put(event)
    except (SpoolTooLarge, SpoolFailed) as error:
        raise UnusableAnswer(Kind.BAD_PAYLOAD, str(error), whole.usage) from None
    finally:
        whole.spool.close()
    return Streamed(len(data), whole.usage, whole.scanned.document)


async def _write_completed(event: Spool, whole: Whole, item: object, index: int, call: ImageCall) -> None:
    document = whole.scanned.document
    encoded = item.get("b64_json") if isinstance(item, dict) else None
    if not isinstance(encoded, str):
        raise UnusableAnswer(
            Kind.BAD_PAYLOAD, "the answer holds a URL where an event needs the picture", whole.usage
        )
    name = f"{_NAMES[call.operation]}.completed"
    await event.write(b'event: %b\ndata: {"type":"%b","b64_json":"' % (name.encode(), name.encode()))
    long = whole.scanned.long(encoded)
    if long is None:
        await event.write(encoded.encode())
    else:
        async for chunk in whole.spool.chunks(long.start, long.end):
            await event.write(chunk)
    picture = whole.pictures[index]
    last = index == len(whole.pictures) - 1
    facts = {
        "created_at": document.get("created") or int(time()),
        "size": document.get("size") or picture.size or "auto",
        "quality": document.get("quality") or "auto",
        "background": document.get("background") or "auto",
        "output_format": document.get("output_format") or picture.format or "png",
        # The usage covers all pictures, so it stands once; clients add up what events say.
        "usage": document.get("usage") if last and document.get("usage") else _NO_USAGE,
    }
    await event.write(b'",' + msgspec.json.encode(facts)[1:] + b"\n\n")
    await event.finish()


_NO_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}
