"""OpenRouter (docs/providers/openrouter.md): one endpoint for making and editing, in fields that are mostly
OpenAI's, the cost in every answer, and the words of the providers behind it inside its errors."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import msgspec

from config.accounts.openrouter import OpenRouterProvider
from providers.account import Account, Resolve
from providers.base import ImageRequest, ImageResult, Operation, Probe, ProviderError
from providers.credential import bearer
from providers.event_splicing import events_as_openai
from providers.http import Reply, UpstreamClient
from providers.json_body import image_url, json_body, weight_of
from providers.openai_errors import refusal, request_id
from providers.openai_spoken import USER_ERRORS
from providers.openrouter_events import Events
from providers.openrouter_usage import cost_of, usage_of
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
        told = {"http-referer": settings.referer, "x-openrouter-title": settings.title}
        super().__init__(name, client, settings.base_url, bearer(resolve(settings.api_key)), told)
        self._endpoints = settings.endpoints.model_dump(exclude_none=True)

    def url(self, operation: Operation, model: str) -> str:
        return f"{self.base_url}/images"

    async def body(self, request: ImageRequest) -> Upload:
        # How many partial pictures come cannot be asked for.
        params = {name: value for name, value in request.params.items() if name != "partial_images"}
        fields: dict[str, object] = {"model": request.model, "prompt": request.prompt, **params}
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
        # A provider behind OpenRouter that does not stream answers in one piece, although asked to.
        events = ["text/event-stream"] if request.stream else []
        kind = self.content_type(reply, "application/json", *events)
        result = ImageResult(
            body=reply.body,
            content_type=kind,
            aclose=reply.aclose,
            upstream_request_id=request_id(reply.headers),
            scrub=self._scrub,
        )

        def refused(said: Mapping[str, object]) -> ProviderError:
            # A failure behind OpenRouter may come after its 200 has gone out.
            body = msgspec.json.encode({"error": said})
            return self.refused(_status(said), reply.headers, body, request.prompt)

        def rest(document: dict[str, object], made: int) -> Mapping[str, object]:
            usage = document.get("usage")
            usage = usage if isinstance(usage, dict) else {}
            result.cost = cost_of(usage)
            said = document.get("error")
            if not made and isinstance(said, dict):
                raise refused(said)
            return usage_of(usage)

        if kind == "application/json":
            result.body = as_openai(reply.body, _is_picture, rest, provider=self.name)
        else:
            told = Events(request, result, refused)
            result.body = events_as_openai(
                reply.body, lambda path: path == ("b64_json",), told, provider=self.name
            )
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


def _status(said: Mapping[str, object]) -> int:
    """Of an error inside a 200. Its code is a status; in events it is the provider's own word."""
    code = str(said.get("code"))
    if code.isdecimal() and 400 <= int(code) <= 599:
        return int(code)
    return 400 if said.get("type") in USER_ERRORS else 500


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
    # In events these are the provider's own words.
    error |= {name: said[name] for name in ("code", "type", "param") if isinstance(said.get(name), str)}
    reasons = metadata.get("reasons")
    words = f"{said['message']} {raw} {said.get('code')}"
    if isinstance(reasons, list) or _MODERATION.search(words):
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
