"""What a request goes through when providers fail: the failure cases by their numbers, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.failover import Failover
from tests.contract.gateway_here import Here
from tests.contract.upstreams_here import Start
from tests.faults.routed import HALF, LOW, followed, routed, told
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream
from tests.soak.stores import Redis

Three = dict[str, Upstream]


@pytest.fixture
async def ups(upstream: Upstream, start_upstream: Start) -> Three:
    return {"a": upstream, "b": await start_upstream(), "c": await start_upstream()}


@pytest.fixture
async def two(ups: Three, tmp_path: Path) -> AsyncIterator[Here]:
    async with routed({"a": ups["a"], "b": ups["b"]}, tmp_path) as here:
        yield here


def calls(ups: Three) -> list[int]:
    return [len(upstream.images) for upstream in ups.values()]


# -- 12: the budget


async def test_f12_what_fits_only_a_cheaper_target_is_served_by_that_one(ups: Three, tmp_path: Path) -> None:
    prices = {"a": LOW, "b": HALF, "c": LOW}
    limits = {"limits": [{"spend_usd": 0.15, "per": "day"}]}
    async with routed(ups, tmp_path, prices=prices, project=limits) as here:
        answer = await here.generate()
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-imagegate-downgraded"] == "budget"
        assert (answer.headers["x-imagegate-provider"], answer.headers["x-imagegate-cost-usd"]) == (
            "b",
            "0.1",
        )
        assert calls(ups) == [0, 1, 0]
        (attempt,) = await here.rows("attempts")
        assert (attempt["provider"], attempt["state"], attempt["cost"]) == ("b", "settled", 100_000_000)
        again = await here.generate()
        assert told(again) == (429, "project_spend_limit_exceeded", "false")
        assert calls(ups) == [0, 1, 0]


async def test_f12_where_the_policy_forbids_it_the_request_is_refused(ups: Three, tmp_path: Path) -> None:
    prices = {"a": LOW, "b": HALF, "c": HALF}
    limits = {"limits": [{"spend_usd": 0.15, "per": "day"}]}
    async with routed(ups, tmp_path, prices=prices, project=limits, routing={"over_budget": "stop"}) as here:
        answer = await here.generate()
        assert told(answer) == (429, "project_spend_limit_exceeded", "false")
        assert calls(ups) == [0, 0, 0]


# -- 28 to 31: it is certain that nothing was made


async def test_f28_a_provider_that_cannot_be_reached_is_passed_over(two: Here, ups: Three) -> None:
    await ups["a"].stop()
    answer = await two.generate()
    assert (answer.status_code, answer.headers["x-imagegate-provider"]) == (200, "b")
    assert answer.headers["x-imagegate-attempts"] == "2"
    assert await followed(two) == [("a", "not_sent", "next", "another_target"), ("b", None, None, None)]


async def test_f29_a_provider_that_refuses_our_key_is_taken_out_at_once(
    two: Here, ups: Three, capsys: pytest.CaptureFixture[str]
) -> None:
    ups["a"].plan(on.error("invalid_key"))
    for _ in range(3):
        assert (await two.generate()).headers["x-imagegate-provider"] == "b"
    assert calls(ups)[:2] == [1, 3], "nobody asks it again"
    logged = capsys.readouterr().out
    assert "provider_auth_failed" in logged
    assert "target_opened" in logged
    live = (await two.client.get("/v1/models/gpt-image-2?schema=true")).json()["targets"]
    assert [target["live"]["state"] for target in live] == ["open", "closed"]


async def test_f29_with_several_keys_the_refused_one_rests_and_the_next_is_used(
    upstream: Upstream, tmp_path: Path
) -> None:
    """The target is well: it is a key of its account that is not."""
    (tmp_path / "bad").write_text("sk-revoked-key-of-the-account")
    keys = ["file:bad", "file:key"]
    async with routed({"a": upstream}, tmp_path, providers={"a": {"api_keys": keys}}) as here:
        first = await here.generate()
        assert (first.status_code, first.headers["x-imagegate-attempts"]) == (200, "2")
        assert await followed(here) == [
            ("a", "rejected", "same_again", "another_key"),
            ("a", None, None, None),
        ]
        for _ in range(3):
            assert (await here.generate()).headers["x-imagegate-attempts"] == "1"


async def test_f30_one_that_says_when_to_come_again_is_left_alone_until_then(two: Here, ups: Three) -> None:
    ups["a"].plan(on.error("rate_limit"))
    for _ in range(3):
        assert (await two.generate()).headers["x-imagegate-provider"] == "b"
    assert calls(ups)[:2] == [1, 3]
    (first, *_) = await two.rows("attempts")
    assert (first["state"], first["kind"], first["http_status"]) == ("released", "throttled", 429)


async def test_f30_so_is_one_that_says_that_nothing_remains(two: Here, ups: Three) -> None:
    headers = {"x-ratelimit-remaining-images": "0", "x-ratelimit-reset-images": "30s"}
    ups["a"].plan(on.ok(headers=headers))
    providers = [(await two.generate()).headers["x-imagegate-provider"] for _ in range(2)]
    assert providers == ["a", "b"]


async def test_f30_a_sole_target_is_asked_again_when_it_said(upstream: Upstream, tmp_path: Path) -> None:
    body = {"error": {"message": "Slow.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
    upstream.plan(on.error(429, body, {"retry-after-ms": "600"}))
    async with routed({"a": upstream}, tmp_path) as here:
        begun = asyncio.get_running_loop().time()
        answer = await here.generate()
        assert (answer.status_code, answer.headers["x-imagegate-attempts"]) == (200, "2")
        assert asyncio.get_running_loop().time() - begun >= 0.6
        assert (await followed(here))[0] == ("a", "rejected", "same_again", "no_other_target")


async def test_f31_what_one_target_refuses_another_may_take(two: Here, ups: Three) -> None:
    ups["a"].plan(on.error("unknown_parameter"))
    answer = await two.generate()
    assert (answer.status_code, answer.headers["x-imagegate-provider"]) == (200, "b")
    assert await followed(two) == [("a", "rejected", "next", "another_target"), ("b", None, None, None)]
    for _ in range(8):
        ups["a"].plan(on.error("unknown_parameter"))
        await two.generate()
    live = (await two.client.get("/v1/models/gpt-image-2?schema=true")).json()["targets"]
    assert live[0]["live"]["state"] == "closed", "a fault of the request is none of the target's"


async def test_f31_where_all_refuse_it_the_first_refusal_is_told(two: Here, ups: Three) -> None:
    ups["a"].plan(on.error("unknown_parameter"))
    ups["b"].plan(on.error("bad_size"))
    answer = await two.generate()
    assert told(answer) == (400, "unknown_parameter", "false")
    assert answer.json()["error"]["param"] == "zoom"


# -- 32: content


async def test_f32_what_one_refuses_for_its_content_is_not_shopped_around(two: Here, ups: Three) -> None:
    ups["a"].plan(on.error("moderation"))
    assert told(await two.generate()) == (400, "moderation_blocked", "false")
    assert calls(ups)[:2] == [1, 0]
    assert await followed(two) == [("a", "rejected", "stop", "on_failure")]


async def test_f32_unless_the_owner_says_so(ups: Three, tmp_path: Path) -> None:
    async with routed(ups, tmp_path, routing={"on_failure": {"moderation": "next"}}) as here:
        ups["a"].plan(on.error("moderation"))
        assert (await here.generate()).headers["x-imagegate-provider"] == "b"


# -- 33: the provider says that it failed


async def test_f33_a_sole_target_that_failed_is_asked_once_more(upstream: Upstream, tmp_path: Path) -> None:
    async with routed({"a": upstream}, tmp_path) as here:
        upstream.plan(on.error("server_error"))
        assert (await here.generate()).status_code == 200
        upstream.plan(on.error("server_error"), on.error("server_error"))
        answer = await here.generate()
        assert (answer.status_code, answer.headers.get("x-should-retry")) == (500, None)
        assert len(upstream.images) == 4
        assert [row["state"] for row in await here.rows("attempts")] == ["released", "settled"] + [
            "released"
        ] * 2


# -- 34, 35: nobody knows


async def test_f34_an_unclear_outcome_is_not_repeated(two: Here, ups: Three) -> None:
    ups["a"].plan(on.reset("before_headers"))
    assert told(await two.generate()) == (502, "upstream_unknown", "false")
    assert calls(ups)[:2] == [1, 0]
    assert await followed(two) == [("a", "maybe_accepted", "stop", "on_failure")]


async def test_f34_where_the_owner_says_next_it_is_paid_for_twice_and_both_are_in_the_books(
    ups: Three, tmp_path: Path
) -> None:
    routing = {"on_failure": {"maybe_accepted": "next"}}
    limits = {"limits": [{"spend_usd": 5, "per": "day"}]}
    async with routed(ups, tmp_path, routing=routing, project=limits) as here:
        ups["a"].plan(on.reset("before_headers"))
        answer = await here.generate()
        assert (answer.status_code, answer.headers["x-imagegate-provider"]) == (200, "b")
        assert "x-imagegate-cost-usd" not in answer.headers, "what the first cost is not known"
        assert [row["state"] for row in await here.rows("attempts")] == ["unknown", "settled"]
        (limit,) = (await here.client.get("/v1/usage")).json()["limits"]
        assert float(limit["unknown"]) > 0
        assert float(limit["held"]) == 0


async def test_f35_a_silent_provider_is_a_timeout_within_the_deadline(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with routed({"a": upstream}, tmp_path, routing={"deadline": "4s"}) as here:
        upstream.plan(on.hang("before_headers"))
        begun = asyncio.get_running_loop().time()
        assert told(await here.generate()) == (504, "upstream_timeout", "false")
        assert asyncio.get_running_loop().time() - begun < 4.0


# -- 36: money for the second attempt


async def test_f36_a_second_hold_that_does_not_fit_ends_it_with_the_first_error(
    ups: Three, tmp_path: Path
) -> None:
    prices = {"a": HALF, "b": LOW, "c": LOW}
    limits = {"limits": [{"spend_usd": 0.15, "per": "day"}]}
    async with routed(ups, tmp_path, prices=prices, project=limits) as here:
        ups["a"].plan(on.error("overloaded"))
        answer = await here.generate()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "budget_prevents_failover")
        assert "overloaded" in answer.json()["error"]["message"].lower()
        assert calls(ups) == [1, 0, 0]
        (limit,) = (await here.client.get("/v1/usage")).json()["limits"]
        assert (float(limit["used"]), float(limit["held"])) == (0, 0)


async def test_a_defect_after_a_failed_attempt_leaves_no_hold(
    ups: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, seen = Failover._prepared, []

    async def breaks(self: Failover, job: Any, candidate: Any) -> Any:
        seen.append(candidate)
        if len(seen) == 2:
            raise RuntimeError("a defect")
        return await prepared(self, job, candidate)

    monkeypatch.setattr(Failover, "_prepared", breaks)
    prices = {"a": HALF, "b": HALF, "c": HALF}
    limits = {"limits": [{"spend_usd": 0.15, "per": "day"}]}
    async with routed(ups, tmp_path, prices=prices, project=limits) as here:
        ups["a"].plan(on.error("overloaded"))
        assert (await here.generate()).status_code == 500
        (limit,) = (await here.client.get("/v1/usage")).json()["limits"]
        assert (float(limit["used"]), float(limit["held"])) == (0, 0)
        assert (await here.generate()).status_code == 200


# -- 37: nobody is left


async def test_f37_where_every_target_rests_the_soonest_is_told(ups: Three, tmp_path: Path) -> None:
    body = {"error": {"message": "Busy.", "type": "server_error", "param": None, "code": "slow_down"}}
    async with routed(ups, tmp_path) as here:
        for upstream, seconds in zip(ups.values(), ("50", "40", "45"), strict=True):
            upstream.plan(on.error(503, body, {"retry-after": seconds}))
        assert (await here.generate()).status_code == 503
        answer = await here.generate()
        assert told(answer) == (503, "no_healthy_provider", "true")
        assert 35 <= int(answer.headers["retry-after"]) <= 40
        assert calls(ups) == [1, 1, 1]
        assert len(await here.rows("requests")) == 1, "nothing was sent, so nothing is in the books"


async def test_f37_a_sole_target_that_rests_for_a_moment_is_waited_for(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with routed({"a": upstream}, tmp_path) as here:
        upstream.plan(
            on.ok(headers={"x-ratelimit-remaining-images": "0", "x-ratelimit-reset-images": "500ms"})
        )
        assert [(await here.generate()).status_code for _ in range(2)] == [200, 200]


async def test_targets_that_failed_too_often_are_left_out_and_tried_again_one_at_a_time(
    ups: Three, tmp_path: Path
) -> None:
    routing = {"breaker": {"consecutive_failures": 2, "open_for": "1s", "slow_start": 0}}
    async with routed({"a": ups["a"], "b": ups["b"]}, tmp_path, routing=routing) as here:
        ups["a"].plan(*[on.error("server_error")] * 2)
        for _ in range(4):
            assert (await here.generate()).headers["x-imagegate-provider"] == "b"
        assert calls(ups)[:2] == [2, 4]
        await asyncio.sleep(1.1)
        assert (await here.generate()).headers["x-imagegate-provider"] == "a"
        assert (await here.generate()).headers["x-imagegate-provider"] == "a"


# -- 38: the retry budgets


async def test_f38_a_spent_dollar_budget_ends_it_with_the_first_error(
    ups: Three, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One call after an unclear one is always allowed, the second is more than 1 % of what was settled."""
    async with routed(ups, tmp_path, routing={"on_failure": {"maybe_accepted": "next"}}) as here:
        for upstream in ups.values():
            upstream.plan(*[on.reset("before_headers")] * 3)
        assert told(await here.generate()) == (502, "upstream_unknown", "false")
        assert calls(ups) == [1, 1, 0]
        assert "retry_budget_exhausted" in capsys.readouterr().out
        assert [row[2:] for row in await followed(here)] == [
            ("next", "another_target"),
            ("stop", "retry_spend_spent"),
        ]
        assert told(await here.generate()) == (502, "upstream_unknown", "false")
        assert sum(calls(ups)) == 3


