"""Ends that the database could not take: a file beside it, synced before anybody is told, replayed in order.

One line each, ``CRC-32 JSON``; a line that a crash has torn was never acknowledged and is dropped. Every end
may be written twice, so a file that was replayed in part is replayed from its start. A line that the database
refuses for what it says goes to ``FILE.rejected`` and is logged: it must not keep the others back.

Where the disk takes nothing either, ends stay in memory and are replayed from there; :attr:`Arrears.full`
says so, and no new work may begin.
"""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from gateway.errors import Unavailable
from gateway.ledger.records import AttemptEnd, End, RequestEnd

_log = structlog.get_logger("imagegate.ledger")

TOGETHER = 200
"""Lines replayed at once."""

MOST_WAITING = 1_000
"""Beyond it nothing new begins. Whoever is refused by a database that is away leaves a line, as its rows may
have been written all the same; in hours these would be millions."""

_KINDS: dict[str, type[AttemptEnd] | type[RequestEnd]] = {"attempt": AttemptEnd, "request": RequestEnd}
_NAMES = {kind: name for name, kind in _KINDS.items()}

Write = Callable[[Sequence[End]], Awaitable[None]]


@dataclass(slots=True)
class _Debt:
    since: datetime
    entries: Sequence[End]
    in_memory: bool = False
    """The disk did not take it."""


class Arrears:
    """One process at a time has ``path``; the caller holds the lock of the folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._size = 0
        self._debts: deque[_Debt] = deque()
        self._lock = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> Arrears:
        """With what an earlier process left. Raises OSError."""
        arrears = cls(path)
        await asyncio.to_thread(arrears._load)
        return arrears

    @property
    def waiting(self) -> int:
        """How many lines are still to be replayed."""
        return len(self._debts)

    @property
    def age_seconds(self) -> int:
        """How long the oldest of them has waited."""
        return (datetime.now(UTC) - self._debts[0].since) // timedelta(seconds=1) if self._debts else 0

    @property
    def full(self) -> bool:
        """Whether an end is in memory only."""
        return any(debt.in_memory for debt in self._debts)

    @property
    def refusal(self) -> str | None:
        """Why nothing new may begin; None: it may."""
        if len(self._debts) >= MOST_WAITING:
            return f"{len(self._debts)} lines wait to be written"
        return "an end could not be kept on this disk" if self.full else None

    async def add(self, entries: Sequence[End]) -> None:
        """Keep ``entries``; on return they are durable. Raises OSError where they are in memory only."""
        async with self._lock:
            debt = _Debt(datetime.now(UTC), entries)
            self._debts.append(debt)
            try:
                await asyncio.to_thread(self._append, _line(debt))
            except OSError:
                debt.in_memory = True
                raise

    async def replay(self, write: Write) -> int:
        """Write what waits, oldest first; returns how many lines are gone. Stops where ``write`` raises
        :class:`Unavailable`: the database is still away."""
        done = 0
        while self._debts:
            batch = list(self._debts)[:TOGETHER]
            results = await asyncio.gather(*(write(debt.entries) for debt in batch), return_exceptions=True)
            for debt, result in zip(batch, results, strict=True):
                if isinstance(result, Unavailable):
                    return done
                if isinstance(result, Exception):
                    await asyncio.to_thread(self._reject, _line(debt), result)
                elif isinstance(result, BaseException):
                    raise result
                self._debts.popleft()
                done += 1
        async with self._lock:
            if not self._debts and self._size:
                await asyncio.to_thread(self._cut, 0)
        return done

    async def aclose(self) -> None:
        """What waits stays in the file for the next start."""
        async with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _load(self) -> None:
        self._open()
        whole = 0
        for line in self._path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                whole += len(line)
                try:
                    self._debts.append(_debt(line))
                except (ValueError, KeyError, TypeError, msgspec.ValidationError) as error:
                    self._reject(line, error)
        if whole < self._size:
            _log.warning("arrears_torn", bytes=self._size - whole)
            self._cut(whole)

    def _open(self) -> None:
        if self._descriptor < 0:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._descriptor).st_size
            _sync_folder(self._path.parent)

    def _append(self, line: bytes) -> None:
        self._open()
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._descriptor, line[written:], self._size + written)
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)  # half a line would swallow the next one
            raise
        self._size += len(line)

    def _cut(self, size: int) -> None:
        self._open()
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        self._size = size

    def _reject(self, line: bytes, error: Exception) -> None:
        """Never silently: it may be a charge. The log names the file, not what stands in it."""
        path = self._path.with_name(self._path.name + ".rejected")
        _log.error("arrears_rejected", file=path.name, reason=type(error).__name__)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _line(debt: _Debt) -> bytes:
    entries = [{"is": _NAMES[type(entry)], "end": msgspec.to_builtins(entry)} for entry in debt.entries]
    # Not msgspec's own JSON: a provider's words may hold half a surrogate pair.
    text = json.dumps({"since": debt.since.isoformat(), "entries": entries}, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _debt(line: bytes) -> _Debt:
    check, _, text = line.rstrip(b"\n").partition(b" ")
    if int(check, 16) != zlib.crc32(text):
        raise ValueError("the checksum does not match")
    read = json.loads(text)
    entries = [msgspec.convert(each["end"], _KINDS[each["is"]]) for each in read["entries"]]
    return _Debt(datetime.fromisoformat(read["since"]), entries)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
