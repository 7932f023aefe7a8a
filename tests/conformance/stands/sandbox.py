"""The sandbox: it has no wire, so what its provider is handed is what an upstream would have seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from providers.base import ImageRequest, ImageResult, InputFile
from providers.sandbox import Sandbox
from tests.conformance.saw import Saw, decoded, masked, pixels, size_of
from tests.conformance.stand import Bench, Stand, Trouble


class Handed:
    """Every request that a sandbox of this process was handed."""

    def __init__(self) -> None:
        self.calls: list[tuple[ImageRequest, list[bytes], bytes | None]] = []

    def note(self, request: ImageRequest) -> None:
        mask = None if request.mask is None else _bytes(request.mask)
        self.calls.append((request, [_bytes(each) for each in request.images], mask))


def _bytes(picture: Any) -> bytes:
    if not isinstance(picture, InputFile):
        return decoded(picture.image_url)
    with picture.open() as file:
        return file.read()


@asynccontextmanager
async def _watched() -> AsyncIterator[Handed]:
    handed = Handed()
    send = Sandbox.send

    async def noted(self: Sandbox, request: ImageRequest, *rest: Any, **more: Any) -> ImageResult:
        handed.note(request)
        return await send(self, request, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sandbox, "send", noted)
        yield handed


def saw(call: tuple[ImageRequest, list[bytes], bytes | None]) -> Saw:
    request, inputs, mask = call
    params: dict[str, Any] = dict(request.params)
    seen: dict[str, Any] = {} if mask is None else masked(mask, "transparent")
    return Saw(
        prompt=request.prompt,
        size=pixels(params.get("size")),
        n=request.n,
        quality=params.get("quality"),
        output_format=params.get("output_format"),
        output_compression=params.get("output_compression"),
        background=params.get("background"),
        seed=params.get("seed"),
        negative_prompt=params.get("negative_prompt"),
        user=params.get("user"),
        stream=request.stream,
        inputs=tuple(size_of(each) for each in inputs),
        **seen,
    )


_WORDS = {
    "wrong key": "401",
    "unknown model": "404",
    "rate limit": "429",
    "no credit": "quota",
    "overloaded": "503",
    "bad request": "400",
    "prompt refused": "moderation",
    "picture refused": "moderation-output",
    "server error": "500",
    "proxy's 502": "502",
    "reset": "reset",
    "cut answer": "cut",
    "no picture": "empty",
}

SANDBOX = Stand(
    type="sandbox",
    upstream=_watched,
    account=lambda upstream, key: "type: sandbox, latency: 0",
    key=lambda upstream: "none",
    benches=(Bench("sandbox"),),
    calls=lambda upstream: upstream.calls,
    saw=saw,
    troubles={name: Trouble(f"[sandbox: {word}]") for name, word in _WORDS.items()},
)
