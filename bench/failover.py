"""What failover is worth and what it costs: requests by the hundred thousand through the gateway's own
routing code, with simulated providers on a virtual clock.

    python -m bench.failover [--requests 100000] [--seed 1] [--rate 10] [--quick]

Real: the order of targets, their health, cooldowns, retry budgets, time-outs and ``decide`` (all of
``gateway/routing/course.py`` and what lies under it). Simulated: providers, clients and time.

The providers. A call succeeds with 83.1 %, independently. A picture takes p50 58.7 s, p95 142.8 s, mean
68.5 s, and 200 s at most: what takes longer is among the failures. Of the failures 95 % are clear (refused
connections, overload, complete 5xx) and come within 20 s; 5 % are unclear: an intermediary breaks off at
60 s, and the picture is paid for all the same, which is the worst that can be true. Every picture costs
$0.053.

``common`` failures meet a request at every target. ``slow failures`` take as long as pictures do, which shows
what the deadline costs.
"""

from __future__ import annotations

import argparse
import random
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from time import perf_counter

from bench._virtual import Clock, Task
from config.schema import Settings
from gateway.routing.course import Budgets, Course
from gateway.routing.failure import Failure
from gateway.routing.names import Shape
from gateway.routing.policy import Policy, compiled
from gateway.routing.selection import Contender, order
from gateway.routing.watch import Watch
from providers.base import Certainty, Kind

SUCCESS = 0.831
UNCLEAR = 0.05
"""Of the failures."""

PICTURE_SECONDS = ((0.0, 15.0), (0.5, 58.7), (0.75, 88.5), (0.95, 142.8), (1.0, 200.0))
"""Shares and the seconds that they take at most, straight lines between them: their mean is 68.5 s."""

PRICE = 53_000_000
"""Nano-dollars: one picture of 1024x1024 at medium quality."""

SHAPE = Shape("gpt-image-2", "1024x1024", "medium")
NEXT = {"maybe_accepted": "next"}
SDK_RETRIES = 2

Dice = random.Random


@dataclass(frozen=True)
class Weather:
    """How providers behave. ``common`` is the share of failures that all targets of a request have together;
    ``slow`` makes clear failures take as long as pictures."""

    success: float = SUCCESS
    unclear: float = UNCLEAR
    common: float = 0.0
    slow: bool = False


@dataclass(frozen=True)
class Outage:
    """One target answers nothing but ``failure`` after ``seconds``, from ``begins`` to ``ends``."""

    target: str
    begins: float
    ends: float
    failure: Failure
    seconds: float


@dataclass
class Tally:
    """What came of it, all requests together."""

    requests: int = 0
    delivered: int = 0
    calls: int = 0
    paid: int = 0
    extra: int = 0
    """Calls that were paid for after another one of the same request was."""
    spent: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """Why requests ended without a picture."""
    seconds: list[float] = field(default_factory=list)
    """From a request to its picture."""
    met: list[float] = field(default_factory=list)
    """Moments of calls that met an outage."""
    served: list[tuple[float, str]] = field(default_factory=list)
    """Moments at which a target was called that then made its picture, in runs with an outage."""

    @property
    def rate(self) -> float:
        return self.delivered / self.requests

    def end(self, course: Course) -> None:
        name = course.ended.because.value if course.attempts else "no_healthy_provider"
        self.refused[name] = self.refused.get(name, 0) + 1


