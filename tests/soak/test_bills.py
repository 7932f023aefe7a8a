"""The reckoning finds what it is there to find."""

from __future__ import annotations

from typing import Any

from tests.soak import town
from tests.soak.bills import Booked, book, daily, peaks

BILL = 10 * 5_000 + 100 * 30_000
"""Nano-dollars of :func:`call`."""

SECOND = 1_000_000


def call(number: int = 1, request_id: str = "req_aa", **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 100}
    return {"fields": {"prompt": f"x #{number}#"}, "request_id": request_id, "usage": usage, **more}


def attempt(state: str = "settled", number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "attempt_id": f"r{number}/1", "number": str(number), "provider": "up", "state": state,
        "cost": BILL if state == "settled" else None, "hold_amount": BILL + 1, "dispatched_at": 5 * SECOND,
        "admitted_at": 5 * SECOND, "ended_at": 8 * SECOND, "upstream_request_id": "req_aa",
        "project_id": "p0", "key_id": "p0/k0", "end_user": "u0", **more,
    }  # fmt: skip


def found(calls: list[dict[str, Any]], attempts: list[dict[str, Any]]) -> Booked:
    return book({"up": calls}, attempts)


def problems(booked: Booked) -> tuple[int, int, int, int, int]:
    return (
        len(booked.unbooked), len(booked.unbilled), len(booked.wrong), len(booked.above), len(booked.doubts),
    )  # fmt: skip


def test_a_call_and_its_attempt_agree_also_where_the_provider_writes_its_ids_in_two_ways() -> None:
    same = attempt(upstream_request_id="0000-aa")
    booked = found([call(request_id="req_0000aa")], [same])
    assert problems(booked) == (0, 0, 0, 0, 0)
    assert (booked.billed, booked.settled, booked.bills) == (BILL, BILL, 1)


def test_what_was_billed_and_is_not_booked_is_found() -> None:
    assert problems(found([call()], [])) == (1, 0, 0, 0, 0)
    assert problems(found([call()], [attempt("released")])) == (1, 0, 0, 0, 0)
    unheard = attempt("released", upstream_request_id=None)
    assert problems(found([call()], [unheard])) == (1, 0, 0, 0, 0)
    twice = [call(), call(request_id="req_bb")]
    assert problems(found(twice, [attempt()])) == (1, 0, 0, 0, 0)


def test_what_is_booked_and_was_not_billed_is_found() -> None:
    assert problems(found([call(usage=None)], [attempt()])) == (0, 1, 0, 0, 0)
    assert problems(found([], [attempt(upstream_request_id=None)])) == (0, 1, 0, 0, 0)


def test_another_amount_and_more_than_was_held_are_found() -> None:
    assert problems(found([call()], [attempt(cost=BILL - 1)])) == (0, 0, 1, 0, 0)
    assert problems(found([call()], [attempt(hold_amount=BILL - 1)])) == (0, 0, 0, 1, 0)


def test_an_unknown_attempt_has_the_bill_of_the_call_that_nothing_was_heard_of() -> None:
    unknown = attempt("unknown", upstream_request_id=None)
    booked = found([call(), call(2, "req_bb")], [unknown, attempt(number=2, upstream_request_id="req_bb")])
    assert problems(booked) == (0, 0, 0, 0, 1)
    assert (booked.doubts[0].billed, booked.bills_of) == (BILL, {"r1/1": BILL, "r2/1": BILL})
    (day,) = daily([unknown], booked.bills_of, "up").items()
    assert (day[0].isoformat(), day[1]) == ("1970-01-01", BILL)
    assert found([], [unknown]).doubts[0].billed == 0


def test_a_limit_stood_highest_while_holds_were_there_together() -> None:
    limits = town.tight("0.01")
    held = {"hold_amount": 6_000_000, "cost": 3_000_000}
    first = attempt(**held)
    after = attempt(number=2, admitted_at=8 * SECOND, ended_at=9 * SECOND, **held)
    beside = attempt(number=3, admitted_at=7 * SECOND, ended_at=9 * SECOND, **held)

    def highest(*attempts: dict[str, Any]) -> float:
        return max(peak.share for peak in peaks(limits, attempts) if peak.amount == 10_000_000)

    assert highest(first, after) == 0.9
    assert highest(first, beside) == 1.2
    held = {"hold_amount": 6_000_000}
    assert highest(first, attempt("unknown", number=2, admitted_at=8 * SECOND, **held)) == 0.9
    # In another minute than the first.
    minute = {"admitted_at": 70 * SECOND, "ended_at": 71 * SECOND}
    assert highest(first, attempt("released", number=2, hold_amount=9_000_000, **minute)) == 0.9
    assert highest(first, attempt("released", number=2, hold_amount=1_000_000, **minute)) == 0.6
