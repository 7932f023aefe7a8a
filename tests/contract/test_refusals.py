"""Every refusal an upstream is known to give, and the one face it has for a client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contract.gateway_here import KEY, gateway_here
from tests.contract.upstreams_here import config
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream
from tests.simulators.refusals import REFUSALS

FACES = {
    "invalid_key": (502, "server_error", None, "upstream_auth_failed", None, None),
    "no_key": (502, "server_error", None, "upstream_auth_failed", None, None),
    "unverified": (502, "server_error", None, "upstream_auth_failed", None, None),
    "country": (502, "server_error", None, "upstream_auth_failed", None, None),
    "empty_404": (502, "server_error", None, "upstream_model_not_found", "false", None),
    "model_not_found": (502, "server_error", None, "upstream_model_not_found", "false", None),
    "unknown_model": (502, "server_error", None, "upstream_model_not_found", "false", None),
    "bad_size": (400, "image_generation_user_error", "size", "invalid_value", "false", None),
    "unknown_parameter": (400, "invalid_request_error", "zoom", "unknown_parameter", "false", None),
    "moderation": (400, "image_generation_user_error", None, "moderation_blocked", "false", None),
    "moderation_output": (400, "image_generation_user_error", None, "moderation_blocked", "false", None),
    "input_fidelity": (
        400,
        "invalid_request_error",
        "input_fidelity",
        "invalid_input_fidelity_model",
        "false",
        None,
    ),
    "transparent": (400, "invalid_request_error", None, None, "false", None),
    "mimetype": (400, "invalid_request_error", "image", "unsupported_file_mimetype", "false", None),
    "billing_hard_limit": (429, "invalid_request_error", None, "billing_hard_limit_reached", "false", None),
    "too_large": (413, "invalid_request_error", None, None, "false", None),
    "rate_limit": (429, "input-images", None, "rate_limit_exceeded", None, "12"),
    "rate_limit_requests": (429, "requests", None, "rate_limit_exceeded", None, "12"),
    "rate_limit_tokens": (429, "tokens", None, "rate_limit_exceeded", None, "12"),
    "insufficient_quota": (429, "insufficient_quota", None, "insufficient_quota", "false", None),
    "credit_balance_exhausted": (429, "insufficient_quota", None, "credit_balance_exhausted", "false", None),
    "organization_usage_limit": (
        429,
        "insufficient_quota",
        None,
        "organization_usage_limit_exceeded",
        "false",
        None,
    ),
    "organization_spend_limit": (
        429,
        "insufficient_quota",
        None,
        "organization_spend_limit_exceeded",
        "false",
        None,
    ),
    "project_spend_limit": (429, "insufficient_quota", None, "project_spend_limit_exceeded", "false", None),
    "slow_down": (429, "rate_limit_error", None, "slow_down", None, None),
    "server_error": (500, "server_error", None, None, None, None),
    "generation_failed": (500, "image_generation_server_error", None, "image_generation_failed", None, None),
    "overloaded": (503, "service_unavailable_error", None, "server_is_overloaded", None, None),
    "azure_key": (502, "server_error", None, "upstream_auth_failed", None, None),
    "azure_forbidden": (502, "server_error", None, "upstream_auth_failed", None, None),
    "azure_deployment": (502, "server_error", None, "upstream_model_not_found", "false", None),
    "azure_path": (502, "server_error", None, "upstream_model_not_found", "false", None),
    "azure_rate_limit": (429, "rate_limit_error", None, "rate_limit_exceeded", None, "6"),
    "azure_filter": (400, "image_generation_user_error", None, "moderation_blocked", "false", None),
    "azure_policy": (400, "image_generation_user_error", None, "moderation_blocked", "false", None),
    "bad_gateway": (502, "server_error", None, "upstream_unknown", "false", None),
    "no_backend": (502, "server_error", None, "upstream_unknown", "false", None),
    "gateway_timeout": (504, "server_error", None, "upstream_timeout", "false", None),
    "origin_timeout": (502, "server_error", None, "upstream_unknown", "false", None),
    "request_timeout": (504, "server_error", None, "upstream_timeout", "false", None),
    "bare_500": (502, "server_error", None, "upstream_unknown", "false", None),
    "empty_500": (502, "server_error", None, "upstream_unknown", "false", None),
    "foreign_json_500": (502, "server_error", None, "upstream_unknown", "false", None),
    "html_200": (502, "server_error", None, "bad_upstream_payload", "false", None),
}
"""name: (status, type, param, code, x-should-retry, retry-after)"""


def test_every_known_refusal_has_a_face() -> None:
    assert FACES.keys() == REFUSALS.keys()


async def test_each_refusal_keeps_its_meaning_in_openais_envelope(upstream: Upstream, tmp_path: Path) -> None:
    """Each at a target of its own: what one refusal says of a target must not stand in the next one's way."""
    (tmp_path / "key1").write_text(upstream.key)
    targets = {
        name: {"targets": [{"provider": "up1", "model": f"deployed-{name}", "catalog": "gpt-image-2"}]}
        for name in REFUSALS
    }
    text = config(upstream, max_attempts=1).replace("models: ", f"models: {json.dumps(targets)}\n# ")
    async with gateway_here(text, tmp_path) as here:
        told = {}
        for name in REFUSALS:
            upstream.plan(on.error(name))
            response = await here.generate(model=name)
            error = response.json()["error"]
            assert set(error) >= {"message", "type", "param", "code"}, name
            assert error["message"], name
            told[name] = (
                response.status_code,
                error["type"],
                error["param"],
                error["code"],
                response.headers.get("x-should-retry"),
                response.headers.get("retry-after"),
            )
        assert told == FACES


@pytest.mark.parametrize("stream", [False, True])
async def test_what_an_upstream_echoes_of_prompt_and_key_stays_here(
    upstream: Upstream, tmp_path: Path, stream: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    prompt = "a very private picture of the merger plans"
    async with gateway_here(config(upstream, max_attempts=1), tmp_path) as here:
        for status in (400, 401, 429, 500):
            message = f"Bad call with {upstream.key} and sk-proj-abcdefghijklmnopqrstuvwx about {prompt}"
            upstream.plan(
                on.error(status, {"error": {"message": message, "type": "t", "param": None, "code": "c"}})
            )
            response = await here.generate(prompt=prompt, stream=stream)
            assert response.status_code >= 400
            assert "merger" not in response.text
            assert upstream.key not in response.text
            assert "abcdefghijklmnop" not in response.text
    logged = "".join(capfd.readouterr())
    assert "request" in logged
    assert not any(secret in logged for secret in ("merger", upstream.key, KEY, "abcdefghijklmnop"))


async def test_a_hint_to_wait_longer_than_a_minute_is_capped(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        upstream.plan(on.error("slow_down", headers={"Retry-After": "3600"}))
        response = await here.generate()
        assert 0 < int(response.headers["retry-after"]) <= 60
