"""What is read from a provider: errors inside an answer, and spools that go back whatever happens."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.engine.event_finishing import EventFinishing
from gateway.engine.outlet import Outlet
from gateway.engine.streaming import relay_stream
from gateway.engine.whole import receive_whole
from gateway.images.call import ImageCall
from gateway.media.spool import SpoolRoom
from providers.base import ImageResult, Operation, ProviderError
from providers.scrub import Scrubber
from tests.unit.engine.finished import order, pictures


def finishing(room: SpoolRoom) -> EventFinishing:
    return EventFinishing(pictures(room), order())


SECRET = "no known form of a key"
CALL = ImageCall(operation=Operation.GENERATE, model="m", prompt="a red kite", params={"stream": True})


def result(body: bytes, content_type: str = "application/json") -> ImageResult:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    async def aclose() -> None:
        pass

    return ImageResult(chunks(), aclose, content_type, scrub=Scrubber([SECRET]))


@pytest.fixture
def room(tmp_path: Path) -> SpoolRoom:
    return SpoolRoom(memory=10_000, max_answer=1_000, directory=str(tmp_path))


async def test_an_error_inside_an_answer_is_told_without_the_accounts_key(room: SpoolRoom) -> None:
    spoken = b'{"error":{"message":"%b is out of order"}}' % SECRET.encode()
    with pytest.raises(ProviderError, match="is out of order") as whole:
        await receive_whole(result(spoken), room, provider="here", prompt="")
    event = b"event: error\ndata: " + spoken + b"\n\n"
    with pytest.raises(ProviderError, match="is out of order") as streamed:
        await relay_stream(result(event, "text/event-stream"), room, Outlet(), CALL, "here", finishing(room))
    assert SECRET not in whole.value.message + streamed.value.message
    assert room.in_memory == 0


async def test_an_event_that_is_too_large_gives_its_memory_back(room: SpoolRoom) -> None:
    picture = (Path(__file__).parents[2] / "contract" / "dot.png").read_bytes()
    event = _unnamed(picture, room.max_answer + 1)
    with pytest.raises(ProviderError, match="larger than"):
        await relay_stream(result(event, "text/event-stream"), room, Outlet(), CALL, "here", finishing(room))
    assert room.in_memory == 0


def _unnamed(picture: bytes, size: int) -> bytes:
    """An event without its ``event:`` line, padded to exactly ``size`` bytes."""
    text = base64.b64encode(picture)
    head = b'data: {"type":"image_generation.completed","b64_json":"%b"' % text
    return head + b" " * (size - len(head) - 3) + b"}\n\n"
