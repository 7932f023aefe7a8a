"""Handing an answer over: at which pace, in which framing, and where it breaks off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.simulators.behaviours import Behaviour
from tests.simulators.calls import Call
from tests.simulators.http1 import PIECE, ClientGone, Connection, chunk

Step = tuple[float, bytes]
"""Seconds to wait, then bytes to send."""


async def pour(
    call: Call,
    connection: Connection,
    steps: Iterable[Step],
    behaviour: Behaviour,
    *,
    chunked: bool,
    stop: int | None = None,
) -> bool:
    """Write a body; at byte ``stop`` of it the behaviour's ``end`` is carried out, and False returned."""
    size, pause = behaviour.drip or (PIECE, 0.0)
    for wait, piece in _slices(steps, size):
        await connection.sleep(wait)
        room = len(piece) if stop is None else min(len(piece), stop - call.sent)
        if room:
            sending = piece[:room]
            await connection.write(chunk(bytes(sending)) if chunked else sending)
            call.sent += room
        if call.sent == stop:
            await break_off(connection, behaviour)
            return False
        await connection.sleep(pause)
    if chunked:
        await connection.write(chunk(b""))
    return True


def _slices(steps: Iterable[Step], size: int) -> Iterator[tuple[float, memoryview]]:
    for wait, piece in steps:
        view = memoryview(piece)
        for start in range(0, len(view), size):
            yield (0.0 if start else wait), view[start : start + size]


async def break_off(connection: Connection, behaviour: Behaviour) -> None:
    """Leave the client the way the behaviour says, now."""
    if behaviour.end == "cut":
        connection.close()
    elif behaviour.end == "reset":
        await connection.reset()
    else:
        await connection.sleep(3600)


async def until_gone(connection: Connection, seconds: float) -> None:
    """Wait for the client to close its side."""
    try:
        await connection.sleep(seconds)
    except ClientGone:
        return
