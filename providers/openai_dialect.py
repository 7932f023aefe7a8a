"""A provider that speaks OpenAI's dialect: everything but the account's own addresses and headers.

The answer's bytes pass through untouched. The adapters (openai.py, azure.py, openai_compatible.py) say where
to send and how to sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import msgspec

from providers.account import Account
from providers.base import ImageRequest, ImageResult, Operation, Probe, ProviderError
from providers.http import Reply
from providers.json_body import no_unicode
from providers.openai_bodies import body_of
from providers.openai_errors import refusal, request_id
from providers.upload import Upload

_KEPT_HEADERS = ("openai-processing-ms", "openai-version", "content-length")
_KEPT_PREFIX = "x-ratelimit-"


class _Model(msgspec.Struct):
    id: str
    shutdown_date: object = None


class _ModelList(msgspec.Struct):
    data: list[_Model] = []


class OpenAIDialect(Account):
    """The common part of those who speak it."""

    unforwarded: frozenset[str] = frozenset({"response_format"})
    """Fields that are ours alone: OpenAI's own models answer 400 to ``response_format``."""

    def url(self, operation: Operation, model: str) -> str:
        return f"{self.base_url}/images/{operation}"

    def models_url(self) -> str:
        return f"{self.base_url}/models"

    def params(self, request: ImageRequest) -> dict[str, object]:
        """The fields of the body beside prompt and pictures."""
        kept = {name: value for name, value in request.params.items() if name not in self.unforwarded}
        return {"model": request.model, **kept}

    async def body(self, request: ImageRequest) -> Upload:
        try:
            return await body_of(request, self.params(request))
        except (UnicodeEncodeError, TypeError) as error:
            raise no_unicode() from error

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        return refusal(status, headers, body, provider=self.name, scrub=self._scrub, prompt=prompt)

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        """The bytes as they come: JSON, or events where they were asked for."""
        events = ["text/event-stream"] if request.stream else []
        return ImageResult(
            body=reply.body,
            content_type=self.content_type(reply, "application/json", *events),
            upstream_request_id=request_id(reply.headers),
            headers=kept(reply.headers),
            scrub=self._scrub,
            aclose=reply.aclose,
        )

    def probed(self, status: int, body: bytes) -> Probe:
        """``GET /models``: free everywhere."""
        if status != 200:
            return Probe(reachable=True, detail=f"HTTP {status} for the list of models")
        try:
            models = msgspec.json.decode(body, type=_ModelList).data
        except msgspec.DecodeError:
            return Probe(reachable=True, detail="the list of models is not in OpenAI's form; check base_url")
        return Probe(
            reachable=True,
            key_accepted=True if self._signed else None,
            models=tuple(model.id for model in models),
            shutdowns={model.id: day for model in models if (day := _day(model.shutdown_date)) is not None},
        )


def _day(value: object) -> date | None:
    """Of an ISO date, with or without a time; None for anything else."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """What of an answer's headers may be looked at later."""
    return {
        name: value
        for name, value in headers.items()
        if name in _KEPT_HEADERS or name.startswith(_KEPT_PREFIX)
    }