@dataclass
class World:
    """One run: some targets, one gateway, one clock."""

    policy: Policy
    targets: Sequence[str]
    weather: Weather = Weather()
    outages: Sequence[Outage] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.dice = Dice(self.seed)
        self.watch = Watch(self.policy.breaker)
        self.budgets = Budgets(count=self.policy.retry_count, spend=self.policy.retry_spend)
        self.tally = Tally()
        self.contenders = [Contender(name, "gpt-image-2", SHAPE, price=PRICE) for name in self.targets]

    def run(self, requests: int, rate: float, client: Callable[[World], Task]) -> Tally:
        """``requests`` of them, at random moments with ``rate`` a second."""
        at = 0.0
        for _ in range(requests):
            at += self.dice.expovariate(rate)
            self.clock.start(client(self), at)
        self.clock.run()
        return self.tally

    def request(self, fate: Fate) -> Iterator[float]:
        """One request through the gateway. Sleeps, and ends with ``fate`` told."""
        began = self.clock.now
        wanted = order(self.contenders, "priority", self.watch, began, self.dice.random)
        ends_at = began + self.policy.deadline
        course = Course(wanted, self.policy, self.watch, self.budgets, ends_at, self.dice.random)
        attempt = course.start(began)
        while attempt is not None:
            self.tally.calls += 1
            outcome, seconds, paid = fate.of(attempt.ranked.contender.provider, self)
            if seconds > attempt.seconds:
                outcome, seconds = Failure(Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED), attempt.seconds
            yield seconds
            now = self.clock.now
            if paid:
                self.tally.paid += 1
                self.tally.extra += fate.paid
                self.tally.spent += PRICE
                fate.paid = True
            if outcome is None:
                course.succeeded(attempt, now)
                course.cost(attempt, PRICE, now)
                if self.outages:
                    self.tally.served.append((attempt.ticket.began, attempt.ranked.contender.provider))
                fate.delivered = True
                return
            decision = course.failed(attempt, outcome, now)
            if not outcome.may_be_paid:
                course.cost(attempt, 0, now)
            if decision.wait:
                yield decision.wait
            attempt = course.go_on(self.clock.now)
        fate.may_retry = course.client_may_retry
        self.tally.end(course)


@dataclass
class Fate:
    """What one request meets. ``common`` is a failure that it meets everywhere."""

    common: Failure | None = None
    paid: bool = False
    delivered: bool = False
    may_retry: bool | None = None

    def of(self, target: str, world: World) -> tuple[Failure | None, float, bool]:
        """The outcome of one call (None: a picture), its seconds, and whether it is paid for."""
        weather, dice = world.weather, world.dice
        for outage in world.outages:
            if outage.target == target and outage.begins <= world.clock.now < outage.ends:
                world.tally.met.append(world.clock.now)
                return outage.failure, outage.seconds, outage.failure.may_be_paid
        failure = self.common or _failure(dice, weather, _own_success(weather))
        if failure is None:
            return None, picture_seconds(dice), True
        if failure.may_be_paid:
            return failure, 60.0, True
        return failure, picture_seconds(dice) if weather.slow else dice.uniform(0.05, 20.0), False


def picture_seconds(dice: Dice) -> float:
    share = dice.random()
    number = bisect_right(PICTURE_SECONDS, (share, float("inf"))) - 1
    (low, begins), (high, ends) = PICTURE_SECONDS[number], PICTURE_SECONDS[number + 1]
    return begins + (ends - begins) * (share - low) / (high - low)


CLEAR = (
    Failure(Kind.SERVER, Certainty.FAILED),
    Failure(Kind.SERVER, Certainty.FAILED),
    Failure(Kind.OVERLOADED, Certainty.REJECTED),
    Failure(Kind.SERVER, Certainty.NOT_SENT),
)
BROKEN_OFF = Failure(Kind.SERVER, Certainty.MAYBE_ACCEPTED)


def _failure(dice: Dice, weather: Weather, success: float) -> Failure | None:
    if dice.random() < success:
        return None
    return BROKEN_OFF if dice.random() < weather.unclear else dice.choice(CLEAR)


def _own_success(weather: Weather) -> float:
    """Of a target by itself, so that with the common failures it is as published."""
    return weather.success / (1 - (1 - weather.success) * weather.common)


def fate(world: World) -> Fate:
    weather = world.weather
    if weather.common and world.dice.random() < (1 - weather.success) * weather.common:
        return Fate(common=_failure(world.dice, weather, 0.0))
    return Fate()


def once(world: World) -> Task:
    """A client that does not try again."""
    world.tally.requests += 1
    began, met = world.clock.now, fate(world)
    yield from world.request(met)
    _tell(world, met, began)


