"""Everything OpenAI, Azure and what stands between them and us is known to answer instead of a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

JSON_TYPE = "application/json"
USER_ERROR = "image_generation_user_error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A whole error answer. ``headers`` come on top of those that every answer has; ``own`` tells whether
    the provider itself speaks (an intermediary sends none of OpenAI's headers)."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON_TYPE
    own: bool = True


def refusal(
    status: int,
    message: str,
    *,
    type: str | None = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> Refusal:
    """OpenAI's envelope: the four keys always, further ones after them."""
    error = {"message": message, "type": type, "param": param, "code": code, **(extra or {})}
    body = json.dumps({"error": error}, indent=2, ensure_ascii=False).encode()
    return Refusal(status, body, tuple((headers or {}).items()))


def wrong_key(key: str) -> Refusal:
    masked = f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}" if len(key) > 12 else "*" * len(key)
    return refusal(
        401,
        f"Incorrect API key provided: {masked}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        code="invalid_api_key",
        headers={"WWW-Authenticate": 'Bearer realm="OpenAI API"'},
    )


NO_KEY = refusal(
    401,
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
    "auth (i.e. Authorization: Bearer YOUR_KEY).",
    headers={"WWW-Authenticate": 'Bearer realm="OpenAI API"'},
)
EMPTY_404 = Refusal(404, content_type="")


def _rate_limit(kind: str, words: str) -> Refusal:
    return refusal(
        429,
        f"Rate limit reached for gpt-image-2 (for limit gpt-image) in organization org-sim on {words}. "
        "Please try again in 12s. Visit https://platform.openai.com/account/rate-limits to learn more.",
        type=kind,
        code="rate_limit_exceeded",
        headers={"Retry-After": "12", "Retry-After-Ms": "12000"},
    )


def _quota(code: str, message: str) -> Refusal:
    return refusal(429, message, type="insufficient_quota", code=code)


def _moderated(stage: str, categories: list[str]) -> Refusal:
    return refusal(
        400,
        "Your request was rejected by the safety system. If you believe this is an error, contact us at "
        "help.openai.com and include the request ID req_00000000000000000000000000000000.",
        type=USER_ERROR,
        code="moderation_blocked",
        extra={"moderation_details": {"moderation_stage": stage, "categories": categories}},
    )


def _azure(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Refusal:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Refusal(status, body, tuple((headers or {}).items()))


def _page(status: int, title: str) -> Refusal:
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    page += "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
    return Refusal(status, page.encode(), content_type="text/html", own=False)


AZURE_POLICY = {
    "error": {
        "code": "content_policy_violation",
        "type": "invalid_request_error",
        "message": "Your request was rejected as a result of our safety system.",
        "param": None,
        "inner_error": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_results": {
                "violence": {"filtered": True, "severity": "high"},
                "jailbreak": {"filtered": False, "detected": False},
            },
            "revised_prompt": "a calm picture",
        },
    }
}
_TRY_LATER = "The server had an error while processing your request. Sorry about that!"

