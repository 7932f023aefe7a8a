"""What runs from time to time, on a real store and a ledger of dictionaries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from gateway.errors import Unavailable
from gateway.quota import keeper as keeping
from gateway.quota import redis as redis_store
from gateway.quota.away import GuardedStore
from gateway.quota.errors import Rebuilding
from gateway.quota.holds import Hold, Line, State
from gateway.quota.keeper import Account, Keeper, Kept
from gateway.quota.outcomes import LEASE_MS, Admitted, Epoch, OpenHold, Reservation, Verdict
from gateway.quota.plan import line
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import from_ms
from tests.unit.quota.worlds import World, world

KEY = Limit(Scope.key("p1", "k1"), Measure.SPEND, 1000, "total")


@dataclass
class Ledger:
    """Settled sums and open rows, as a test sets them."""

    at: World
    rows: dict[str, Verdict] = field(default_factory=dict)
    sums: list[Line] = field(default_factory=list)
    open_holds: list[OpenHold] = field(default_factory=list)
    asked: list[tuple[Sequence[str], int | None]] = field(default_factory=list)

    async def begin_epoch(self, run_id: str | None, seen: int | None = None) -> Epoch:
        self.at.epoch = Epoch(self.at.epoch.number + 1 if self.at.epoch else 1, run_id)
        return self.at.epoch

    async def lapse(self, rids: Sequence[str]) -> Mapping[str, Verdict]:
        for rid in rids:
            if rid in self.rows and self.rows[rid].state is State.DISPATCHED:
                self.rows[rid] = Verdict(State.UNKNOWN)
        return self.verdicts(rids)

    def verdicts(self, rids: Sequence[str]) -> Mapping[str, Verdict]:
        return {rid: self.rows[rid] for rid in rids if rid in self.rows}

    async def account(self, rids: Sequence[str], before: int | None) -> Account:
        self.asked.append((rids, before))
        return Account(self.verdicts(rids), self.sums, self.open_holds)


@dataclass
class House:
    at: World
    ledger: Ledger
    keeper: Keeper
    told: list[Kept]

    async def take(self, rid: str, spend: int = 100) -> Hold:
        outcome = await self.at.store.reserve([Reservation(rid, {Measure.SPEND: spend}, [KEY])])
        assert isinstance(outcome, Admitted)
        return outcome.holds[0]

    async def sums(self) -> tuple[int, int, int]:
        (x,) = await self.at.store.standing([KEY])
        return (x.settled, x.held, x.unknown)

    def told_sum(self, amount: int) -> None:
        self.ledger.sums = [line(KEY, amount, self.at.store.calendar, from_ms(self.at.now))]


async def until(told: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not told():
            await asyncio.sleep(0.01)


@pytest.fixture
def house(at: World) -> House:
    ledger, told = Ledger(at), []  # type: ignore[var-annotated]
    return House(at, ledger, Keeper(GuardedStore(at.store), ledger, told.append), told)


async def test_a_watched_hold_lives_and_a_forgotten_one_lapses(house: House) -> None:
    watched, forgotten = await house.take("a/1"), await house.take("b/1")
    house.keeper.watch(watched)
    house.keeper.watch(forgotten)
    house.keeper.forget("b/1")
    for _ in range(4):
        await house.at.advance(LEASE_MS // 3)
        assert await house.keeper.beat() == []
        moved = await house.keeper.reap()
        assert [x.rid for x in moved] in ([], ["b/1"])
    assert await house.sums() == (0, 100, 0)


async def test_drift_applies_ends_that_the_store_missed(house: House) -> None:
    held, dispatched, gone = [await house.take(f"{n}/1") for n in "abc"]
    await house.at.store.dispatch(dispatched)
    house.ledger.rows = {
        held.rid: Verdict(State.SETTLED, {Measure.SPEND: 10}),
        dispatched.rid: Verdict(State.SETTLED, {Measure.SPEND: 20}),
        gone.rid: Verdict(State.RELEASED),
    }
    house.told_sum(30)
    drifts, adopted = await house.keeper.drift()
    assert (list(drifts), list(adopted)) == ([], [])
    assert await house.sums() == (30, 0, 0)
    await house.at.store.settle(dispatched, {Measure.SPEND: 20})
    assert await house.sums() == (30, 0, 0)


async def test_drift_takes_in_attempts_that_the_store_never_saw(house: House) -> None:
    seen = await house.take("a/1")
    unseen = Hold("b/1", house.at.now, LEASE_MS, seen.lines)
    unclear = Hold("c/1", house.at.now, LEASE_MS, seen.lines)
    house.ledger.open_holds = [
        OpenHold(seen, State.DISPATCHED),
        OpenHold(unseen, State.DISPATCHED),
        OpenHold(unclear, State.UNKNOWN),
    ]
    _, adopted = await house.keeper.drift()
    assert list(adopted) == ["b/1", "c/1"]
    assert await house.sums() == (0, 200, 100)
    await house.at.store.settle(unseen, {Measure.SPEND: 5})
    assert await house.sums() == (5, 100, 100)


async def test_drift_raises_what_is_missing_and_a_late_settle_is_not_added_to_it(house: House) -> None:
    lost = await house.take("a/1")
    await house.at.store.release(lost)
    unseen = Hold("b/1", house.at.now, LEASE_MS, lost.lines)
    await house.at.advance(1000)
    house.told_sum(70)
    drifts, _ = await house.keeper.drift()
    assert [(x.counter, x.line.amount, x.raised) for x in drifts] == [(0, 70, True)]
    assert house.ledger.asked[-1] == ((), house.at.now)
    moved = await house.at.store.settle(unseen, {Measure.SPEND: 70})
    assert not moved.applied
    assert await house.sums() == (70, 0, 0)


async def test_a_cold_store_is_rebuilt_and_a_warm_one_left_alone(house: House) -> None:
    hold = await house.take("a/1")
    await house.keeper.warm()
    assert house.told == []
    await house.at.lose_everything()
    house.told_sum(40)
    house.ledger.open_holds = [OpenHold(hold, State.DISPATCHED)]
    await asyncio.sleep(0.11)  # the store asks the ledger for the epoch at most ten times a second
    await house.keeper.warm()
    assert [kept.step for kept in house.told] == ["rebuild"]
    assert await house.sums() == (40, 100, 0)


async def test_the_background_survives_a_store_that_is_cold(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COLD_SECONDS", "CATCH_UP_SECONDS", "HEARTBEAT_SECONDS", "REAP_SECONDS", "DRIFT_SECONDS"):
        monkeypatch.setattr(keeping, name, 0.02)
    await house.at.lose_everything()
    with pytest.raises(Rebuilding):
        await house.at.store.standing([KEY])
    house.told_sum(40)
    house.keeper.start()
    try:
        for _ in range(200):
            await asyncio.sleep(0.02)
            if any(kept.step == "rebuild" for kept in house.told):
                break
        assert await house.sums() == (40, 0, 0)
    finally:
        await house.keeper.aclose()


async def test_a_rebuild_freezes_before_it_asks_the_ledger(house: House) -> None:
    await house.take("a/1")
    frozen = []
    account = house.ledger.account

    async def watched(rids: Sequence[str], before: int | None) -> Account:
        with pytest.raises(Rebuilding):
            await house.take("late/1")
        frozen.append(before)
        return await account(rids, before)

    house.ledger.account = watched  # type: ignore[method-assign]
    assert await house.keeper.rebuild() == house.at.epoch
    assert frozen == [None]
    assert await house.sums() == (0, 0, 0)


async def test_a_replica_leaves_a_rebuild_to_the_one_that_is_at_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def taken(*, again: bool = False) -> bool:
        return False

    monkeypatch.setattr(house.at.store, "claim", taken)
    assert await house.keeper.rebuild() is None
    await house.take("a/1")


async def test_all_batches_are_reaped(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(450):
        await house.take(f"{n}/1", 1)
    await house.at.advance(LEASE_MS)
    assert len(await house.keeper.reap()) == 450


async def test_a_rebuild_never_finds_a_call_running_whose_place_was_given_away(house: House) -> None:
    """Whatever moment the counters are lost at: the lease of a dead replica is out, is reaped, or was."""
    running = Limit(KEY.scope, Measure.CONCURRENT, 1)

    async def take(rid: str) -> Hold | None:
        outcome = await house.at.store.reserve([Reservation(rid, {}, [running])])
        if not isinstance(outcome, Admitted):
            return None
        (hold,) = outcome.holds
        house.ledger.rows[rid] = Verdict(State.DISPATCHED)
        await house.at.store.dispatch(hold)
        return hold

    async def rebuilt() -> int:
        states = {rid: verdict.state for rid, verdict in house.ledger.rows.items()}
        house.ledger.open_holds = [OpenHold(hold, states[rid]) for rid, hold in holds.items()]
        await house.at.lose_everything()
        await house.keeper.rebuild()
        return (await house.at.store.standing([running]))[0].held

    holds = {}
    for rid in ("a/1", "b/1", "c/1"):
        hold = await take(rid)
        assert hold is not None
        holds[rid] = hold
        await house.at.advance(LEASE_MS)
        assert await take("early/1") is None  # the lease is out, and the ledger has the call as running
        assert await rebuilt() == 1
        await house.at.advance(LEASE_MS)
        assert [x.rid for x in await house.keeper.reap()] == [rid]
        assert await rebuilt() == 0


async def test_a_lapsed_attempt_stays_as_it_is_while_the_ledger_cannot_be_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = await house.take("a/1")
    await house.at.store.dispatch(hold)
    await house.at.advance(LEASE_MS)

    async def away(_rids: Sequence[str]) -> Mapping[str, Verdict]:
        raise Unavailable("The ledger is away.")

    with monkeypatch.context() as patch:
        patch.setattr(house.ledger, "lapse", away)
        with pytest.raises(Unavailable):
            await house.keeper.reap()
    assert await house.sums() == (0, 100, 0)
    assert len(await house.keeper.reap()) == 1
    assert await house.sums() == (0, 0, 100)


async def test_a_defect_is_told_and_does_not_end_the_heartbeats(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COLD_SECONDS", "CATCH_UP_SECONDS", "DRIFT_SECONDS", "REAP_SECONDS"):
        monkeypatch.setattr(keeping, name, 1000)
    monkeypatch.setattr(keeping, "HEARTBEAT_SECONDS", 0.01)
    beats: list[int] = []

    async def beat() -> Sequence[str]:
        beats.append(1)
        if len(beats) == 1:
            raise ValueError("a defect")
        return []

    monkeypatch.setattr(house.keeper, "beat", beat)
    house.keeper.start()
    await until(lambda: len(beats) > 1)
    await house.keeper.aclose()
    assert [(kept.step, type(kept.failure)) for kept in house.told] == [("beat", ValueError)]


async def test_counters_that_another_replica_built_learn_at_once_what_its_configuration_lacked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicas take over a changed configuration one after the other."""
    for name in ("CATCH_UP_SECONDS", "HEARTBEAT_SECONDS", "REAP_SECONDS", "DRIFT_SECONDS"):
        monkeypatch.setattr(keeping, name, 1000)
    monkeypatch.setattr(keeping, "COLD_SECONDS", 0.01)
    house.told_sum(70)
    await house.keeper.rebuild()
    assert await house.sums() == (70, 0, 0)
    without_limit = Keeper(GuardedStore(house.at.store), Ledger(house.at), lambda _: None)
    await without_limit.rebuild()
    await house.at.advance(3000)
    assert await house.sums() == (0, 0, 0)
    house.keeper.start()
    await until(lambda: any(kept.drifts for kept in house.told))
    asked = len(house.ledger.asked)
    await asyncio.sleep(0.1)
    await house.keeper.aclose()
    assert await house.sums() == (70, 0, 0)
    assert len(house.ledger.asked) == asked