def sdk(world: World) -> Task:
    """A client like the stock Python SDK: two retries, 0.5 s to 8 s apart; it obeys ``x-should-retry``."""
    world.tally.requests += 1
    began, met = world.clock.now, fate(world)
    for retry in range(SDK_RETRIES + 1):
        yield from world.request(met)
        if met.delivered or met.may_retry is False:
            break
        if retry < SDK_RETRIES:
            yield min(0.5 * 2.0**retry, 8.0) * (1 - 0.25 * world.dice.random())
    _tell(world, met, began)


def sdk_alone(world: World) -> Task:
    """The same client without a gateway, at the first target. Every failure here is one that it repeats."""
    world.tally.requests += 1
    began, met = world.clock.now, fate(world)
    for retry in range(SDK_RETRIES + 1):
        world.tally.calls += 1
        outcome, seconds, paid = met.of(world.targets[0], world)
        yield seconds
        world.tally.paid += paid
        world.tally.extra += paid and met.paid
        world.tally.spent += PRICE * paid
        met.paid |= paid
        if outcome is None:
            met.delivered = True
            break
        if retry < SDK_RETRIES:
            yield min(0.5 * 2.0**retry, 8.0) * (1 - 0.25 * world.dice.random())
    _tell(world, met, began)


def _tell(world: World, met: Fate, began: float) -> None:
    world.tally.delivered += met.delivered
    if met.delivered:
        world.tally.seconds.append(world.clock.now - began)


def policy(**routing: object) -> Policy:
    return compiled(Settings.model_validate({"routing": routing}))


def line(name: str, tally: Tally) -> str:
    times = sorted(tally.seconds)
    p50, p95 = (times[int(share * len(times))] for share in (0.5, 0.95))
    delivered = max(tally.delivered, 1)
    return (
        f"{name:<46} {tally.rate:7.2%} {tally.calls / tally.requests:8.3f} {tally.paid / delivered:8.4f} "
        f"{tally.extra / tally.requests:8.2%} {Decimal(tally.spent) / 10**9 / delivered:9.5f} "
        f"{p50:6.0f} {p95:6.0f}"
    )


HEADING = (
    f"{'':<46} {'deliv.':>7} {'calls':>8} {'paid':>8} {'extra':>8} {'dollars':>9} {'p50':>6} {'p95':>6}\n"
    f"{'':<46} {'':>7} {'/request':>8} {'/picture':>8} {'paid':>8} {'/picture':>9} {'s':>6} {'s':>6}"
)


@dataclass(frozen=True)
class Scenario:
    name: str
    targets: int
    routing: dict[str, object]
    weather: Weather = Weather()
    client: Callable[[World], Task] = once
    mark: tuple[float, float] | None = None
    """Delivered, and how near it must come."""


DEFAULT: dict[str, object] = {}
AS_NEXT: dict[str, object] = {"on_failure": NEXT}
SCENARIOS = (
    Scenario("one target, next", 1, AS_NEXT),
    Scenario("one spare, next", 2, AS_NEXT, mark=(0.971, 0.002)),
    Scenario("two spares, next", 3, AS_NEXT, mark=(0.995, 0.002)),
    Scenario("one target, default policy", 1, DEFAULT),
    Scenario("one spare, default policy", 2, DEFAULT, mark=(0.964, 0.002)),
    Scenario("two spares, default policy", 3, DEFAULT, mark=(0.986, 0.002)),
    Scenario("one spare, next, 30 % of failures common", 2, AS_NEXT, Weather(common=0.3)),
    Scenario("two spares, next, 30 % of failures common", 3, AS_NEXT, Weather(common=0.3)),
    Scenario("one spare, next, slow failures", 2, AS_NEXT, Weather(slow=True)),
    Scenario("two spares, next, slow failures", 3, AS_NEXT, Weather(slow=True)),
)
BESIDE_THE_SDK = (
    Scenario("SDK alone", 1, DEFAULT, client=sdk_alone),
    Scenario("SDK through the gateway, one target, next", 1, AS_NEXT, client=sdk),
    Scenario("SDK through the gateway, one target, default", 1, DEFAULT, client=sdk),
    Scenario("SDK through the gateway, one spare, next", 2, AS_NEXT, client=sdk),
)
MOST_EXTRA = 0.01


