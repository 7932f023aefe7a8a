"""A streamed answer: the upstream's events relayed whole, or made from an answer that came in one piece.

An event is relayed only when its last byte is here and its picture was judged; comments, ``[DONE]`` and
events of other types are dropped, since the official Python SDK takes an unknown event for a partial picture.
A stream that ends without ``completed`` is a failure and never a silent end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.engine.event_finishing import EventFinishing
from gateway.engine.finishing import Finished
from gateway.engine.outlet import Outlet
from gateway.engine.whole import UnusableAnswer, receive_whole
from gateway.errors import GatewayError
from gateway.images.amounts import Usage
from gateway.images.call import ImageCall
from gateway.images.events import Event, EventSplitter
from gateway.images.fitted import Adjustment
from gateway.images.skeleton import BadAnswer, judge
from gateway.images.sniff import Picture
from gateway.images.usage import add, read_usage
from gateway.media.composed import Shared
from gateway.media.spool import Spool, SpoolFailed, SpoolRoom, SpoolTooLarge
from providers.base import Certainty, ImageResult, Kind, Operation, ProviderError
from providers.openai_spoken import error_in_answer

_NAMES = {Operation.GENERATE: "image_generation", Operation.EDIT: "image_edit"}


_Spoken = Callable[[Mapping[str, object]], ProviderError | None]


@dataclass(slots=True)
class Streamed:
    """What came: completed pictures, and the usage their events reported."""

    images: int = 0
    usage: Usage | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    """The last ``completed`` event without its picture."""
    pictures: list[Picture] = field(default_factory=list)
    """Those whose ``completed`` events were put out, as they were delivered."""
    adjustments: dict[Adjustment, None] = field(default_factory=dict)
    """What came out other than planned; each once."""
    failure: GatewayError | None = None
    """Set where not everything that came could be put out: to be told once the attempt is booked."""
    relayed: bool = False
    """Whether any of it was put out."""
    cost: Decimal | None = None
    """Dollars, as the provider itself says."""

    def said(self, name: str) -> str | None:
        """What the answer says of ``quality`` or ``size``."""
        value = self.facts.get(name)
        return value if isinstance(value, str) and value != "auto" else None

    def put(self, event: Finished, outlet: Outlet, *, final: bool = True) -> None:
        """An event goes out, whole."""
        self.relayed = True
        self.adjustments.update(dict.fromkeys(event.adjustments))
        if final:
            self.pictures.extend(event.pictures)
        outlet.put(event.body, final=final)


async def relay_stream(
    result: ImageResult,
    room: SpoolRoom,
    outlet: Outlet,
    call: ImageCall,
    provider: str,
    finishing: EventFinishing,
) -> Streamed:
    """Read a result to its end into the outlet: each event is put there whole, its fields and its
    ``partial_image_index`` as they came. Raises :class:`ProviderError`; certainty ``answered`` once an event
    of this result went out."""
    if not result.content_type.startswith("text/event-stream"):
        return await _from_whole(result, room, outlet, call, provider, finishing)
    streamed = Streamed()
    try:
        await _relay_events(
            result,
            room,
            outlet,
            streamed,
            finishing,
            lambda document: error_in_answer(
                document, provider=provider, prompt=call.prompt, scrub=result.scrub
            ),
        )
    except ProviderError as error:
        streamed.cost = result.cost
        if streamed.images >= call.n:
            return streamed  # every picture came; how the connection then ended changes nothing
        if streamed.relayed:
            error.certainty = Certainty.ANSWERED  # part of it is with the client: no other target may follow
        raise
    finally:
        await result.aclose()
    streamed.cost = result.cost
    if not streamed.images:
        raise UnusableAnswer(Kind.BAD_PAYLOAD, "the stream ended before its picture was complete")
    return streamed


async def _relay_events(
    result: ImageResult,
    room: SpoolRoom,
    outlet: Outlet,
    streamed: Streamed,
    finishing: EventFinishing,
    spoken: _Spoken,
) -> None:
    """After a failure of ours the rest is still read and judged, so that what was billed is known."""
    splitter, spool = EventSplitter(), room.spool()
    try:
        async for chunk in result.body:
            for piece, event in splitter.feed(chunk):
                if streamed.failure is None:
                    await _kept(spool, piece, event is not None, streamed, finishing)
                if event is None:
                    continue
                if _wanted(event, streamed, spoken) and streamed.failure is None:
                    await _put(spool, event, outlet, streamed, finishing)
                else:
                    spool.close()
                streamed.images += event.final
                spool = room.spool()
    except (SpoolTooLarge, BadAnswer) as error:
        raise UnusableAnswer(Kind.BAD_PAYLOAD, str(error), streamed.usage) from None
    finally:
        spool.close()


async def _kept(
    spool: Spool, piece: bytes, last: bool, streamed: Streamed, finishing: EventFinishing
) -> None:
    try:
        await spool.write(piece)
        if last:
            await spool.finish()
    except SpoolFailed:
        streamed.failure = finishing.lost()


async def _put(
    spool: Spool, event: Event, outlet: Outlet, streamed: Streamed, finishing: EventFinishing
) -> None:
    """The event into the outlet; the spool is given away."""
    try:
        streamed.put(await finishing.relayed(spool, event), outlet, final=event.final)
    except SpoolFailed:
        streamed.failure = finishing.lost()
    except GatewayError as error:
        streamed.failure = error


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


async def _from_whole(
    result: ImageResult,
    room: SpoolRoom,
    outlet: Outlet,
    call: ImageCall,
    provider: str,
    finishing: EventFinishing,
) -> Streamed:
    """``completed`` events out of an answer that came in one piece."""
    whole = await receive_whole(result, room, provider=provider, prompt=call.prompt)
    streamed = Streamed(whole.images, whole.usage, whole.scanned.document, cost=whole.cost)
    name = f"{_NAMES[call.operation]}.completed"
    spool = Shared(whole.spool)
    try:
        if whole.lost is not None:
            raise whole.lost
        for index in range(whole.images):
            streamed.put(await finishing.completed(whole, spool.again(), index, name), outlet)
    except SpoolTooLarge as error:
        raise UnusableAnswer(Kind.BAD_PAYLOAD, str(error), whole.usage, whole.cost) from None
    except SpoolFailed:
        streamed.failure = finishing.lost()
    except GatewayError as error:
        streamed.failure = error
    finally:
        spool.close()
    return streamed
