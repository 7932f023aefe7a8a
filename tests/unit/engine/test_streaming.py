"""Events on their way: untouched, with their true size, converted, reported, several streams in one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping

import pytest

from gateway.engine.event_finishing import EventFinishing
from gateway.engine.finishing import Report
from gateway.engine.outlet import Outlet
from gateway.engine.pictures import Order
from gateway.engine.streaming import Streamed, relay_stream
from gateway.errors import GatewayError
from gateway.images.call import ImageCall
from gateway.images.fitted import Adjustment, Finish, How
from gateway.media.spool import Spool, SpoolFailed, SpoolRoom
from providers.base import Certainty, ImageResult, Operation, ProviderError
from tests.unit.engine.finished import USAGE, document, drawn, item, order, picture_in, pictures, raw, result

COMPLETED = "image_generation.completed"
PARTIAL = "image_generation.partial_image"


def event(kind: str, picture: bytes, *, named: bool = True, **fields: object) -> bytes:
    said = {"type": kind, **item(picture), "size": "64x48", "output_format": "png", **fields}
    if kind == COMPLETED:
        said.setdefault("usage", USAGE)
    line = f"data: {json.dumps(said)}\n\n"
    return (f"event: {kind}\n{line}" if named else line).encode()


def call(n: int = 1) -> ImageCall:
    return ImageCall(Operation.GENERATE, "m", "a red kite", {"stream": True, "n": n})


def stream(*events: bytes) -> ImageResult:
    return result(b"".join(events), "text/event-stream", step=1000)


async def relayed(
    room: SpoolRoom,
    upstream: ImageResult,
    wanted: Order | None = None,
    *,
    report: Report | None = None,
    web: Mapping[str, bytes] | None = None,
    n: int = 1,
) -> tuple[Streamed, bytes]:
    outlet = Outlet()
    finishing = EventFinishing(pictures(room, web=web), wanted or order(), report)
    streamed = await relay_stream(upstream, room, outlet, call(n), "here", finishing)
    outlet.end()
    return streamed, await read(outlet)


async def read(outlet: Outlet) -> bytes:
    """What the client gets, once both sides are through with the stream."""
    sent = b"".join([chunk async for chunk in outlet.chunks()])
    outlet.produced()
    outlet.close()
    return sent


def told(sent: bytes) -> list[dict[str, object]]:
    events = []
    for block in sent.decode().split("\n\n")[:-1]:
        name, _, line = block.partition("\n")
        document = json.loads(line.removeprefix("data: "))
        assert name == f"event: {document['type']}"
        events.append(document)
    return events


async def test_events_that_are_right_are_relayed_untouched(room: SpoolRoom) -> None:
    events = [event(PARTIAL, drawn(), size="auto", partial_image_index=0), event(COMPLETED, drawn())]
    streamed, sent = await relayed(room, stream(*events))
    assert sent == b"".join(events)
    assert [picture.size for picture in streamed.pictures] == ["64x48"]
    assert (streamed.images, streamed.failure, streamed.relayed) == (1, None, True)


async def test_a_completed_event_says_the_size_that_its_picture_has(room: SpoolRoom) -> None:
    sent = (await relayed(room, stream(event(COMPLETED, drawn("webp"), size="auto", odd={"a": 1}))))[1]
    (completed,) = told(sent)
    assert (completed["size"], completed["output_format"], completed["odd"]) == ("64x48", "webp", {"a": 1})


async def test_an_event_without_its_name_gets_it(room: SpoolRoom) -> None:
    bare = event(COMPLETED, drawn(), named=False)
    assert (await relayed(room, stream(bare)))[1] == b"event: image_generation.completed\n" + bare


async def test_partial_and_completed_pictures_are_converted(room: SpoolRoom) -> None:
    finish = Finish(format="jpeg", pixels=(30, 30), fit="cover", compression=80)
    events = [event(PARTIAL, drawn(), size="auto", partial_image_index=1), event(COMPLETED, drawn())]
    streamed, sent = await relayed(room, stream(*events), order(finish, as_url=True))
    partial, completed = told(sent)
    for each in (partial, completed):
        made = picture_in(each)  # type: ignore[arg-type]
        assert (made.format, made.size) == ("JPEG", (30, 30))
        assert (each["size"], each["output_format"]) == ("30x30", "jpeg")
    assert partial["partial_image_index"] == 1
    assert completed["usage"] == USAGE
    assert len(streamed.pictures) == 1


async def test_the_report_is_the_last_key_of_completed_events_alone(room: SpoolRoom) -> None:
    events = [event(PARTIAL, drawn(), partial_image_index=0), event(COMPLETED, drawn())]
    sent = (await relayed(room, stream(*events), report=lambda pictures, _: {"size": pictures[0].size}))[1]
    partial, completed = told(sent)
    assert "imagegate" not in partial
    assert list(completed)[-1] == "imagegate"
    assert completed["imagegate"] == {"size": "64x48"}


BROKEN = drawn()[:3000] + bytes(3000) + drawn()[6000:]


async def test_what_cannot_be_converted_is_relayed_as_it_was_made(room: SpoolRoom) -> None:
    streamed, sent = await relayed(room, stream(event(COMPLETED, BROKEN)), order(Finish(format="webp")))
    assert sent == event(COMPLETED, BROKEN)
    assert list(streamed.adjustments) == [Adjustment("output_format", "webp", How.DROPPED, "png")]


async def test_strict_mode_reads_on_for_the_usage_and_then_tells(room: SpoolRoom) -> None:
    events = [event(PARTIAL, BROKEN, partial_image_index=0), event(COMPLETED, drawn())]
    streamed, sent = await relayed(room, stream(*events), order(Finish(format="webp"), strict=True))
    assert sent == b""
    assert streamed.failure is not None
    assert streamed.failure.code == "conversion_failed"
    assert streamed.usage is not None
    assert (streamed.images, streamed.usage.total_tokens, streamed.relayed) == (1, 105, False)


async def test_a_disk_that_fails_is_no_fault_of_the_provider(
    room: SpoolRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(spool: Spool, chunk: bytes) -> None:
        raise SpoolFailed(28, "full")

    monkeypatch.setattr(Spool, "write", full)
    for upstream in (stream(event(COMPLETED, drawn())), result(raw(document(item(drawn()))))):
        streamed, sent = await relayed(room, upstream)
        assert sent == b""
        assert streamed.failure is not None
        assert (streamed.failure.status, streamed.failure.code) == (503, "spool_failed")
        assert streamed.usage is not None
        assert (streamed.images, streamed.usage.total_tokens) == (1, 105)


async def test_an_answer_in_one_piece_becomes_events(room: SpoolRoom) -> None:
    link = "https://pictures.example/1"
    whole = document(item(drawn()), item(drawn(size=(70, 70))), {"url": link}, size="auto")
    streamed, sent = await relayed(
        room, result(raw(whole, slashes=True)), order(Finish(format="webp")), web={link: drawn("gif")}, n=3
    )
    events = told(sent)
    assert [each["size"] for each in events] == ["64x48", "70x70", "64x48"]
    assert {picture_in(each).format for each in events} == {"WEBP"}  # type: ignore[arg-type]
    assert [each["usage"]["total_tokens"] for each in events] == [0, 0, 105]  # type: ignore[index]
    assert (streamed.images, len(streamed.pictures)) == (3, 3)
    assert list(events[0]) == [
        "type", "b64_json", "created_at", "size", "quality", "background", "output_format", "usage"
    ]  # fmt: skip


async def test_an_answer_that_is_right_is_copied_into_events(room: SpoolRoom) -> None:
    sent = (await relayed(room, result(raw(document(item(drawn()), item(drawn("jpeg"))))), n=2))[1]
    assert [base64.b64decode(str(each["b64_json"])) for each in told(sent)] == [drawn(), drawn("jpeg")]


async def test_events_of_one_answer_go_back_when_the_client_has_left(room: SpoolRoom) -> None:
    outlet = Outlet()
    upstream = result(raw(document(item(drawn()), item(drawn()))))
    await relay_stream(upstream, room, outlet, call(2), "here", EventFinishing(pictures(room), order()))
    chunks = outlet.chunks()
    await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined]
    outlet.close()
    outlet.produced()
    assert room.in_memory == 0


async def test_completed_events_stay_for_who_comes_back_until_both_sides_are_through(room: SpoolRoom) -> None:
    outlet = Outlet()
    events = [event(PARTIAL, drawn(), size="auto", partial_image_index=0), event(COMPLETED, drawn())]
    outlet.close()  # the client leaves before there is anything
    await relay_stream(stream(*events), room, outlet, call(), "here", EventFinishing(pictures(room), order()))
    whole = outlet.whole(None)
    assert whole is not None
    assert whole.size == len(events[1])
    for _ in range(2):
        assert b"".join([chunk async for chunk in whole.chunks(keep=True)]) == events[1]
    ends_badly = outlet.whole(GatewayError("no", code="pictures_missing"))
    assert ends_badly is not None
    said = b"".join([chunk async for chunk in ends_badly.chunks(keep=True)])
    assert said.startswith(events[1])
    assert b"event: error" in said
    assert len(said) == ends_badly.size
    outlet.produced()
    assert (outlet.whole(None), room.in_memory) == (None, 0)


async def test_several_streams_share_one_outlet_event_by_event(room: SpoolRoom) -> None:
    outlet = Outlet()
    parts = [
        [event(PARTIAL, drawn(size=(60 + n, 50)), size="auto", partial_image_index=0, part=n),
         event(COMPLETED, drawn(size=(60 + n, 50)), size=f"{60 + n}x50", part=n)]
        for n in range(4)
    ]  # fmt: skip

    async def slowly(events: list[bytes]) -> AsyncIterator[bytes]:
        for each in events:
            for at in range(0, len(each), 1500):
                yield each[at : at + 1500]
                await asyncio.sleep(0)

    async def one(events: list[bytes]) -> Streamed:
        async def aclose() -> None:
            pass

        upstream = ImageResult(slowly(events), aclose, "text/event-stream")
        finishing = EventFinishing(pictures(room), order())
        return await relay_stream(upstream, room, outlet, call(), "here", finishing)

    streams = await asyncio.gather(*map(one, parts))
    outlet.end()
    sent = await read(outlet)
    assert [each.images for each in streams] == [1] * 4
    blocks = [block + b"\n\n" for block in sent.split(b"\n\n")[:-1]]
    assert sorted(blocks) == sorted(each for events in parts for each in events)
    for events in parts:
        assert blocks.index(events[0]) < blocks.index(events[1])


async def test_a_stream_of_which_nothing_went_out_may_still_move_on(room: SpoolRoom) -> None:
    outlet = Outlet()
    finishing = EventFinishing(pictures(room), order())
    await relay_stream(stream(event(COMPLETED, drawn())), room, outlet, call(), "here", finishing)
    error = b'event: error\ndata: {"type":"error","error":{"code":"server_is_overloaded","message":"no"}}\n\n'
    for events, answered in (([event(PARTIAL, drawn()), error], True), ([error], False)):
        with pytest.raises(ProviderError) as failed:
            await relay_stream(stream(*events), room, outlet, call(), "here", finishing)
        assert (failed.value.certainty is Certainty.ANSWERED) == answered
    outlet.close()
    outlet.produced()