def played(scenario: Scenario, requests: int, rate: float, seed: int) -> Tally:
    names = [f"target{number}" for number in range(1, scenario.targets + 1)]
    world = World(policy(**scenario.routing), names, scenario.weather, seed=seed)
    return world.run(requests, rate, scenario.client)


OUTAGES = (
    ("connections refused", Failure(Kind.SERVER, Certainty.NOT_SENT), 0.002),
    ("429 without a time", Failure(Kind.THROTTLED, Certainty.REJECTED), 0.1),
    ("429, retry after 60 s", Failure(Kind.THROTTLED, Certainty.REJECTED, retry_after=60.0), 0.1),
    ("complete 5xx after 3 s", Failure(Kind.SERVER, Certainty.FAILED), 3.0),
    ("credentials refused", Failure(Kind.AUTH, Certainty.REJECTED), 0.1),
    ("broken off after 60 s", BROKEN_OFF, 60.0),
    ("silence", Failure(Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED), 1000.0),
)
DIES, BACK = 3600.0, 5400.0


LEFT_ALONE = 10.0
"""Seconds without a call after which a target counts as out."""


@dataclass(frozen=True)
class Recovery:
    """Seconds from the death of a target until it is left alone, and the calls that met it until then; the
    calls that met it later (one at a time, to see whether it is well again); seconds from its return to the
    first call that it serves; the delivered rate of it all."""

    out: float
    met: int
    tried: int
    back: float
    rate: float


def recovery(failure: Failure, seconds: float, *, rate: float, seed: int) -> Recovery:
    """Two targets that always work, but that the first is dead for half an hour."""
    outage = Outage("target1", DIES, BACK, failure, seconds)
    world = World(policy(**AS_NEXT), ["target1", "target2"], Weather(success=1.0), [outage], seed)
    tally = world.run(int(rate * 7800), rate, once)
    until = DIES
    for at in tally.met:
        if at - until > LEFT_ALONE:
            break
        until = at
    met = sum(at <= until for at in tally.met)
    back = min(began for began, target in tally.served if target == "target1" and began >= BACK)
    return Recovery(until - DIES, met, len(tally.met) - met, back - BACK, tally.rate)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000, help="of each scenario")
    parser.add_argument("--rate", type=float, default=10.0, help="requests a second, of virtual time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests")
    options = parser.parse_args()
    requests = options.requests // 10 if options.quick else options.requests
    began, missed = perf_counter(), 0
    print(f"{requests} requests each, {options.rate:g} a second, seed {options.seed}\n\n{HEADING}")
    rates = {}
    for scenario in (*SCENARIOS, *BESIDE_THE_SDK):
        tally = played(scenario, requests, options.rate, options.seed)
        rates[scenario.name] = tally.rate
        fine = tally.extra <= MOST_EXTRA * tally.requests or scenario.client is sdk_alone
        if scenario.mark is not None:
            wanted, near = scenario.mark
            fine = fine and abs(tally.rate - wanted) <= near
        missed += not fine
        print(line(scenario.name, tally) + ("" if fine else "  MISSED"), flush=True)
    below = rates[BESIDE_THE_SDK[1].name] < rates[BESIDE_THE_SDK[0].name]
    missed += below
    print(f"\nwith one target and next, the SDK fares {'WORSE' if below else 'no worse'} than alone")
    print(
        f"\n{'one of two targets dies':<26} {'out after':>11} {'calls':>6} {'tried later':>12} "
        f"{'back after':>11} {'deliv.':>8}"
    )
    for name, failure, seconds in OUTAGES:
        found = recovery(failure, seconds, rate=2.0, seed=options.seed)
        print(
            f"{name:<26} {found.out:9.1f} s {found.met:6} {found.tried:12} "
            f"{found.back:9.1f} s {found.rate:8.2%}",
            flush=True,
        )
    print(f"\n{perf_counter() - began:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
