"""Bytes that wait until it is known whether they count."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.held import Held

MIB = 1 << 20


async def filled(pieces: list[bytes]) -> Held:
    held = Held()
    for piece in pieces:
        await held.write(piece)
    return held


async def read(held: Held, start: int, stop: int) -> bytes:
    return b"".join([piece async for piece in held.read(start, stop)])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
async def test_any_part_comes_back_as_it_was_written(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(0, 500_000), max_size=12))
    pieces = [os.urandom(length) for length in lengths]
    whole = b"".join(pieces)
    held = await filled(pieces)
    assert held.size == len(whole)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    assert await read(held, start, stop) == whole[start:stop]


async def test_little_is_kept_in_memory_and_no_file_has_a_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = await filled([os.urandom(MIB)] * 8)
    assert held._in_memory < 2 * MIB
    assert os.listdir(str(tmp_path)) == []


async def test_a_disk_that_takes_nothing_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    pieces = [os.urandom(MIB) for _ in range(6)]
    held = await filled(pieces[:3])
    monkeypatch.setattr(os, "pwrite", full)
    for piece in pieces[3:]:
        await held.write(piece)
    assert await read(held, 0, held.size) == b"".join(pieces)


async def test_a_file_that_lost_its_end_is_not_taken_for_whole() -> None:
    held = await filled([os.urandom(MIB)] * 4)
    assert held._file is not None
    os.ftruncate(held._file, 1000)
    with pytest.raises(OSError, match="shorter"):
        await read(held, 0, held.size)