async def test_f38_a_spent_count_ends_it_with_the_first_error(ups: Three, tmp_path: Path) -> None:
    routing = {"retry_count": "0%", "breaker": {"consecutive_failures": 100, "min_success_rate": 0}}
    async with routed({"a": ups["a"], "b": ups["b"]}, tmp_path, routing=routing) as here:
        ups["a"].plan(*[on.error("server_error")] * 11)
        statuses = [(await here.generate()).status_code for _ in range(10)]
        assert statuses == [200] * 10, "ten are always allowed"
        answer = await here.generate()
        assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "false")
        assert (await followed(here))[-1] == ("a", "failed", "stop", "retry_count_spent")


# -- 39: fewer pictures than were asked for


async def test_f39_what_an_answer_lacks_is_not_bought_elsewhere(two: Here, ups: Three) -> None:
    ups["a"].plan(on.ok(count=2))
    answer = await two.generate(n=4)
    assert (answer.status_code, answer.headers["x-imagegate-partial"]) == (200, "2/4")
    assert calls(ups)[:2] == [1, 0]


async def test_f39_where_the_policy_says_so_the_missing_ones_are_asked_of_another(
    ups: Three, tmp_path: Path
) -> None:
    async with routed(ups, tmp_path, routing={"fill_missing": True}) as here:
        ups["a"].plan(on.ok(count=3), on.ok(count=3))
        answer = await here.generate(n=4)
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["data"]) == 4
        assert "x-imagegate-partial" not in answer.headers
        assert (answer.headers["x-imagegate-provider"], answer.headers["x-imagegate-attempts"]) == ("a", "2")
        assert ups["b"].images[0].fields["n"] == 1
        first, second = await here.rows("attempts")
        assert (first["counted_images"], second["counted_images"]) == (4, 0)
        (request,) = await here.rows("requests")
        assert (request["images"], request["cost"]) == (4, first["cost"] + second["cost"])
        again = await here.generate(n=4)
        assert again.headers["x-imagegate-partial"] == "3/4", "one call a day, else 1 % of what was settled"


