"""Where the counters are is what most of those say who know it, soon, and asked as seldom as possible."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ResponseError

from config.counters import Host
from gateway.quota import finding
from gateway.quota.finding import ByCluster, BySentinels, Named, NotFound

SENTINELS: Sequence[Host] = (("s1", 1), ("s2", 2), ("s3", 3))
SILENCE = object()


class Told:
    """What each host says; an exception is raised, silence is kept."""

    def __init__(self, says: Mapping[Host, Any]) -> None:
        self.says = dict(says)
        self.asked: list[Host] = []

    async def __call__(self, host: Host, command: Sequence[str]) -> Any:
        self.asked.append(host)
        answer = self.says[host]
        if answer is SILENCE:
            await asyncio.sleep(3600)
        if isinstance(answer, Exception):
            raise answer
        return answer


def sentinels(*answers: Any) -> tuple[BySentinels, Told]:
    told = Told(dict(zip(SENTINELS, answers, strict=True)))
    return BySentinels(SENTINELS, "mymaster", told), told


def slots(*rows: tuple[int, int, Sequence[Any]]) -> list[Any]:
    return [[first, last, *([name, port, b"id", []] for name, port in nodes)] for first, last, nodes in rows]


async def test_most_of_the_sentinels_are_believed() -> None:
    finder, _ = sentinels([b"old", b"6379"], [b"new", b"6379"], [b"new", b"6379"])
    assert await finder.where() == ("new", 6379)


async def test_a_silent_sentinel_delays_nobody_where_most_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "ASK_SECONDS", 600.0)
    finder, _ = sentinels(SILENCE, [b"m", b"6379"], [b"m", b"6379"])
    async with asyncio.timeout(10):
        assert await finder.where() == ("m", 6379)


async def test_one_sentinel_is_enough_when_the_others_are_gone() -> None:
    finder, _ = sentinels(NoConnection(), SILENCE, [b"m", b"6379"])
    assert await finder.where() == ("m", 6379)


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ((None, None, None), "no service of this name"),
        ((NoConnection("at 10.0.0.1"),) * 3, "ConnectionError"),
        ((ResponseError("unknown command `SENTINEL`"),) * 3, "unknown command"),
        ((SILENCE,) * 3, "no answer in time"),
    ],
)
async def test_what_nobody_knows_is_said_with_its_reason_and_without_addresses(
    answers: Sequence[Any], reason: str
) -> None:
    finder, _ = sentinels(*answers)
    with pytest.raises(NotFound, match=reason) as failure:
        await finder.where()
    assert "10.0.0.1" not in str(failure.value)


async def test_the_answer_stands_until_it_is_lost() -> None:
    finder, told = sentinels(*[[b"m", b"6379"]] * 3)
    found = await asyncio.gather(*(finder.where() for _ in range(20)))
    assert set(found) == {("m", 6379)}
    assert len(told.asked) == 3
    told.says = {host: [b"other", b"6379"] for host in SENTINELS}
    finder.lost(("another", 6379))
    assert await finder.where() == ("m", 6379)
    finder.lost(("m", 6379))
    assert await finder.where() == ("other", 6379)


async def test_an_outage_is_no_flood() -> None:
    finder, told = sentinels(NoConnection(), NoConnection(), NoConnection())
    answers = await asyncio.gather(*(finder.where() for _ in range(200)), return_exceptions=True)
    assert all(isinstance(answer, NotFound) for answer in answers)
    assert len(told.asked) == len(SENTINELS)


async def test_the_member_with_the_slot_is_found() -> None:
    """``{a}`` is in slot 15495, ``{b}`` in 3300."""
    rows = slots((0, 8000, [(b"n1", 7000), (b"n2", 7001)]), (8001, 16383, [(b"n3", 7002)]))
    seed = ("seed", 7000)
    assert await ByCluster([seed], "a", Told({seed: rows})).where() == ("n3", 7002)
    assert await ByCluster([seed], "b", Told({seed: rows})).where() == ("n1", 7000)


@pytest.mark.parametrize("nameless", [None, b""])
async def test_a_member_without_a_name_is_the_one_that_was_asked(nameless: bytes | None) -> None:
    seed = ("seed", 7000)
    told = Told({seed: slots((0, 16383, [(nameless, 7009)]))})
    assert await ByCluster([seed], "a", told).where() == ("seed", 7009)


async def test_a_slot_that_nobody_has_is_not_found() -> None:
    seed = ("seed", 7000)
    with pytest.raises(NotFound, match="has the slot"):
        await ByCluster([seed], "a", Told({seed: slots((0, 100, [(b"n1", 7000)]))})).where()


async def test_members_are_asked_when_those_who_were_named_are_gone() -> None:
    seed, first, second = ("seed", 7000), ("n1", 7000), ("n2", 7001)
    rows = slots((0, 16383, [first, second]))
    told = Told({seed: rows, first: rows, second: rows})
    finder = ByCluster([seed], "a", told)
    assert await finder.where() == first
    rows = slots((0, 16383, [second]))
    told.says = {seed: NoConnection(), first: NoConnection(), second: rows}
    finder.lost(first)
    assert await finder.where() == second


async def test_one_named_server_is_where_it_is() -> None:
    finder = Named(("cache", 6379))
    finder.lost(("cache", 6379))
    assert await finder.where() == ("cache", 6379)
