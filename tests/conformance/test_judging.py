"""The judge finds what is not as it was told. Each case is an answer that is right but for one thing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conformance.asks import Ask
from tests.conformance.judging import Cell, Verdict, judge
from tests.conformance.saw import Saw
from tests.conformance.told import Change, Picture, Told, changes_told, size_told
from tests.conformance.troubles import judge_trouble

SIZE = (1024, 768)
RIGHT = Told(
    200,
    None,
    (Picture("png", SIZE),),
    ("1024x768",),
    {"sent": "1024x768", "received": "1024x768", "rule": "exact"},
)
SAW = Saw("a kite", size=SIZE)


def asked(subject: str, **fields: object) -> Ask:
    return Ask("", "", subject, fields)


PIXELS = asked("size", size="1024x768")
EMULATED = {"n": Change("emulated", "2", "1+1")}
TWO = replace(RIGHT, pictures=RIGHT.pictures * 2)
MASKED = Ask("", "", "mask", inputs=(SIZE,), mask=SIZE)
SAW_MASK = replace(SAW, inputs=(SIZE,), mask=SIZE, marked=(True, False))


@pytest.mark.parametrize(
    ("ask", "saws", "told", "verdict"),
    [
        (PIXELS, [SAW], RIGHT, "exact"),
        (asked("seed", seed=7), [replace(SAW, seed=7)], RIGHT, "exact"),
        (
            asked("seed", seed=7),
            [SAW],
            replace(RIGHT, changes={"seed": Change("dropped", "7", None)}),
            "not offered",
        ),
        (asked("n", n=2), [SAW, SAW], replace(TWO, changes=EMULATED), "emulated 1+1"),
        (MASKED, [SAW_MASK], RIGHT, "exact"),
        (MASKED, [replace(SAW_MASK, polarity="white")], RIGHT, "mapped to white"),
    ],
)
def test_what_is_as_told_has_its_word(ask: Ask, saws: list[Saw], told: Told, verdict: str) -> None:
    assert str(judge(ask, saws, told)) == verdict


@pytest.mark.parametrize(
    ("ask", "saws", "told"),
    [
        pytest.param(PIXELS, [], RIGHT, id="the upstream saw nothing"),
        pytest.param(
            PIXELS, [replace(SAW, size=(1024, 1024))], RIGHT, id="another size was sent than is told"
        ),
        pytest.param(
            PIXELS, [SAW], replace(RIGHT, pictures=(Picture("png", (640, 480)),)), id="another size came"
        ),
        pytest.param(
            asked("size", size="1000x700"), [SAW], RIGHT, id="a size that was not asked is told as exact"
        ),
        pytest.param(
            asked("size", size="21:9"), [SAW], RIGHT, id="a ratio that was not asked is told as exact"
        ),
        pytest.param(
            asked("size", resolution="2K"), [SAW], RIGHT, id="a tier that was not asked is told as exact"
        ),
        pytest.param(PIXELS, [SAW], replace(RIGHT, sizes=("1024x1024",)), id="the body tells another size"),
        pytest.param(PIXELS, [replace(SAW, quality="high")], RIGHT, id="a field that was not asked is sent"),
        pytest.param(
            PIXELS, [SAW], replace(RIGHT, changes=EMULATED), id="a change that did not happen is told"
        ),
        pytest.param(asked("seed", seed=7), [SAW], RIGHT, id="a field is left out without a word"),
        pytest.param(asked("seed", seed=7), [replace(SAW, seed=8)], RIGHT, id="another value is sent"),
        pytest.param(
            asked("quality", quality="hd"), [replace(SAW, quality="high")], RIGHT, id="mapped, not told"
        ),
        pytest.param(asked("n", n=2), [replace(SAW, n=2)], RIGHT, id="fewer pictures came"),
        pytest.param(asked("n", n=2), [SAW, SAW], TWO, id="several calls, not told"),
        pytest.param(asked("output_format", output_format="webp"), [SAW], RIGHT, id="another format came"),
        pytest.param(asked("stream", stream=True), [SAW], RIGHT, id="no events came"),
        pytest.param(MASKED, [replace(SAW_MASK, marked=(False, True))], RIGHT, id="the other half is edited"),
        pytest.param(MASKED, [replace(SAW_MASK, marked=None, mask=None)], RIGHT, id="the mask was left out"),
        pytest.param(MASKED, [replace(SAW_MASK, inputs=())], RIGHT, id="the picture was left out"),
        pytest.param(MASKED, [replace(SAW_MASK, mask=(64, 64))], RIGHT, id="the mask was scaled, not told"),
        pytest.param(
            PIXELS,
            [SAW],
            Told(400, {"type": "invalid_request_error", "message": "No.", "param": "size", "code": None}),
            id="it was sent all the same",
        ),
        pytest.param(
            PIXELS,
            [],
            Told(400, {"type": "invalid_request_error", "message": "No.", "param": "user", "code": None}),
            id="the refusal blames another field",
        ),
        pytest.param(
            PIXELS,
            [],
            Told(502, {"type": "server_error", "message": "No.", "param": None, "code": None}),
            id="it failed",
        ),
    ],
)
def test_what_is_not_as_told_is_wrong(ask: Ask, saws: list[Saw], told: Told) -> None:
    assert judge(ask, saws, told).verdict is Verdict.WRONG


def test_a_failure_that_is_booked_told_or_spoken_otherwise_is_wrong() -> None:
    error = {"message": "No.", "type": "server_error", "param": None, "code": "upstream_unknown"}
    told = Told(502, error, should_retry="false")
    assert judge_trouble("reset", told, ["unknown"], ["secret"], "No.") == Cell(Verdict.REFUSED, "unknown")
    for states, text in (
        (["released"], "No."),
        ([], "No."),
        (["unknown"] * 2, "No."),
        (["unknown"], "a secret"),
    ):
        assert judge_trouble("reset", told, states, ["secret"], text).verdict is Verdict.WRONG
    retried = replace(told, should_retry=None)
    assert judge_trouble("reset", retried, ["unknown"], [], "").verdict is Verdict.WRONG
    assert judge_trouble("overloaded", told, ["released"], [], "").verdict is Verdict.WRONG


def test_headers_are_read_as_they_are_written() -> None:
    size = size_told('requested="16:9@4K", sent="3840x2160", received=("10x20" "20x10"), rule=clamped')
    assert size == {"requested": "16:9@4K", "sent": "3840x2160", "received": "10x20 20x10", "rule": "clamped"}
    assert changes_told('quality;from="hd";to="high";how=mapped, user;how=dropped') == {
        "quality": Change("mapped", "hd", "high"),
        "user": Change("dropped", None, None),
    }