async def test_f39_a_fill_that_fails_takes_nothing_from_the_client(ups: Three, tmp_path: Path) -> None:
    async with routed(ups, tmp_path, routing={"fill_missing": True}) as here:
        ups["a"].plan(on.ok(count=3))
        ups["b"].plan(on.reset("before_headers"))
        answer = await here.generate(n=4)
        assert (answer.status_code, answer.headers["x-imagegate-partial"]) == (200, "3/4")
        assert [row["state"] for row in await here.rows("attempts")] == ["settled", "unknown"]
        assert (await followed(here))[-1] == ("b", "maybe_accepted", "stop", "answered_in_part")


# -- streams


async def test_a_stream_fails_over_until_its_first_picture(two: Here, ups: Three) -> None:
    ups["a"].plan(on.stream_error(0))
    answer = await two.generate(stream=True, partial_images=1)
    assert answer.text.count("event: ") == 2
    assert answer.headers["x-imagegate-provider"] == "b"


async def test_a_stream_is_never_begun_again_once_a_picture_was_relayed(ups: Three, tmp_path: Path) -> None:
    routing = {"on_failure": {"answered": "next", "bad_payload": "next", "maybe_accepted": "next"}}
    async with routed(ups, tmp_path, routing=routing) as here:
        ups["a"].plan(on.stream_cut(1))
        answer = await here.generate(stream=True, partial_images=2)
        assert [line for line in answer.text.splitlines() if line.startswith("event: ")] == [
            "event: image_generation.partial_image",
            "event: error",
        ]
        assert calls(ups) == [1, 0, 0]
        assert (await followed(here))[0][2:] == ("stop", "already_relayed")


