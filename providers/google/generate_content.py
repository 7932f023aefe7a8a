"""``generateContent``: a call in Gemini's words, and its answer in OpenAI's.

An answer may hold more pictures than the one that was asked for: drafts in parts marked as thoughts, a second
one beside a text. Which of them counts is only known at the end, so they are held until then, and the last
that is no thought is delivered. Blocked prompts, blocked pictures and refusals in words all come as HTTP 200.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from providers.base import Certainty, ImageRequest, ImageResult, InputFile, InputImage, Kind, ProviderError
from providers.google.safety import ACCOUNT, BLOCKED, details, reason_of
from providers.held import Held
from providers.json_body import Inline, json_body, weight_of
from providers.scrub import Scrubber
from providers.splicing import Path, Splicer, Unreadable
from providers.unsendable import unsendable
from providers.upload import Upload

MOST = 256 << 20
"""Bytes of pictures in one answer; the largest that were seen are a tenth of it."""

_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]{1,64})?[^,]{0,128};base64,", re.IGNORECASE)


async def call_body(
    request: ImageRequest, safety: Mapping[str, str], output: Mapping[str, object] | None = None
) -> Upload:
    """What is posted. ``safety`` is category → threshold, in Google's words without their prefix; ``output``
    is what goes into ``imageConfig`` besides ratio and size. Raises :class:`ProviderError` (not_sent)."""
    params = request.params
    image = {"aspectRatio": params.get("aspect_ratio"), "imageSize": params.get("resolution")}
    thinking = {"thinkingLevel": params.get("thinking_level")}
    config = {
        # Asked for pictures alone, a model that refuses in words could not say so.
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": _given({**image, **(output or {})}),
        "thinkingConfig": _given(thinking),
        "seed": params.get("seed"),
    }
    parts = [{"text": request.prompt}, *({"inlineData": _inline(picture)} for picture in request.images)]
    document: dict[str, object] = {
        "contents": [{"role": "user", "parts": parts}],
        "generationConfig": _given(config),
    }
    if safety:
        document["safetySettings"] = [
            {"category": f"HARM_CATEGORY_{category}", "threshold": threshold}
            for category, threshold in safety.items()
        ]
    return await json_body(document, weight=weight_of(request.images))


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None and value != {}}


def _inline(picture: InputImage) -> dict[str, object]:
    if isinstance(picture, InputFile):
        return {"mimeType": picture.content_type, "data": Inline(picture)}
    match = _DATA_URL.match(picture.image_url)
    if match is None:
        raise unsendable("Gemini models take pictures as files or base64 data URLs, not as links.")
    return {"mimeType": (match[1] or "image/png").lower(), "data": picture.image_url[match.end() :]}


class Answer:
    """One 200 of ``generateContent``, read to its end and then spoken as an ``ImagesResponse``."""

    def __init__(self, provider: str, scrub: Scrubber, prompt: str) -> None:
        self._provider = provider
        self._scrub = scrub
        self._prompt = prompt
        self._held = Held()
        self._spans: list[tuple[int, int]] = []

    async def spoken(self, body: AsyncIterator[bytes], result: ImageResult) -> AsyncIterator[bytes]:
        """``result`` learns the answer's id. Raises :class:`ProviderError`."""
        splicer = Splicer(_is_picture)
        try:
            await self._read(body, splicer)
            document = splicer.finish()
        except Unreadable as error:
            raise self._bad(f"cannot be read: {error}") from None
        if isinstance(number := document.get("responseId"), str):
            result.upstream_request_id = number[:128]
        found = _last_picture(document, splicer.pictures)
        if found is None:
            raise self._without_picture(document)
        index, media_type = found
        yield b'{"created":%d,"data":[{"b64_json":"' % int(time.time())
        try:
            async for piece in self._held.read(*self._spans[index]):
                yield piece
        except OSError:
            raise self._bad("was lost on the gateway's own disk") from None
        rest: dict[str, object] = {}
        if media_type.startswith("image/"):
            rest["output_format"] = media_type.removeprefix("image/")
        if (usage := usage_of(document)) is not None:
            rest["usage"] = usage
        yield b'"}]' + (b"," + msgspec.json.encode(rest)[1:] if rest else b"}")

    async def _read(self, body: AsyncIterator[bytes], splicer: Splicer) -> None:
        begun = 0
        async for chunk in body:
            for piece in splicer.feed(chunk):
                if piece.first:
                    begun = self._held.size
                await self._held.write(piece.data)
                if piece.last:
                    self._spans.append((begun, self._held.size))
            if self._held.size > MOST:
                raise self._bad(f"holds more than {MOST} bytes of pictures")

    def _without_picture(self, document: Mapping[str, object]) -> ProviderError:
        feedback = _object(document.get("promptFeedback"))
        if reason := reason_of(feedback.get("blockReason")):
            said = _word(feedback.get("blockReasonMessage"))
            return self._blocked("input", feedback, reason, said, document)
        candidate = _first(document.get("candidates"))
        reason = reason_of(candidate.get("finishReason"))
        said = _word(candidate.get("finishMessage")) or _spoken_text(candidate)
        if reason in BLOCKED:
            return self._blocked("output", candidate, reason, said, document)
        if reason in ACCOUNT:
            text = f"Provider '{self._provider}' refused the gateway's account ({reason})."
            return ProviderError(Kind.AUTH, Certainty.REJECTED, text, status=200, code=reason)
        if reason in ("STOP", "") and said:
            # The model says in words why it draws nothing.
            return self._blocked("output", candidate, "refused_in_words", said, document)
        return ProviderError(
            Kind.EMPTY,
            Certainty.ANSWERED,
            f"Provider '{self._provider}' made no picture ({reason or 'no reason given'}).",
            status=200,
            code=reason or None,
            reported_usage=usage_of(document),
        )

    def _blocked(
        self, stage: str, source: Mapping[str, object], reason: str, said: str, document: Mapping[str, object]
    ) -> ProviderError:
        words = self._scrub(said, self._prompt)
        return ProviderError(
            Kind.MODERATION,
            Certainty.ANSWERED,
            f"Provider '{self._provider}' refused the content ({reason}). {words}".strip(),
            status=200,
            code=reason,
            details=details(stage, source, reason, said),
            reported_usage=usage_of(document),
        )

    def _bad(self, what: str) -> ProviderError:
        text = f"The answer of provider '{self._provider}' {what}."
        return ProviderError(Kind.BAD_PAYLOAD, Certainty.ANSWERED, text, status=200)


