"""What each refusal means, and that nothing leaks through its words."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from providers.base import Certainty, Kind, ProviderError
from providers.openai_errors import refusal, retry_after
from providers.scrub import MAX_TEXT, Scrubber

KEY = "sk-proj-Ab12Cd34Ef56Gh78"


def error(status: int, body: object, *, prompt: str = "", **headers: str) -> ProviderError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(status, named, raw, provider="here", scrub=Scrubber([KEY]), prompt=prompt)


def envelope(code: str | None = None, message: str = "No.", **more: object) -> dict[str, object]:
    return {"error": {"message": message, "type": "t", "param": None, "code": code, **more}}


@pytest.mark.parametrize(
    ("status", "body", "kind", "certainty"),
    [
        (400, envelope("invalid_value"), Kind.INVALID, Certainty.REJECTED),
        (400, b"<html>", Kind.INVALID, Certainty.REJECTED),
        (401, envelope("invalid_api_key"), Kind.AUTH, Certainty.REJECTED),
        (402, {"error": "pay"}, Kind.AUTH, Certainty.REJECTED),
        (403, envelope("Forbidden"), Kind.AUTH, Certainty.REJECTED),
        (404, b"", Kind.NOT_FOUND, Certainty.REJECTED),
        (404, envelope("DeploymentNotFound"), Kind.NOT_FOUND, Certainty.REJECTED),
        (400, envelope("model_not_found"), Kind.NOT_FOUND, Certainty.REJECTED),
        (400, envelope("invalid_value", param="model"), Kind.NOT_FOUND, Certainty.REJECTED),
        (400, envelope("invalid_value", param="size"), Kind.INVALID, Certainty.REJECTED),
        (408, envelope("x"), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        (409, envelope("x"), Kind.OVERLOADED, Certainty.REJECTED),
        (413, b"", Kind.INVALID, Certainty.REJECTED),
        (422, {"detail": "bad"}, Kind.INVALID, Certainty.REJECTED),
        (429, envelope("rate_limit_exceeded"), Kind.THROTTLED, Certainty.REJECTED),
        (429, b"slow down", Kind.THROTTLED, Certainty.REJECTED),
        (500, envelope(None), Kind.SERVER, Certainty.FAILED),
        (500, envelope("image_generation_failed"), Kind.SERVER, Certainty.FAILED),
        (500, b"Internal Server Error", Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (500, b"", Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (500, {"error": "text"}, Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (500, {"message": "text"}, Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (500, b'{"error":{"message":"cut of', Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (502, b"<html>", Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (502, envelope(None), Kind.SERVER, Certainty.FAILED),
        (502, envelope("upstream_unknown"), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (503, envelope("server_is_overloaded"), Kind.OVERLOADED, Certainty.REJECTED),
        (503, envelope("slow_down"), Kind.OVERLOADED, Certainty.REJECTED),
        (503, envelope(None), Kind.OVERLOADED, Certainty.FAILED),
        (503, b"<html>", Kind.OVERLOADED, Certainty.MAYBE_ACCEPTED),
        (504, b"<html>", Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        (504, envelope(None), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        (524, b"<html>", Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (302, b"", Kind.NOT_FOUND, Certainty.REJECTED),
    ],
)
def test_a_status_and_its_envelope_give_kind_and_certainty(
    status: int, body: object, kind: Kind, certainty: Certainty
) -> None:
    found = error(status, body)
    assert (found.kind, found.certainty) == (kind, certainty)
    assert found.status == status
    assert found.message


@pytest.mark.parametrize(
    "code",
    ["insufficient_quota", "billing_hard_limit_reached", "project_spend_limit_exceeded", "invalid_api_key"],
)
def test_an_account_without_money_is_its_owners_matter_and_not_a_rate_limit(code: str) -> None:
    found = error(429, envelope(code, "You exceeded your current quota."))
    assert (found.kind, found.certainty) == (Kind.AUTH, Certainty.REJECTED)
    assert found.message.startswith("Provider 'here' refused the gateway's account")


@pytest.mark.parametrize(
    "body",
    [
        envelope("moderation_blocked"),
        envelope("content_policy_violation"),
        envelope("content_filter"),
        {"created": 1, "error": {"code": "contentFilter", "message": "No."}},
        envelope("x", inner_error={"code": "ResponsibleAIPolicyViolation"}),
        envelope("x", innererror={"code": "ResponsibleAIPolicyViolation"}),
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_a_refusal_for_content_is_known_in_each_of_its_shapes(status: int, body: object) -> None:
    found = error(status, body)
    assert (found.kind, found.certainty) == (Kind.MODERATION, Certainty.REJECTED)


def test_moderation_details_come_along_and_say_when_the_work_was_done() -> None:
    details = {"moderation_stage": "output", "categories": ["sexual", 3, "violence"], "more": "x" * 9999}
    found = error(400, envelope("moderation_blocked", moderation_details=details))
    assert found.details == {"moderation_stage": "output", "categories": ["sexual", "violence"]}
    assert found.billed is None
    before = error(400, envelope("moderation_blocked", moderation_details={"moderation_stage": "input"}))
    assert before.details == {"moderation_stage": "input", "categories": []}
    assert before.billed is None


def test_azures_filter_results_become_moderation_details() -> None:
    results = {"violence": {"filtered": True, "severity": "high"}, "jailbreak": {"detected": False}}
    found = error(
        400,
        envelope(
            "content_policy_violation",
            inner_error={"code": "ResponsibleAIPolicyViolation", "content_filter_results": results},
        ),
    )
    assert found.details == {"moderation_stage": "unknown", "categories": ["violence"]}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": formatdate(0)}, 0.0),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_each_of_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


OUT = {"x-ratelimit-remaining-input-images": "0", "x-ratelimit-reset-input-images": "20s"}


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(429, OUT, 20.0), (429, {**OUT, "retry-after": "3"}, 3.0), (503, OUT, None), (429, {}, None)],
)
def test_a_rate_limit_without_a_time_is_told_by_what_ran_out(
    status: int, headers: dict[str, str], seconds: float | None
) -> None:
    found = refusal(status, headers, b"{}", provider="here", scrub=Scrubber())
    assert found.retry_after == seconds


def test_retry_after_as_a_date_counts_from_now() -> None:
    found = retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert found is not None
    assert 28 <= found <= 31


def test_the_upstreams_words_and_ids_are_kept() -> None:
    found = error(
        400,
        envelope("invalid_value", "Invalid size '1x1'.", param="size", type="image_generation_user_error"),
        x_request_id="req_1",
    )
    assert (found.message, found.param, found.code) == ("Invalid size '1x1'.", "size", "invalid_value")
    assert found.type == "image_generation_user_error"
    assert found.upstream_request_id == "req_1"
    assert error(500, b"", apim_request_id="a-1").upstream_request_id == "a-1"


def test_hostile_fields_of_other_types_do_no_harm() -> None:
    found = error(400, {"error": {"message": ["x"], "code": {"a": 1}, "param": 7, "type": True}})
    assert (found.code, found.param, found.type) == (None, "7", None)
    assert "refused the request (HTTP 400)" in found.message
    assert error(400, b"[" * 100_000).kind is Kind.INVALID
    assert len(error(400, envelope("c" * 9999)).code or "") <= 128


class TestScrubbing:
    @pytest.mark.parametrize(
        "said",
        [
            f"Incorrect API key provided: {KEY}.",
            "Incorrect API key provided: sk-proj-********************Gh78. You can find",
            "Incorrect API key provided: sk-other-1234567890abcdef.",
            "masked 0123abcd****************89ef here",
            "header was Bearer abcdef0123456789abcdef",
        ],
    )
    def test_no_key_gets_through(self, said: str) -> None:
        shown = error(400, envelope("x", said)).message
        assert "[key]" in shown
        for piece in (KEY, "Gh78", "1234567890", "89ef", "abcdef0123"):
            assert piece not in shown

    def test_our_own_key_is_found_whatever_its_form(self) -> None:
        assert Scrubber(["0123456789abcdef0123"])("at 0123456789abcdef0123!") == "at [key]!"
        assert Scrubber(["secret", "secret-longer"])("a secret-longer b") == "a [key] b"

    def test_codes_and_params_are_scrubbed_too(self) -> None:
        found = error(400, envelope(f"bad_{KEY}", param=KEY))
        assert KEY not in f"{found.code}{found.param}"

    @pytest.mark.parametrize(
        ("prompt", "said", "shown"),
        [
            ("a cat in a spacesuit on mars", "Refused: a cat in a spacesuit on mars", "Refused: [prompt]"),
            ("a cat in a spacesuit on mars", "Refused: 'a cat in a spacesuit...'", "Refused: '[prompt]...'"),
            ("cat", "'cat' is not in category 3", "'[prompt]' is not in category 3"),
            ("", "nothing to hide", "nothing to hide"),
        ],
    )
    def test_the_prompt_is_not_echoed(self, prompt: str, said: str, shown: str) -> None:
        assert error(400, envelope("x", said), prompt=prompt).message == shown

    @pytest.mark.parametrize("said", ["y" * 60_000, "sk-" * 20_000, "*" * 60_000, "a cat in a space" * 4000])
    def test_long_words_are_cut_and_take_no_time(self, said: str) -> None:
        started = time.process_time()
        shown = error(400, envelope("x", said), prompt="a cat in a spacesuit on mars").message
        assert time.process_time() - started < 2  # a thousandth of it; to backtrack takes minutes
        assert len(shown) <= MAX_TEXT + 1