# -- who is asked, and who asks


async def test_a_rule_refuses_in_its_own_words(ups: Three, tmp_path: Path) -> None:
    rules = [{"when": {"quality": "high"}, "deny": "High quality is for the print team."}]
    async with routed(ups, tmp_path, routing={"rules": rules}) as here:
        answer = await here.generate(quality="high")
        assert told(answer) == (403, "denied_by_rule", "false")
        assert answer.json()["error"]["message"] == "High quality is for the print team."
        assert (await here.generate()).status_code == 200
        assert calls(ups) == [1, 0, 0]


async def test_a_rule_puts_another_model_in_place_and_that_is_told(ups: Three, tmp_path: Path) -> None:
    models = {
        "hero": {
            "targets": [{"provider": "c", "model": "gpt-image-2.6-flare"}],
            "defaults": {"quality": "low"},
        }
    }
    rules = [{"name": "big", "when": {"resolution": "4K"}, "model": "hero"}]
    allowed = {"models": ["gpt-image-2"]}
    async with routed(ups, tmp_path, routing={"rules": rules}, models=models, project=allowed) as here:
        answer = await here.generate(size="2880x2880", quality="auto")
        assert answer.status_code == 200, answer.text
        assert (answer.headers["x-imagegate-provider"], answer.headers["x-imagegate-model"]) == (
            "c",
            "gpt-image-2.6-flare",
        )
        assert 'model;from="gpt-image-2";to="hero";how=mapped' in answer.headers["x-imagegate-adjustments"]
        (request,) = await here.rows("requests")
        assert request["model"] == "hero"


