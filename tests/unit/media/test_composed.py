from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.images.document import Span
from gateway.media.composed import Body, Composed, Shared
from gateway.media.spool import Spool, SpoolRoom


@pytest.fixture(params=[10_000, 10], ids=["memory", "disk"])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SpoolRoom]:
    made = SpoolRoom(memory=request.param, max_answer=10_000, directory=str(tmp_path))
    yield made
    made.close()


async def spooled(room: SpoolRoom, data: bytes) -> Spool:
    spool = room.spool()
    for at in range(0, len(data), 3):
        await spool.write(data[at : at + 3])
    await spool.finish()
    return spool


async def read(body: Body) -> bytes:
    return b"".join([chunk async for chunk in body.chunks()])


async def test_pieces_are_read_in_order_from_wherever_they_lie(room: SpoolRoom) -> None:
    sources = [await spooled(room, b"0123456789"), await spooled(room, b"abcdefghij")]
    body = Composed([b"<", Span(0, 2, 7), b"|", Span(1, 0, 10), Span(0, 9, 9), b">", Span(0, 0, 1)], sources)
    assert body.size == 19
    assert await read(body) == b"<23456|abcdefghij>0"
    body.close()
    body.close()
    assert room.in_memory == 0


async def test_a_shared_spool_is_freed_with_its_last_user(room: SpoolRoom) -> None:
    spool = await spooled(room, b"0123456789")
    shared = Shared(spool)
    bodies = [Composed([Span(0, n, n + 2)], [shared.again()]) for n in (0, 4)]
    shared.close()
    assert await read(bodies[0]) == b"01"
    bodies[0].close()
    bodies[0].close()
    assert await read(bodies[1]) == b"45"
    bodies[1].close()
    assert room.in_memory == 0
