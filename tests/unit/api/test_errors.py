"""Every failure in one envelope, with headers that tell the SDKs what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pydantic
import pytest
import structlog
from litestar.exceptions import HTTPException, MethodNotAllowedException, ValidationException

from gateway.api.errors import answer, as_gateway_error
from gateway.api.request_ids import Mark
from gateway.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    SpendLimitReached,
    Unavailable,
    UpstreamFailed,
)
from gateway.images.call import ImageCall
from tests.unit.api.serving import Face, FakeEngine, face

MARK = Mark("req_" + "a" * 32, 0.0, "/v1/images/generations")


def told(error: Exception) -> tuple[int, dict[str, str], dict[str, Any]]:
    result = answer(as_gateway_error(error, "POST", MARK))
    headers = {name.decode(): value.decode("latin-1") for name, value in result.headers}
    assert int(headers["content-length"]) == len(result.body) > 0
    return result.status, headers, json.loads(result.body)["error"]


def test_the_envelope_has_its_four_keys_and_what_the_error_adds() -> None:
    details = {"moderation_stage": "input", "categories": ["other"], "code": "never over a key of ours"}
    status, headers, error = told(
        InvalidRequest("No.", code="moderation_blocked", extra={"moderation_details": details, "code": "x"})
    )
    assert status == 400
    assert error == {
        "message": "No.",
        "type": "invalid_request_error",
        "param": None,
        "code": "moderation_blocked",
        "moderation_details": details,
    }
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize(("retryable", "header"), [(True, "true"), (False, "false"), (None, None)])
def test_should_retry_is_said_only_where_it_is_known(retryable: bool | None, header: str | None) -> None:
    _, headers, _ = told(UpstreamFailed("x", retryable=retryable))
    assert headers.get("x-should-retry") == header


@pytest.mark.parametrize(
    ("wait", "seconds", "milliseconds", "in_message"),
    [
        (0.0, "1", "1", False),
        (0.25, "1", "250", False),
        (11.2, "12", "11200", False),
        (60.0, "60", "60000", False),
        (61.0, "60", None, True),
        (86_400.0, "60", None, True),
    ],
)
def test_waits_are_whole_seconds_up_to_a_minute_and_longer_ones_are_told(
    wait: float, seconds: str, milliseconds: str | None, in_message: bool
) -> None:
    _, headers, error = told(Unavailable("Busy.", retry_after=wait))
    assert headers["retry-after"] == seconds
    assert headers.get("retry-after-ms") == milliseconds
    assert (f"{wait:.0f} seconds" in error["message"]) is in_message


def test_a_spent_budget_is_not_to_be_retried() -> None:
    status, headers, error = told(SpendLimitReached("Spent.", code="project_spend_limit_exceeded"))
    assert (status, error["type"], headers["x-should-retry"]) == (429, "insufficient_quota", "false")


def test_litestars_own_refusals_take_the_envelope() -> None:
    assert told(HTTPException(status_code=413, detail="Request Entity Too Large"))[0] == 413
    status, headers, error = told(MethodNotAllowedException(headers={"allow": "GET"}))
    assert (status, headers["allow"], error["code"]) == (405, "GET", "method_not_allowed")
    _, _, error = told(ValidationException("bad", extra=[{"key": "limit", "message": "too high"}]))
    assert (error["param"], error["message"]) == ("limit", "too high")


def test_typed_validation_names_the_field_and_not_the_value() -> None:
    class Query(pydantic.BaseModel):
        limit: int

    with pytest.raises(pydantic.ValidationError) as caught:
        Query.model_validate({"limit": "secret words"})
    status, _, error = told(caught.value)
    assert (status, error["param"]) == (400, "limit")
    assert "secret words" not in error["message"]
    with pytest.raises(msgspec.ValidationError) as wrong:
        msgspec.convert("x", int)
    assert told(wrong.value)[0] == 400


def test_the_unknown_is_a_500_that_names_the_request_and_nothing_else() -> None:
    with structlog.testing.capture_logs() as logs:
        status, headers, error = told(RuntimeError("the database's password is x"))
    assert (status, error["type"], headers["x-should-retry"]) == (500, "server_error", "false")
    assert MARK.request_id in error["message"]
    assert "password" not in error["message"]
    assert [line["event"] for line in logs] == ["unhandled_error"]
    assert isinstance(logs[0]["exc_info"], RuntimeError)


def test_an_internal_error_of_ours_is_logged_too() -> None:
    with structlog.testing.capture_logs() as logs:
        assert told(InternalError("Broken."))[0] == 500
    assert logs[0]["request_id"] == MARK.request_id


def test_headers_that_are_not_latin_1_do_not_break_the_answer() -> None:
    _, headers, _ = told(GatewayError("x", headers={"X-Why": "naïve ☃"}))
    assert headers["x-why"].startswith("na")


@pytest.fixture
def broken() -> Iterator[Face]:
    async def fail(call: ImageCall) -> None:
        raise RuntimeError("boom")

    with face(engine=FakeEngine(work=fail)) as running:
        yield running


def test_an_unknown_failure_of_the_engine_is_answered_and_its_traceback_logged(
    broken: Face,
) -> None:
    with structlog.testing.capture_logs() as logs:
        reply = broken.generate()
    assert (reply.status, reply.error["type"]) == (500, "server_error")
    assert reply.headers["x-request-id"] in reply.error["message"]
    assert "boom" not in reply.error["message"]
    line = next(line for line in logs if line["event"] == "unhandled_error")
    written = str(structlog.processors.format_exc_info(None, "error", dict(line)))
    assert "Traceback" in written
    assert "boom" in written
    assert "a dot" not in written