async def test_a_caller_puts_providers_first_or_leaves_them_out_where_it_may(
    ups: Three, tmp_path: Path
) -> None:
    async with routed(ups, tmp_path, project={"providers_header": ["prefer", "exclude"]}) as here:
        for wish, provider in (("c", "c"), ("-a", "b"), ("!a, c", "c"), ("!a, -b", "c")):
            answer = await _asked(here, {"x-imagegate-providers": wish})
            assert answer.headers["x-imagegate-provider"] == provider
        answer = await _asked(here, {"x-imagegate-providers": "!a, !b, !c"})
        assert told(answer) == (400, "no_target_left", "false")
        assert told(await _asked(here, {"x-imagegate-providers": "nobody"})) == (
            400,
            "invalid_value",
            "false",
        )


async def test_elsewhere_it_may_not(two: Here) -> None:
    answer = await _asked(two, {"x-imagegate-providers": "b"})
    assert told(answer) == (403, "providers_header_not_allowed", "false")
    assert told(await _asked(two, {"x-imagegate-drill": "timeout@1"})) == (403, "drill_not_allowed", "false")


async def test_a_key_may_name_a_target_where_its_list_does(ups: Three, tmp_path: Path) -> None:
    project = {
        "models": ["gpt-image-2", "b/gpt-image-2"],
        "limits": [{"images": 5, "per": "day", "model": "gpt-image-2"}],
    }
    async with routed(ups, tmp_path, project=project) as here:
        answer = await here.generate(model="b/gpt-image-2")
        assert (answer.status_code, answer.headers["x-imagegate-provider"]) == (200, "b")
        assert "x-imagegate-adjustments" not in answer.headers
        ups["b"].plan(on.error("server_error"), on.error("server_error"))
        assert (await here.generate(model="b/gpt-image-2")).status_code == 500, "no other may follow"
        assert calls(ups) == [0, 3, 0]
        assert told(await here.generate(model="c/gpt-image-2")) == (403, "model_not_allowed", "false")
        assert {row["model"] for row in await here.rows("requests")} == {"gpt-image-2"}
        (limit,) = (await here.client.get("/v1/usage")).json()["limits"]
        assert limit["used"] == 2, "it counts as what it is"


