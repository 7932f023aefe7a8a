"""The rights that the documentation tells to give are enough for everything that is done with counters."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.quota import connection
from gateway.quota.holds import Line
from gateway.quota.outcomes import Admitted, Credits, Epoch, Reservation
from gateway.quota.plan import line
from gateway.quota.redis import ORGANIZATION, RedisQuotaStore
from gateway.quota.survey import survey
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import Calendar, from_ms
from gateway.routing.names import TargetName
from gateway.routing.shared import OPEN, Note
from gateway.routing.shared_redis import RedisHealth
from tests.conftest import NOT_TESTED
from tests.redis_groups import Group, free_port
from tests.servers import ROOT, NotObtainable

LIMIT = Limit(Scope.key("p1", "k1"), Measure.SPEND, 1000, "day")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Of a server with a user as documented."""
    group, port = Group(tmp_path), free_port()
    try:
        group.serve(port)
        group.until_served([port])
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    told = re.search(r"^ *(ACL SETUSER imagegate .*)$", (ROOT / "docs/replicas.md").read_text(), re.MULTILINE)
    assert told is not None
    group.ask(port, *told[1].split())
    yield f"redis://imagegate:PASSWORD@127.0.0.1:{port}/0"
    group.end()


async def test_the_documented_rights_are_enough(url: str) -> None:
    found = await survey(url)
    assert (found.problems, found.warnings) == ((), ())
    epoch = Epoch(1, await connection.identity(url))

    async def source() -> Epoch:
        return epoch

    store = RedisQuotaStore.connect(url, source)
    try:
        await store.start()
        assert await store.claim()
        assert await store.newest() is None
        await store.freeze(epoch)
        await store.rebuild(epoch, [], [])
        taken = await store.reserve([Reservation("a/1", {Measure.SPEND: 100}, [LIMIT])])
        assert isinstance(taken, Admitted)
        (hold,) = taken.holds
        await store.dispatch(hold)
        assert await store.heartbeat([hold]) == []
        assert list((await store.open_ids()).rids) == ["a/1"]
        assert set(await store.find(["a/1"])) == {"a/1"}
        assert (await store.settle(hold, {Measure.SPEND: 50})).applied
        spent: Line = line(LIMIT, 60, Calendar(), from_ms(hold.admitted))
        await store.raise_to([spent], hold.admitted + 60_000)
        await store.credit(Credits(1, [spent]))
        assert (await store.standing([LIMIT]))[0].used == 0
    finally:
        await store.aclose()


async def test_the_documented_rights_are_enough_for_telling_of_targets(url: str) -> None:
    link = connection.connect(url)
    try:
        async with RedisHealth(link, ORGANIZATION) as health, asyncio.timeout(30):
            health.publish(Note(TargetName("a/one"), OPEN, 60.0))
            while not health.heard():
                await asyncio.sleep(0.02)
    finally:
        await link.aclose()
