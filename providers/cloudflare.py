"""Cloudflare Workers AI (docs/providers/cloudflare.md): every model has fields of its own, and answers JSON
or the picture itself.

One number in its errors says what they mean; the HTTP status groups unlike things (429 is both a day's free
use and a moment without capacity).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import msgspec

from config.accounts.cloudflare import CloudflareProvider
from config.sizing import pixels_of
from providers.account import Account, Resolve
from providers.base import (
    ImageRequest,
    ImageResult,
    InputFile,
    InputImage,
    Kind,
    Operation,
    Probe,
    ProviderError,
)
from providers.credential import bearer
from providers.form_body import form_body
from providers.http import Reply, UpstreamClient
from providers.json_body import Inline, json_body, no_unicode
from providers.openai_errors import refusal, request_id
from providers.raw_picture import raw_as_openai
from providers.shrinking import shrunk
from providers.splicing import Path, as_openai
from providers.upload import Upload

_FORMS = "/flux-2-"
"""Models that take forms, even without pictures."""

LONGEST_INPUT = 511
"""Pixels: the input pictures of these must be smaller than 512x512."""

_ONE_SIZE = frozenset({"@cf/black-forest-labs/flux-1-schnell"})
"""Models that are told no size."""

_STEPS: Mapping[str, tuple[str, int]] = {
    "@cf/black-forest-labs/flux-1-schnell": ("steps", 4),
    "@cf/black-forest-labs/flux-2-dev": ("steps", 25),
    "@cf/leonardo/lucid-origin": ("num_steps", 25),
    "@cf/leonardo/phoenix-1.0": ("num_steps", 25),
}
"""What a model calls its steps, and how many are sent where the caller names none: they are billed."""

_SAID: Mapping[int, str] = {
    5007: "model_not_found",
    3042: "model_not_found",
    5016: "invalid_api_key",
    5018: "invalid_api_key",
    5035: "invalid_api_key",
    3041: "invalid_api_key",
    3023: "invalid_api_key",
    9109: "invalid_api_key",
    10000: "invalid_api_key",
    3030: "moderation_blocked",
}
"""Cloudflare's numbers to OpenAI's codes, where there is one of the same meaning."""

_UNSAFE = re.compile(r"\bnsfw\b|\bflagged\b|content polic|safety (?:filter|system)", re.IGNORECASE)
_STATUS: Mapping[int, int] = {3036: 429, 3040: 429, 3007: 408, 3008: 408, 3006: 413}
"""The status that a number comes with, for those whose meaning hangs on it."""

_DAY_IS_USED = 3036
_NO_CAPACITY = 3040
_DAY = 86_400


class Cloudflare(Account):
    """``Authorization: Bearer`` with an API token; the account stands in the address."""

    type = "cloudflare"

    def __init__(
        self, name: str, settings: CloudflareProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        super().__init__(name, client, settings.base_url, bearer(resolve(settings.api_key)))
        self._root = f"{self.base_url}/accounts/{settings.account_id}/ai"
        # Decoded pictures are large.
        self._easel = asyncio.Semaphore(1)
        self._options = {"options": {"rejectIfBusy": True}} if settings.reject_if_busy else {}

    def url(self, operation: Operation, model: str) -> str:
        return f"{self._root}/run/{quote(model, safe='@/')}"

    async def body(self, request: ImageRequest) -> Upload:
        fields = dict(_fields(request))
        if _FORMS in request.model:
            pictures = [await self._small(file) for file in _files(request.images)]
            try:
                return form_body(
                    [(name, str(value)) for name, value in fields.items()],
                    [(f"input_image_{index}", file) for index, file in enumerate(pictures)],
                )
            except UnicodeEncodeError as error:
                raise no_unicode() from error
        for file in _files(request.images):
            fields["image_b64"] = Inline(file)
        if isinstance(request.mask, InputFile):
            fields["mask"] = await asyncio.to_thread(_bytes, request.mask)
        return await json_body({**fields, **self._options}, weight=_weight(request))

    async def _small(self, file: InputFile) -> InputFile:
        async with self._easel:
            return await shrunk(file, LONGEST_INPUT)

    async def sign(
        self, method: str, url: str, headers: Mapping[str, str], upload: Upload | None
    ) -> Mapping[str, str]:
        """Signed already; but some models answer with the picture."""
        return {**headers, "accept": "application/json, image/*"}

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        number, words = _said(body)
        if number is not None or words:
            code = "moderation_blocked" if _UNSAFE.search(words) else _SAID.get(number or 0)
            body = msgspec.json.encode({"error": {"message": words or f"error {number}", "code": code}})
        error = refusal(status, headers, body, provider=self.name, scrub=self._scrub, prompt=prompt)
        if number == _NO_CAPACITY:
            error.kind = Kind.OVERLOADED
        elif number == _DAY_IS_USED and error.retry_after is None:
            # The day's free use is given anew at midnight UTC.
            error.retry_after = _DAY - time.time() % _DAY
        return error

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        """By what the answer says it is: the same model may answer in either way."""
        kind = self.content_type(reply, "application/json", "image/png", "image/jpeg", "image/webp")

        def rest(document: dict[str, object], made: int) -> Mapping[str, object]:
            if not made and document.get("success") is False:
                body = msgspec.json.encode(document)
                status = _STATUS.get(_said(body)[0] or 0, 400)
                raise self.refused(status, reply.headers, body, request.prompt)
            return {}

        return ImageResult(
            body=as_openai(reply.body, _is_picture, rest, provider=self.name)
            if kind == "application/json"
            else raw_as_openai(reply.body),
            aclose=reply.aclose,
            upstream_request_id=request_id(reply.headers),
            scrub=self._scrub,
        )

    def models_url(self) -> str:
        return f"{self._root}/models/search?task=Text-to-Image"

    def probed(self, status: int, body: bytes) -> Probe:
        if status != 200:
            return Probe(reachable=True, detail=f"HTTP {status} for the list of models; check account_id")
        try:
            listed = msgspec.json.decode(body, type=_ModelList).result
        except msgspec.DecodeError:
            return Probe(
                reachable=True, detail="the list of models is not in Cloudflare's form; check base_url"
            )
        return Probe(reachable=True, key_accepted=True, models=tuple(model.name for model in listed))


class _Model(msgspec.Struct):
    name: str


class _ModelList(msgspec.Struct):
    result: list[_Model] = []


def _fields(request: ImageRequest) -> Iterator[tuple[str, object]]:
    """In the model's own words."""
    yield "prompt", request.prompt
    called, usual = _STEPS.get(request.model, ("num_steps", None))
    params = {"steps": usual, **request.params}
    for name, value in params.items():
        pixels = pixels_of(value) if name == "size" and isinstance(value, str) else None
        if pixels is not None and request.model not in _ONE_SIZE:
            yield "width", pixels[0]
            yield "height", pixels[1]
        elif name == "guidance_scale":
            yield "guidance", value
        elif name == "steps" and value is not None:
            yield called, value
        elif name not in ("size", "steps"):
            yield name, value


def _files(pictures: object) -> Iterator[InputFile]:
    """Every picture: Cloudflare takes no addresses, and its catalog entries say so."""
    assert isinstance(pictures, list | tuple)
    for picture in pictures:
        assert isinstance(picture, InputFile), "references are made files before"
        yield picture


def _bytes(file: InputFile) -> list[int]:
    """A file as the array of numbers that masks are sent as."""
    with file.open() as handle:
        return list(handle.read())


def _weight(request: ImageRequest) -> int:
    mask: InputImage | None = request.mask
    return mask.size * 4 if isinstance(mask, InputFile) else 0


def _is_picture(path: Path) -> bool:
    return path in (("result", "image"), ("image",))


def _said(body: bytes) -> tuple[int | None, str]:
    """The first error's number, and the words of all."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, ""
    listed = document.get("errors") if isinstance(document, dict) else None
    errors = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    numbers = [code for each in errors if isinstance(code := each.get("code"), int)]
    words = [text for each in errors if isinstance(text := each.get("message"), str)]
    return (numbers[0] if numbers else None), " ".join(words)