def usage_of(document: Mapping[str, object]) -> dict[str, object] | None:
    """OpenAI's ``usage`` for ``usageMetadata``; None where it does not say what came out. Thoughts count as
    text, which is how they are billed; what is made without a split is pictures, the dearer reading."""
    meta = _object(document.get("usageMetadata"))
    prompt, total = _count(meta, "promptTokenCount"), _count(meta, "totalTokenCount")
    if prompt is None:
        return None
    into = prompt + (_count(meta, "toolUsePromptTokenCount") or 0)
    made, thoughts = _count(meta, "candidatesTokenCount"), _count(meta, "thoughtsTokenCount") or 0
    if made is None:
        if total is None:
            return None
        made = max(total - into - thoughts, 0)
    pictures = _modality(meta, "candidatesTokensDetails")
    image = made if pictures is None else min(pictures, made)
    usage: dict[str, object] = {
        "input_tokens": into,
        "output_tokens": made + thoughts,
        "output_tokens_details": {"image_tokens": image, "text_tokens": made + thoughts - image},
        "total_tokens": into + made + thoughts,
    }
    seen = _modality(meta, "promptTokensDetails")
    if seen is not None:
        seen = min(seen, into)
        usage["input_tokens_details"] = {"image_tokens": seen, "text_tokens": into - seen}
    return usage


def _modality(meta: Mapping[str, object], name: str) -> int | None:
    """The picture tokens of a list of details; None where there is no list."""
    listed = meta.get(name)
    if not isinstance(listed, list) or not listed:
        return None
    entries = [_object(entry) for entry in listed]
    return sum(_count(entry, "tokenCount") or 0 for entry in entries if entry.get("modality") == "IMAGE")


def _is_picture(path: Path) -> bool:
    """``candidates[i].content.parts[j].inlineData.data``."""
    return len(path) == 7 and path[0] == "candidates" and path[5:] == ("inlineData", "data")


def _last_picture(document: Mapping[str, object], places: Sequence[Path]) -> tuple[int, str] | None:
    """The place in ``places`` of the picture to deliver, and its media type."""
    for index in reversed(range(len(places))):
        path = places[index]
        part = _object(_at(document, path[:5]))
        candidate = _object(_at(document, path[:2]))
        if part.get("thought") is not True and candidate.get("finishReason") not in BLOCKED:
            return index, _word(_object(part.get("inlineData")).get("mimeType")).lower()
    return None


def _at(value: object, path: Path) -> object:
    """What stands at a place; None where a key came twice and the document has only the last of them."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _spoken_text(candidate: Mapping[str, object]) -> str:
    parts = _object(candidate.get("content")).get("parts")
    entries = [_object(part) for part in parts] if isinstance(parts, list) else []
    return " ".join(_word(part.get("text")) for part in entries if part.get("thought") is not True).strip()


def _first(value: object) -> Mapping[str, object]:
    return _object(value[0]) if isinstance(value, list) and value else {}


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(meta: Mapping[str, object], name: str) -> int | None:
    value = meta.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
