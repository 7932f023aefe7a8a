"""Closing what an older version used: not before its time, and never not at all."""

from __future__ import annotations

import asyncio

from gateway.app.retirement import Retirement


class Part:
    def __init__(self, name: str, closed: list[str]) -> None:
        self._name = name
        self._closed = closed

    async def aclose(self) -> None:
        self._closed.append(self._name)


async def test_parts_are_closed_in_their_order_when_their_time_has_come() -> None:
    closed: list[str] = []
    retirement = Retirement()
    retirement.close_later([Part("a", closed), Part("b", closed)], 0.05)
    retirement.close_later([Part("later", closed)], 60)
    retirement.close_later([], 0)
    assert (closed, len(retirement)) == ([], 2)
    async with asyncio.timeout(10):
        while len(retirement) > 1:
            await asyncio.sleep(0.01)
    assert closed == ["a", "b"]
    await retirement.aclose()
    assert closed == ["a", "b", "later"]


async def test_a_part_outlasts_the_calls_of_every_version_that_used_it() -> None:
    closed: list[str] = []
    retirement = Retirement()
    retirement.close_later([], 60)  # the next version uses it as well
    retirement.close_later([Part("shared", closed)], 0)
    await asyncio.sleep(0.05)
    assert closed == []
    assert 50 < retirement.remaining <= 60
    await retirement.aclose()
    assert closed == ["shared"]


async def test_one_that_cannot_be_closed_keeps_nothing_else_open() -> None:
    closed: list[str] = []

    class Broken(Part):
        async def aclose(self) -> None:
            raise OSError

    retirement = Retirement()
    retirement.close_later([Broken("x", closed), Part("after", closed)], 60)
    await retirement.aclose()
    assert closed == ["after"]