async def test_a_rebuild_that_takes_long_is_left_to_finish(
    redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else replicas would take turns in beginning one, and none would come to its end."""
    monkeypatch.setattr(redis_store, "BUILDING_MS", 200)
    monkeypatch.setattr(keeping, "CLAIM_SECONDS", 0.05)
    snapshot = asyncio.Event()

    class Slow(Ledger):
        async def account(self, rids: Sequence[str], before: int | None) -> Account:
            await snapshot.wait()
            return await super().account(rids, before)

    async with world("redis", redis_server, warm=False) as at:
        slow = Keeper(GuardedStore(at.store), Slow(at), lambda _: None)
        other = Keeper(GuardedStore(at.store), Ledger(at), lambda _: None)
        building = asyncio.create_task(slow.rebuild())
        await until(lambda: at.epoch is not None)
        for _ in range(10):
            await asyncio.sleep(0.05)
            assert await other.rebuild() is None
        snapshot.set()
        assert await building == Epoch(1)
        assert await other.rebuild() == Epoch(2)


async def test_one_that_builds_and_never_comes_to_an_end_gives_way(
    redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its way to the ledger is cut, and another's is not."""
    monkeypatch.setattr(redis_store, "BUILDING_MS", 200)
    monkeypatch.setattr(keeping, "CLAIM_SECONDS", 0.05)
    monkeypatch.setattr(keeping, "CLAIMS", 3)

    begun = asyncio.Event()

    class Silent(Ledger):
        async def begin_epoch(self, run_id: str | None, seen: int | None = None) -> Epoch:
            begun.set()
            await asyncio.Event().wait()
            raise AssertionError

    async with world("redis", redis_server, warm=False) as at:
        silent = Keeper(GuardedStore(at.store), Silent(at), lambda _: None)
        other = Keeper(GuardedStore(at.store), Ledger(at), lambda _: None)
        building = asyncio.create_task(silent.rebuild())
        await begun.wait()
        assert await other.rebuild() is None
        async with asyncio.timeout(20):
            while await other.rebuild() is None:
                await asyncio.sleep(0.05)
        building.cancel()
        await asyncio.wait([building])


async def test_the_background_tells_of_what_it_did_and_of_what_failed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COLD_SECONDS", "CATCH_UP_SECONDS", "HEARTBEAT_SECONDS", "REAP_SECONDS"):
        monkeypatch.setattr(keeping, name, 1000)
    monkeypatch.setattr(keeping, "DRIFT_SECONDS", 0.01)
    await house.at.advance(1000)
    house.told_sum(70)
    house.keeper.start()
    await until(lambda: any(kept.drifts for kept in house.told))
    house.ledger.begin_epoch = None  # type: ignore[assignment]
    await house.at.lose_everything()
    await until(lambda: any(kept.failure for kept in house.told))
    await house.keeper.aclose()
    raised = [kept for kept in house.told if any(drift.raised for drift in kept.drifts)]
    assert len(raised) == 1
    failed = [kept for kept in house.told if kept.failure is not None]
    assert {(kept.step, type(kept.failure)) for kept in failed} == {("drift", Rebuilding)}