# -- drills


async def test_a_drill_fails_an_attempt_without_calling_anybody(ups: Three, tmp_path: Path) -> None:
    project = {"drills": True, "limits": [{"spend_usd": 5, "per": "day"}]}
    async with routed(ups, tmp_path, project=project) as here:
        answer = await _asked(here, {"x-imagegate-drill": "overloaded@1"})
        assert (answer.status_code, answer.headers["x-imagegate-provider"]) == (200, "b")
        assert calls(ups) == [0, 1, 0]
        first, second = await here.rows("attempts")
        assert (first["drill"], first["state"], first["kind"]) == (1, "released", "overloaded")
        assert (second["drill"], second["state"]) == (0, "settled")
        (limit,) = (await here.client.get("/v1/usage")).json()["limits"]
        assert (float(limit["held"]), float(limit["unknown"])) == (0, 0)


async def test_a_drill_shows_what_the_client_would_be_told(ups: Three, tmp_path: Path) -> None:
    async with routed(ups, tmp_path, project={"drills": True}) as here:
        answer = await _asked(here, {"x-imagegate-drill": "timeout@1"})
        assert told(answer) == (504, "upstream_timeout", "false")
        answer = await _asked(here, {"x-imagegate-drill": "a=not_sent, b=overloaded, c=server"})
        assert answer.status_code == 502
        for _ in range(8):
            await _asked(here, {"x-imagegate-drill": "a=server"})
        live = (await here.client.get("/v1/models/gpt-image-2?schema=true")).json()["targets"]
        assert live[0]["live"]["state"] == "closed", "other people's requests do not feel it"
        assert (await here.generate()).headers["x-imagegate-provider"] == "a"


