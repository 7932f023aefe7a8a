"""xAI's Grok Imagine (docs/providers/xai.md): OpenAI's paths with JSON for edits too, safety told inside 200,
the cost in every answer.

What its refusals mean is told by their words, since one status (400) stands for bad fields, a wrong key and
refused content alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from config.accounts.xai import XAIProvider
from providers.account import Account, Resolve
from providers.base import (
    Certainty,
    ImageRequest,
    ImageResult,
    Kind,
    Operation,
    Probe,
    ProviderError,
)
from providers.credential import bearer
from providers.http import Reply, UpstreamClient
from providers.json_body import image_url, json_body, weight_of
from providers.openai_dialect import kept
from providers.openai_errors import refusal, request_id
from providers.openai_spoken import error_in_answer
from providers.splicing import Path, as_openai
from providers.upload import Upload

_TICK = Decimal(10) ** -10
"""Dollars: the unit of ``usage.cost_in_usd_ticks``."""

_MEANINGS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"api key", re.I), "invalid_api_key"),
    (re.compile(r"available credits|spending limit|out of credits", re.I), "insufficient_quota"),
    (
        re.compile(
            r"content.moderation|content.polic|usage guidelines|safety_check|rejected by.*moderat", re.I
        ),
        "moderation_blocked",
    ),
)
"""What xAI says, to OpenAI's code for it; the first that fits."""

_AFTER_WORK = re.compile(r"generated image", re.I)


class XAI(Account):
    """``Authorization: Bearer``. Links in answers are never asked for."""

    type = "xai"

    def __init__(self, name: str, settings: XAIProvider, client: UpstreamClient, resolve: Resolve) -> None:
        super().__init__(name, client, settings.base_url, bearer(resolve(settings.api_key)))

    def url(self, operation: Operation, model: str) -> str:
        return f"{self.base_url}/images/{operation}"

    async def body(self, request: ImageRequest) -> Upload:
        """Pictures are only heeded on the edits route, which takes no forms."""
        fields: dict[str, object] = {**request.params, "response_format": "b64_json"}
        if isinstance(tier := fields.get("resolution"), str):
            fields["resolution"] = tier.lower()
        pictures = [{"type": "image_url", "url": image_url(picture)} for picture in request.images]
        if len(pictures) == 1:
            fields["image"] = pictures[0]
        elif pictures:
            fields["images"] = pictures
        document = {"model": request.model, "prompt": request.prompt, **fields}
        return await json_body(document, weight=weight_of(request.images))

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        return refusal(
            status, headers, _in_openais_words(body), provider=self.name, scrub=self._scrub, prompt=prompt
        )

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        self.content_type(reply, "application/json")
        result = ImageResult(
            body=reply.body,
            aclose=reply.aclose,
            upstream_request_id=request_id(reply.headers),
            headers=kept(reply.headers),
            scrub=self._scrub,
        )

        def rest(document: dict[str, object], made: int) -> Mapping[str, object]:
            result.cost = _cost(document)
            if not made:
                self._judge(document, request.prompt, result.cost)
            return {}

        result.body = as_openai(reply.body, _is_picture, rest, provider=self.name)
        return result

    def _judge(self, document: Mapping[str, object], prompt: str, cost: Decimal | None) -> None:
        """What an answer without pictures says. Raises where it says anything."""
        words = _reworded(document)
        spoken = error_in_answer(words, provider=self.name, prompt=prompt, scrub=self._scrub)
        if spoken is not None:
            raise spoken
        items = document.get("data")
        if not isinstance(items, list):
            return
        withheld = any(isinstance(item, dict) and item.get("respect_moderation") is False for item in items)
        if withheld or not items:
            raise ProviderError(
                Kind.MODERATION,
                Certainty.ANSWERED,
                f"Provider '{self.name}' withheld every picture for its content.",
                status=200,
                code="moderation_blocked",
                cost=cost,
                details={"moderation_stage": "output" if withheld else "unknown", "categories": []},
            )

    def models_url(self) -> str:
        return f"{self.base_url}/image-generation-models"

    def probed(self, status: int, body: bytes) -> Probe:
        if status == 400 and _code_of(body.decode("utf-8", "replace")) == "invalid_api_key":
            return Probe(reachable=True, key_accepted=False, detail=f"HTTP {status}: the key was refused")
        if status != 200:
            return Probe(reachable=True, detail=f"HTTP {status} for the list of models")
        try:
            listed = msgspec.json.decode(body, type=_ModelList).models
        except msgspec.DecodeError:
            return Probe(reachable=True, detail="the list of models is not in xAI's form; check base_url")
        names = tuple(name for model in listed for name in (model.id, *model.aliases))
        return Probe(reachable=True, key_accepted=True, models=names)


class _Model(msgspec.Struct):
    id: str
    aliases: list[str] = []


class _ModelList(msgspec.Struct):
    models: list[_Model] = []


def _is_picture(path: Path) -> bool:
    return len(path) == 3 and path[0] == "data" and path[2] in ("b64_json", "url")


def _cost(document: Mapping[str, object]) -> Decimal | None:
    usage = document.get("usage")
    ticks = usage.get("cost_in_usd_ticks") if isinstance(usage, dict) else None
    return ticks * _TICK if isinstance(ticks, int) and not isinstance(ticks, bool) and ticks >= 0 else None


def _in_openais_words(body: bytes) -> bytes:
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    return msgspec.json.encode(_reworded(document)) if isinstance(document, dict) else body


def _reworded(document: Mapping[str, object]) -> Mapping[str, object]:
    """``{"code": …, "error": "text"}`` and OpenAI's envelope both as the latter, with OpenAI's code where the
    words are of a known meaning; anything else as it is."""
    said = document.get("error")
    # The short form's code is a sentence ("Internal error"), which is no code to anybody else.
    error = dict(said) if isinstance(said, dict) else {"message": said}
    words = f"{document.get('code')} {error.get('message')}"
    meaning = _code_of(words)
    if meaning is not None:
        error["code"] = meaning
    if meaning == "moderation_blocked":
        stage = "output" if _AFTER_WORK.search(words) else "unknown"
        error["moderation_details"] = {"moderation_stage": stage, "categories": []}
    return {"error": error} if isinstance(error.get("message"), str) else document


def _code_of(words: str) -> str | None:
    return next((code for pattern, code in _MEANINGS if pattern.search(words)), None)
