"""Boards show what stands, while they are on show."""

from __future__ import annotations

from opentelemetry.metrics import CallbackOptions

from gateway.telemetry import gauges
from gateway.telemetry.gauges import Board


def told(name: str) -> list[tuple[float, dict[str, object]]]:
    read = gauges._reading(name)
    return [(each.value, dict(each.attributes or {})) for each in read(CallbackOptions())]


def test_a_board_is_read_only_while_it_is_on_show() -> None:
    board = Board()
    board.write("test", {gauges.LIMIT_USAGE: [(0.5, {"project": "of this test"})]})
    assert told(gauges.LIMIT_USAGE) == []
    board.show()
    try:
        assert told(gauges.LIMIT_USAGE) == [(0.5, {"project": "of this test"})]
        board.write("test", {})
        assert told(gauges.LIMIT_USAGE) == []
    finally:
        board.hide()


def test_two_gateways_of_one_process_are_both_read() -> None:
    boards = [Board(), Board()]
    for number, board in enumerate(boards):
        board.write("test", {gauges.BUDGET_LIMIT: [(number, {})]})
        board.show()
    try:
        assert [value for value, _ in told(gauges.BUDGET_LIMIT)] == [0, 1]
    finally:
        for board in boards:
            board.hide()
    assert told(gauges.BUDGET_LIMIT) == []
