"""The headers and the document that tell what became of a call."""

from __future__ import annotations

from dataclasses import replace

from gateway.images.fitted import Adjustment, How, Rule, SizeChoice
from gateway.images.telling import adjustments_header, report, size_header, told
from tests.unit.images.asking import asked, fitted

CLAMPED = SizeChoice(Rule.CLAMPED, "16:9@4K", "3840x2160", {"size": "3840x2160"}, (3840, 2160))


def test_the_size_header_is_the_published_one() -> None:
    assert size_header(CLAMPED, [(3840, 2160)]) == (
        'requested="16:9@4K", sent="3840x2160", received="3840x2160", rule=clamped'
    )


def test_pictures_that_differ_are_an_inner_list_and_equal_ones_are_not() -> None:
    assert 'received=("1024x1024" "1024x1536")' in size_header(CLAMPED, [(1024, 1024), (1024, 1536)])
    assert 'received="1024x1024", rule' in size_header(CLAMPED, [(1024, 1024), (1024, 1024)])


def test_what_was_not_asked_and_what_was_not_seen_is_left_out() -> None:
    assert size_header(replace(CLAMPED, requested=None, sent="auto", rule=Rule.AUTO)) == (
        'sent="auto", rule=auto'
    )


def test_adjustments_are_the_published_list() -> None:
    header = adjustments_header(
        [
            Adjustment("quality", "hd", How.MAPPED, "high"),
            Adjustment("style", "vivid", How.DROPPED),
            Adjustment("user", None, How.DROPPED),
            Adjustment("size", None, How.MAPPED, "1024x1024"),
        ]
    )
    assert header == (
        'quality;from="hd";to="high";how=mapped, style;from="vivid";how=dropped, user;how=dropped, '
        'size;to="1024x1024";how=mapped'
    )
    assert adjustments_header([]) is None


def test_no_callers_word_breaks_out_of_the_header() -> None:
    header = adjustments_header(
        [Adjustment('x"; evil\r\nset-cookie: a', 'a"b\r\n', How.DROPPED), Adjustment("é", "ü", How.DROPPED)]
    )
    assert header == (
        '%"x%22; evil%0d%0aset-cookie: a";from=%"a%22b%0d%0a";how=dropped, '
        '%"%c3%a9";from=%"%c3%bc";how=dropped'
    )


def test_a_list_that_is_too_long_for_a_header_says_how_many_more_there_are() -> None:
    header = adjustments_header([Adjustment("f" * 500, None, How.DROPPED)] * 1000)
    assert header is not None
    assert len(header) < 3200
    shown, _, more = header.rpartition(", *;more=")
    assert shown.count("how=dropped") + int(more) == 1000


def test_header_record_and_dry_run_share_one_document() -> None:
    served = fitted(asked(size="512x512", quality="hd"))
    before = {
        "size": {"requested": "512x512", "sent": "816x816", "received": None, "rule": "raised"},
        "adjustments": [{"field": "quality", "from": "hd", "to": "high", "how": "mapped"}],
    }
    assert told(served) == before
    after = report(
        served,
        [(816, 816), (816, 800)],
        provider="openai",
        model="gpt-image-2",
        cost_usd="0.21",
        request_id="req_1",
    )
    assert list(after) == ["cost_usd", "provider", "model", "size", "adjustments", "request_id"]
    assert after["adjustments"] == before["adjustments"]
    assert after["size"] == {**before["size"], "received": ["816x816", "816x800"]}
