"""A body made of pieces of others: read from their spools as it is sent, copied nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from gateway.images.document import Piece, Span
from gateway.media.spool import Spool


class Body(Protocol):
    """What is delivered: a spool, or something made of spools. ``size`` is in bytes; ``chunks`` may be read
    once, and frees memory as it goes, or with ``keep`` any number of times until ``close``, which frees
    everything and may be repeated."""

    @property
    def size(self) -> int: ...

    def chunks(self, *, keep: bool = False) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class Shared:
    """A spool that several bodies are made of; it is freed when the last of them is closed."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._users = 1

    def again(self) -> Shared:
        """For one more user, who calls :meth:`close` once."""
        self._users += 1
        return self

    def chunks(self, start: int, stop: int, *, keep: bool = False) -> AsyncIterator[bytes]:
        return self._spool.chunks(start, stop, keep=keep)

    def close(self) -> None:
        self._users -= 1
        if not self._users:
            self._spool.close()


class Lent:
    """Another's body, given to somebody who reads it and closes it; it stays its owner's."""

    def __init__(self, body: Body) -> None:
        self._body = body

    @property
    def size(self) -> int:
        return self._body.size

    def chunks(self, *, keep: bool = False) -> AsyncIterator[bytes]:
        return self._body.chunks(keep=True)

    def close(self) -> None:
        """Its owner does."""


class Joined:
    """Bodies of others, one after the other, and some bytes behind them."""

    def __init__(self, bodies: Sequence[Body], end: bytes = b"") -> None:
        self._bodies = bodies
        self._end = end
        self.size = sum(body.size for body in bodies) + len(end)

    async def chunks(self, *, keep: bool = False) -> AsyncIterator[bytes]:
        for body in self._bodies:
            async for chunk in body.chunks(keep=keep):
                yield chunk
        if self._end:
            yield self._end

    def close(self) -> None:
        for body in self._bodies:
            body.close()


class Composed:
    """``sources`` are the bodies that the spans of ``pieces`` count; they are this body's own from now on."""

    def __init__(self, pieces: Sequence[Piece], sources: Sequence[Spool | Shared]) -> None:
        self._pieces = pieces
        self._sources = sources
        self._closed = False
        self.size = sum(
            piece.stop - piece.start if isinstance(piece, Span) else len(piece) for piece in pieces
        )

    async def chunks(self, *, keep: bool = False) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Span):
                async for chunk in self._sources[piece.source].chunks(piece.start, piece.stop, keep=keep):
                    yield chunk
            else:
                yield piece

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for source in self._sources:
                source.close()