REFUSALS: dict[str, Refusal] = {
    # OpenAI, as catalogued
    "invalid_key": wrong_key("sk-proj-abcdefghijklmnop1234"),
    "no_key": NO_KEY,
    "unverified": refusal(403, "Your organization must be verified to use the model `gpt-image-2`."),
    "country": refusal(
        403,
        "Country, region, or territory not supported",
        type="request_forbidden",
        code="unsupported_country_region_territory",
    ),
    "empty_404": EMPTY_404,
    "model_not_found": refusal(
        404, "The model 'gpt-image-9' does not exist", param="model", code="model_not_found"
    ),
    "unknown_model": refusal(
        400, "The model 'gpt-image-9' does not exist.", type=USER_ERROR, param="model", code="invalid_value"
    ),
    "bad_size": refusal(
        400,
        "Invalid size '1792x936'. Width and height must both be divisible by 16.",
        type=USER_ERROR,
        param="size",
        code="invalid_value",
    ),
    "unknown_parameter": refusal(400, "Unknown parameter: 'zoom'.", param="zoom", code="unknown_parameter"),
    "moderation": _moderated("input", ["other"]),
    "moderation_output": _moderated("output", ["sexual", "violence"]),
    "input_fidelity": refusal(
        400,
        "The model 'gpt-image-2' does not support the 'input_fidelity' parameter.",
        param="input_fidelity",
        code="invalid_input_fidelity_model",
    ),
    "transparent": refusal(400, "Transparent background is not supported for this model."),
    "mimetype": refusal(
        400,
        "Invalid file 'image': unsupported mimetype ('application/octet-stream'). Supported file formats are "
        "'image/jpeg', 'image/png', and 'image/webp'.",
        param="image",
        code="unsupported_file_mimetype",
    ),
    "billing_hard_limit": refusal(
        400, "Billing hard limit has been reached.", code="billing_hard_limit_reached"
    ),
    "too_large": refusal(413, "The request body is too large."),
    "rate_limit": _rate_limit("input-images", "input-images per min: Limit 5, Used 5, Requested 1"),
    "rate_limit_requests": _rate_limit("requests", "requests per min: Limit 5, Used 5, Requested 1"),
    "rate_limit_tokens": _rate_limit("tokens", "tokens per min: Limit 100000, Used 99999, Requested 7024"),
    "insufficient_quota": _quota(
        "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."
    ),
    "credit_balance_exhausted": _quota("credit_balance_exhausted", "Your credit balance is exhausted."),
    "organization_usage_limit": _quota(
        "organization_usage_limit_exceeded", "Your organization has reached its usage limit."
    ),
    "organization_spend_limit": _quota(
        "organization_spend_limit_exceeded", "Your organization has reached its spend limit."
    ),
    "project_spend_limit": _quota(
        "project_spend_limit_exceeded", "Your project has reached its spend limit."
    ),
    "slow_down": refusal(429, "Slow down: traffic rose too fast.", type="rate_limit_error", code="slow_down"),
    "server_error": refusal(500, _TRY_LATER, type="server_error"),
    "generation_failed": refusal(
        500,
        "The image could not be generated.",
        type="image_generation_server_error",
        code="image_generation_failed",
    ),
    "overloaded": refusal(
        503,
        "The server is currently overloaded.",
        type="service_unavailable_error",
        code="server_is_overloaded",
    ),
    # Azure
    "azure_key": _azure(
        401,
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
        "key for an active subscription and use a correct regional API endpoint for your resource.",
    ),
    "azure_forbidden": _azure(403, "Forbidden", "The resource is temporarily blocked."),
    "azure_deployment": _azure(
        404,
        "DeploymentNotFound",
        "The API deployment for this resource does not exist. If you created the deployment within the last "
        "5 minutes, please wait a moment and try again.",
    ),
    "azure_path": _azure(404, "404", "Resource not found"),
    "azure_rate_limit": _azure(
        429,
        "429",
        "Requests have exceeded the call rate limit of your current pricing tier. Please retry after 6 "
        "seconds.",
        {"Retry-After": "6", "x-ratelimit-reset-requests": "6", "x-ratelimit-remaining-requests": "-1"},
    ),
    "azure_filter": Refusal(
        400,
        b'{"created":1795165200,"error":{"code":"contentFilter","message":"Your task failed as a result of '
        b'our safety system."}}',
    ),
    "azure_policy": Refusal(400, json.dumps(AZURE_POLICY).encode()),
    # Between them and us
    "bad_gateway": _page(502, "502 Bad Gateway"),
    "no_backend": _page(503, "503 Service Temporarily Unavailable"),
    "gateway_timeout": _page(504, "504 Gateway Time-out"),
    "origin_timeout": _page(524, "524: A timeout occurred"),
    "request_timeout": _page(408, "408 Request Timeout"),
    "bare_500": Refusal(500, b"Internal Server Error", content_type="text/plain", own=False),
    "empty_500": Refusal(500, content_type="", own=False),
    "foreign_json_500": Refusal(500, b'{"message": "upstream connect error"}', own=False),
    "html_200": Refusal(
        200, b"<!doctype html><html><body>Please log in</body></html>", content_type="text/html", own=False
    ),
}
