"""In which order targets are tried, and which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.routing import WhenSettings
from gateway.routing.conditions import Condition
from gateway.routing.cooldowns import Cooldown
from gateway.routing.health import State
from gateway.routing.names import Shape, TargetName
from gateway.routing.rules import Ruling
from gateway.routing.selection import Contender, Order, Out, Place, order
from gateway.routing.watch import Standing
from gateway.routing.wishes import Wishes
from tests.unit.routing.test_rules import ASKED

SHAPE = Shape("m", "1024x1024", "high")
NOW = 1000.0


class Known:
    """Every target is well, but for those that are said not to be."""

    def __init__(self, **standings: Standing) -> None:
        self._standings: Mapping[str, Standing] = standings

    def standing(self, target: TargetName, shape: Shape, now: float) -> Standing:
        return self._standings.get(target.partition("/")[0], Standing())


def contender(provider: str, **more: object) -> Contender:
    return Contender(provider, "m", SHAPE, **more)  # type: ignore[arg-type]


A, B, C, D = (contender(name) for name in "abcd")
OPEN = Standing(State.OPEN, until=NOW + 20, cause="server")
LATER = Standing(State.OPEN, until=NOW + 90, cause="server")
DUE = Standing(State.DUE, until=NOW - 1, cause="server")
TRYING = Standing(State.TRYING, until=NOW - 1, cause="server")
REFUSED = Standing(State.OPEN, until=NOW + 1, cause="auth")
COOLING = Standing(cooldown=Cooldown("retry-after", NOW + 7))


def ordered(contenders: Sequence[Contender], select: str = "priority", **more: object) -> Order:
    known = more.pop("known", Known())
    dice = more.pop("dice", Random(1).random)
    return order(contenders, select, known, NOW, dice, **more)  # type: ignore[arg-type]


def names(found: Order) -> str:
    return "".join(each.contender.provider for each in found.ranked)


def out(found: Order) -> dict[str, Out]:
    return {each.contender.provider: each.because for each in found.left_out}


def test_targets_stand_as_declared_and_by_priority() -> None:
    assert names(ordered([A, B, C])) == "abc"
    first = [contender("a", priority=2), contender("b"), contender("c", priority=2), contender("d")]
    assert names(ordered(first)) == "bdac"


def test_weights_are_the_odds_of_the_first_place_and_of_those_after_it() -> None:
    dice = Random(7)
    three = [contender("a", weight=6), contender("b", weight=3), contender("c", weight=1)]
    found = Counter(names(ordered(three, "weighted", dice=dice.random)) for _ in range(20_000))
    first = Counter[str]()
    for place, count in found.items():
        first[place[0]] += count
    assert [first[name] / 20_000 for name in "abc"] == pytest.approx([0.6, 0.3, 0.1], abs=0.015)
    assert found["cab"] / first["c"] == pytest.approx(6 / 9, abs=0.05)


def test_the_same_dice_give_the_same_order() -> None:
    def run() -> list[str]:
        dice = Random(3)
        return [names(ordered([A, B, C, D], "weighted", dice=dice.random)) for _ in range(20)]

    assert run() == run()


def test_the_fastest_is_the_one_that_gives_a_picture_soonest() -> None:
    known = Known(
        a=Standing(seconds=40.0, success=0.5), b=Standing(seconds=60.0, success=1.0), c=Standing(seconds=70.0)
    )
    assert names(ordered([A, B, C], "fastest", known=known)) == "bca"


def test_where_the_shape_was_never_made_the_pace_decides() -> None:
    assert names(ordered([A, B], "fastest", known=Known(a=Standing(pace=1.5), b=Standing(pace=0.8)))) == "ba"


def test_the_cheapest_comes_first_and_unknown_prices_last() -> None:
    three = [contender("a"), contender("b", price=53_000_000), contender("c", price=41_000_000)]
    assert names(ordered(three, "cheapest")) == "cba"
    alike = [contender("a", price=1), contender("b", price=1)]
    known = Known(a=Standing(seconds=50.0), b=Standing(seconds=40.0))
    assert names(ordered(alike, "cheapest", known=known)) == "ba"


@pytest.mark.parametrize("select", ["weighted", "fastest", "cheapest"])
def test_priority_comes_before_any_other_choice(select: str) -> None:
    two = [contender("a", priority=2, weight=1000, price=1), contender("b", price=9)]
    known = Known(a=Standing(seconds=1.0), b=Standing(seconds=99.0))
    assert names(ordered(two, select, known=known)) == "ba"


def test_what_was_taken_out_is_left_out() -> None:
    found = ordered([A, B], known=Known(a=OPEN))
    assert (names(found), out(found), found.soonest) == ("b", {"a": Out.OPEN}, NOW + 20)


@pytest.mark.parametrize(
    ("standings", "expected"),
    [
        ({"a": OPEN}, "a"),
        ({"a": TRYING}, "a"),
        ({"a": REFUSED}, "a"),
        ({"a": DUE}, "a"),
    ],
)
def test_the_only_target_always_stays(standings: dict[str, Standing], expected: str) -> None:
    assert names(ordered([A], known=Known(**standings))) == expected


def test_never_more_than_half_is_out_and_the_soonest_comes_back_first() -> None:
    both = ordered([A, B], known=Known(a=LATER, b=OPEN))
    assert names(both) == "b"
    assert both.ranked[0].place is Place.READMITTED
    assert both.ranked[0].forced
    three = ordered([A, B, C], known=Known(a=LATER, b=OPEN))
    assert [each.place for each in three.ranked] == [Place.SELECTED, Place.READMITTED, Place.LAST_RESORT]
    assert names(three) == "cba"
    four = ordered([A, B, C, D], known=Known(a=LATER, b=OPEN, c=OPEN, d=OPEN))
    assert names(four) == "bcda"
    assert [each.place for each in four.ranked] == [Place.READMITTED] * 2 + [Place.LAST_RESORT] * 2
    refused = ordered([A, B, C, D], known=Known(a=REFUSED, b=OPEN, c=REFUSED, d=OPEN))
    assert (names(refused), out(refused)) == ("bd", {"a": Out.OPEN, "c": Out.OPEN})


def test_refused_credentials_come_back_last() -> None:
    assert names(ordered([A, B], known=Known(a=REFUSED, b=LATER))) == "b"


def test_where_others_come_first_what_was_taken_out_is_the_last_resort() -> None:
    found = ordered([A, B, C], known=Known(a=OPEN))
    assert names(found) == "bca"
    assert found.ranked[2].place is Place.LAST_RESORT
    assert names(ordered([A, B, C], known=Known(a=REFUSED))) == "bc"
    silent = Standing(State.OPEN, until=NOW + 20, cause="timeout")
    assert names(ordered([A, B, C], known=Known(a=silent))) == "bc"


def test_a_provider_that_asks_for_rest_gets_it_even_where_it_is_alone() -> None:
    found = ordered([A], known=Known(a=COOLING))
    assert (names(found), out(found), found.soonest, found.wait(NOW)) == (
        "",
        {"a": Out.COOLING},
        NOW + 7,
        7.0,
    )
    assert ordered([A, B], known=Known(a=COOLING)).wait(NOW) is None
    long = Standing(cooldown=Cooldown("images", NOW + 61))
    assert ordered([A], known=Known(a=long)).wait(NOW) is None
    assert ordered([A, B], known=Known(a=COOLING, b=COOLING)).wait(NOW) is None


def test_where_one_rests_and_the_other_is_out_the_other_is_called() -> None:
    assert names(ordered([A, B], known=Known(a=COOLING, b=OPEN))) == "b"


def test_a_target_that_is_due_keeps_its_place_for_its_trial() -> None:
    found = ordered([A, B], known=Known(a=DUE))
    assert names(found) == "ab"
    assert found.ranked[0].place is Place.TRIAL


def test_of_two_that_are_due_the_cheaper_is_tried_first() -> None:
    four = [contender("a", price=9), contender("b", price=3), C, D]
    found = ordered(four, known=Known(a=DUE, b=DUE))
    assert names(found) == "bcda"
    assert found.ranked[3].place is Place.LAST_RESORT


def test_a_recovering_target_gets_its_share_of_first_places() -> None:
    dice = Random(5)
    known = Known(a=Standing(share=0.1))
    for select in ("priority", "fastest", "cheapest", "weighted"):
        found = [ordered([A, B], select, known=known, dice=dice.random) for _ in range(5000)]
        expected = 0.1 if select != "weighted" else 0.1 / 1.1
        assert sum(names(each) == "ab" for each in found) / 5000 == pytest.approx(expected, abs=0.02), select
        assert found[0].ranked[names(found[0]).index("a")].place is Place.RECOVERING


def test_a_rule_picks_targets_and_their_order() -> None:
    ruling = Ruling("eu", targets=("c", "a/m"))
    found = ordered([A, B, C], "cheapest", ruling=ruling)
    assert (names(found), out(found), found.by_rule) == ("ca", {"b": Out.RULE}, True)
    assert found.left_out[0].detail == "eu"
    chosen = ordered(
        [contender("a", price=1), B, contender("c", price=2)],
        ruling=Ruling("r", targets=("c", "a"), select="cheapest"),
    )
    assert names(chosen) == "ac"


def test_a_target_with_conditions_serves_what_fits_them() -> None:
    when = Condition(WhenSettings.model_validate({"quality": "low", "operation": "edits"}), ZoneInfo("UTC"))
    found = ordered([contender("a", when=when), B], question=ASKED)
    assert (names(found), out(found)) == ("b", {"a": Out.WHEN})
    assert found.left_out[0].detail == "operation, quality"


def test_callers_prefer_and_exclude() -> None:
    found = ordered([A, B, C], wishes=Wishes(prefer=("c", "b"), exclude=frozenset("a")))
    assert (names(found), out(found)) == ("cb", {"a": Out.EXCLUDED})
    assert found.ranked[0].place is Place.PREFERRED
    late = [A, contender("b", priority=9)]
    assert names(ordered(late, wishes=Wishes(prefer=("b",)))) == "ba"


def test_one_target_may_stand_twice_with_different_conditions() -> None:
    when = Condition(WhenSettings.model_validate({"quality": "high"}), ZoneInfo("UTC"))
    found = ordered([contender("a", when=when, weight=5), contender("a", priority=2)], question=ASKED)
    assert [each.contender.priority for each in found.ranked] == [1, 2]


standings = st.sampled_from([Standing(), OPEN, LATER, DUE, TRYING, REFUSED, COOLING, Standing(share=0.3)])


@given(
    st.lists(standings, min_size=1, max_size=6),
    st.sampled_from(["priority", "weighted", "fastest", "cheapest"]),
    st.randoms(use_true_random=False),
)
def test_each_target_is_either_ranked_or_left_out_and_enough_stay(
    health: list[Standing], select: str, dice: Random
) -> None:
    contenders = [contender(f"p{number}", price=number) for number in range(len(health))]
    known = Known(**{f"p{number}": standing for number, standing in enumerate(health)})
    found = ordered(contenders, select, known=known, dice=dice.random)
    ranked = [each.contender for each in found.ranked]
    assert sorted([*ranked, *(each.contender for each in found.left_out)], key=str) == sorted(
        contenders, key=str
    )
    resting = sum(standing.cooldown is not None for standing in health)
    assert bool(ranked) == (resting < len(health))
    broken = sum(each.because in (Out.OPEN, Out.TRYING) for each in found.left_out)
    assert broken <= len(health) // 2
    assert all(each.because is not Out.COOLING for each in found.left_out) or found.soonest is not None