async def test_a_drilled_stream_fails_over_too(ups: Three, tmp_path: Path) -> None:
    async with routed(ups, tmp_path, project={"drills": True}) as here:
        answer = await _asked(here, {"x-imagegate-drill": "a=server"}, stream=True)
        assert answer.headers["x-imagegate-provider"] == "b"
        assert calls(ups) == [0, 1, 0]


# -- calls at once


async def test_a_call_that_cannot_be_served_in_time_goes_to_the_next_target_at_once(
    ups: Three, tmp_path: Path
) -> None:
    crowded: dict[str, Any] = {"a": {"max_in_flight": 1, "max_queue": 0}}
    async with routed({"a": ups["a"], "b": ups["b"]}, tmp_path, providers=crowded) as here:
        ups["a"].plan(on.ok(delay=1.5))
        first = asyncio.create_task(here.generate())
        while not ups["a"].images:
            await asyncio.sleep(0.01)
        assert (await here.generate()).headers["x-imagegate-provider"] == "b"
        assert not first.done()
        assert (await first).headers["x-imagegate-provider"] == "a"
        assert ("a", "not_sent", "next", "another_target") in await followed(here)


async def test_calls_beyond_the_bound_wait_their_turn(upstream: Upstream, tmp_path: Path) -> None:
    async with routed({"a": upstream}, tmp_path, providers={"a": {"max_in_flight": 2}}) as here:
        upstream.plan(*[on.ok(delay=0.2)] * 5)
        answers = await asyncio.gather(*(here.generate() for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
        assert upstream.most_running == 2


# -- several replicas


async def test_what_one_replica_was_told_the_other_hears(
    ups: Three, tmp_path: Path, redis: Redis, postgres_database: str
) -> None:
    (tmp_path / "secret").write_text("one secret of both replicas, long enough")
    options: dict[str, Any] = {
        "storage": {"database": postgres_database, "quota": redis.url, "media": f"file:{tmp_path}/media"},
        "server": {"secret": f"file:{tmp_path}/secret"},
    }
    two = {"a": ups["a"], "b": ups["b"]}
    async with (
        routed(two, tmp_path / "one", **options) as one,
        routed(two, tmp_path / "two", **options) as other,
    ):
        ups["a"].plan(on.error("rate_limit"))
        assert (await one.generate()).headers["x-imagegate-provider"] == "b"
        await asyncio.sleep(4)  # on an idle machine two are enough
        assert (await other.generate()).headers["x-imagegate-provider"] == "b"
        assert calls(ups)[:2] == [1, 2]


# -- what is told of targets


async def test_what_a_target_was_like_of_late_is_told_with_its_model(two: Here, ups: Three) -> None:
    before = (await two.client.get("/v1/models/gpt-image-2?schema=true")).json()["targets"]
    nothing = {"state": "closed", "success": None, "p50_seconds": None, "p95_seconds": None}
    assert [target["live"] for target in before] == [nothing, nothing]
    ups["a"].plan(on.ok(), on.ok(), on.error("server_error"), on.ok())
    for _ in range(4):
        await two.generate()
    first, second = (await two.client.get("/v1/models/gpt-image-2?schema=true")).json()["targets"]
    assert first["live"]["success"] == pytest.approx(0.75, abs=0.02)
    assert 0 < first["live"]["p50_seconds"] <= first["live"]["p95_seconds"] < 5
    assert second["live"]["success"] == pytest.approx(1.0)


async def _asked(here: Here, headers: dict[str, str], **fields: Any) -> Any:
    body = {"model": "gpt-image-2", "prompt": "a red kite", "size": "1024x1024", "quality": "low", **fields}
    return await here.client.post("/v1/images/generations", json=body, headers=headers)
