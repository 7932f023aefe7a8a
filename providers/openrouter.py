"""OpenRouter (openrouter.md): one endpoint for making and editing, in fields that are mostly OpenAI's, the
cost in every answer, and the words of the providers behind it inside its errors."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from config.schema import OpenRouterProvider
from providers.account import Account, Resolve
from providers.base import ImageRequest, ImageResult, Operation, Probe, ProviderError
from providers.http import Reply, UpstreamClient
from providers.json_body import image_url, json_body, weight_of
from providers.openai_errors import refusal, request_id
from providers.splicing import Path, as_openai
from providers.upload import Upload

_MODERATION = re.compile(
    r"moderation_blocked|content[ _]polic|content[ _]filter|content moderation|safety (?:system|filter)"
    r"|usage guidelines|flagged",
    re.IGNORECASE,
)
"""Words of providers behind OpenRouter, which come in their own languages."""

_EDGE_TIMEOUT = 524
"""The edge before OpenRouter stopped waiting: as with any 504, nobody knows what was made."""

_MOST_RESET = 3600.0
"""Seconds. A reset further away is no hint for a retry."""


class OpenRouter(Account):
    """``Authorization: Bearer``; who calls is told only where it is configured."""

    type = "openrouter"

    def __init__(
        self, name: str, settings: OpenRouterProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        key = resolve(settings.api_key).reveal()
        told = {"http-referer": settings.referer, "x-openrouter-title": settings.title}
        super().__init__(
            name,
            client,
            base_url=settings.base_url,
            headers={"authorization": f"Bearer {key}"} | {k: v for k, v in told.items() if v},
            secrets=[key],
        )
        self._endpoints = settings.endpoints.model_dump(exclude_none=True)

    def url(self, operation: Operation, model: str) -> str:
        return f"{self.base_url}/images"

    async def body(self, request: ImageRequest) -> Upload:
        fields: dict[str, object] = {"model": request.model, "prompt": request.prompt, **request.params}
        if request.images:
            fields["input_references"] = [
                {"type": "image_url", "image_url": {"url": image_url(picture)}} for picture in request.images
            ]
        if self._endpoints:
            fields["provider"] = self._endpoints
        return await json_body(fields, weight=weight_of(request.images))

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        error = refusal(
            504 if status == _EDGE_TIMEOUT else status,
            headers,
            _in_openais_words(status, body),
            provider=self.name,
            scrub=self._scrub,
            prompt=prompt,
        )
        if error.retry_after is None:
            error.retry_after = _reset_in(headers)
        return error

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        self.content_type(reply, "application/json")
        result = ImageResult(
            body=reply.body,
            aclose=reply.aclose,
            upstream_request_id=request_id(reply.headers),
            scrub=self._scrub,
        )

        def rest(document: dict[str, object], made: int) -> Mapping[str, object]:
            usage = document.get("usage")
            usage = usage if isinstance(usage, dict) else {}
            result.cost = _cost(usage)
            said = document.get("error")
            if not made and isinstance(said, dict):
                # A failure behind OpenRouter may come after its 200 has gone out.
                code = said.get("code")
                status = code if isinstance(code, int) and 400 <= code <= 599 else 500
                body = msgspec.json.encode({"error": said})
                raise self.refused(status, reply.headers, body, request.prompt)
            return _usage(usage)

        result.body = as_openai(reply.body, _is_picture, rest, provider=self.name)
        return result

    def models_url(self) -> str:
        return f"{self.base_url}/images/models"

    def probed(self, status: int, body: bytes) -> Probe:
        """The list says nothing of the key: it may be public."""
        if status != 200:
            return Probe(reachable=True, detail=f"HTTP {status} for the list of models")
        try:
            listed = msgspec.json.decode(body, type=_ModelList).data
        except msgspec.DecodeError:
            return Probe(
                reachable=True, detail="the list of models is not in OpenRouter's form; check base_url"
            )
        return Probe(reachable=True, models=tuple(model.id for model in listed))


class _Model(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_Model] = []


def _is_picture(path: Path) -> bool:
    return len(path) == 3 and path[0] == "data" and path[2] == "b64_json"


def _cost(usage: Mapping[str, object]) -> Decimal | None:
    """What the call cost in dollars. On a key of one's own at the provider (``is_byok``) OpenRouter's part is
    not all of it."""
    cost = _dollars(usage.get("cost"))
    if usage.get("is_byok") is not True or cost is None:
        return cost
    details = usage.get("cost_details")
    behind = _dollars(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    return None if behind is None else cost + behind


def _dollars(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    return amount if amount.is_finite() and amount >= 0 else None


def _usage(usage: Mapping[str, object]) -> dict[str, object]:
    """``usage`` in OpenAI's words; nothing where no tokens are told."""
    into, out = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if into is None or out is None:
        return {}
    found: dict[str, object] = {"input_tokens": into, "output_tokens": out, "total_tokens": into + out}
    details = usage.get("completion_tokens_details")
    pictures = _count(details, "image_tokens") if isinstance(details, dict) else None
    if pictures is not None and pictures <= out:
        found["output_tokens_details"] = {"image_tokens": pictures, "text_tokens": out - pictures}
    return {"usage": found}


def _count(fields: Mapping[str, object], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _in_openais_words(status: int, body: bytes) -> bytes:
    """OpenRouter's envelope, whose code is a status again, with OpenAI's code where there is one for it."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    said = document.get("error") if isinstance(document, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("message"), str):
        return body
    metadata = said.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    raw = metadata.get("raw")
    raw = raw if isinstance(raw, str) else ""
    error: dict[str, object] = {"message": " ".join(filter(None, (said["message"], raw)))}
    reasons = metadata.get("reasons")
    if isinstance(reasons, list) or _MODERATION.search(f"{said['message']} {raw}"):
        # Reasons are OpenRouter's own, of a look at the input before any provider is asked.
        stage = "input" if isinstance(reasons, list) else "unknown"
        named = reasons if isinstance(reasons, list) else []
        error["code"] = "moderation_blocked"
        error["moderation_details"] = {"moderation_stage": stage, "categories": named}
    elif status == 402:
        error["code"] = "insufficient_quota"
    return msgspec.json.encode({"error": error})


def _reset_in(headers: Mapping[str, str]) -> float | None:
    """Seconds until ``x-ratelimit-reset``, which is in milliseconds since 1970."""
    try:
        seconds = int(headers.get("x-ratelimit-reset", "")) / 1000 - time.time()
    except ValueError:
        return None
    return seconds if 0 <= seconds <= _MOST_RESET else None
