"""Requests for the tests of this room, as they come over the wire and as calls."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from config.catalog import CatalogModel, load_catalog
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall, InputSize
from gateway.images.fitted import Fitted, Unfit
from gateway.images.fitting import fit
from gateway.images.raw import Encoding, RawFile, RawRequest
from gateway.images.sniff import sniff
from gateway.images.validation import Reading, validate
from providers.base import InputFile, InputImage, Operation

PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x06\x00\x00\x00"
FREE = load_catalog().describe("openai-compatible", "anything")
STRICT = Reading(strict=True)


def entry_of(name: str) -> CatalogModel:
    entry = load_catalog().get(name)
    assert entry is not None
    return entry


def png(width: int, height: int) -> bytes:
    """The head of a PNG that claims this size."""
    return PNG_HEAD[:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + PNG_HEAD[24:]


def picture(part: str = "image", data: bytes = PNG_HEAD, size: int | None = None, after: int = 0) -> RawFile:
    length = len(data) if size is None else size
    file = InputFile("a.png", "image/png", length, lambda: io.BytesIO(data))
    return RawFile(part, file, sniff(data), after)


def generate(
    fields: Mapping[str, object],
    entry: CatalogModel | None = None,
    defaults: Mapping[str, object] | None = None,
    reading: Reading | None = None,
) -> ImageCall:
    """A JSON generation, read."""
    raw = RawRequest(Operation.GENERATE, Encoding.JSON, {"model": "m", "prompt": "x", **fields})
    entries = (entry or entry_of("gpt-image-2"),)
    return validate(raw, name="m", entries=entries, defaults=defaults or {}, reading=reading or Reading())


def edit(
    fields: Mapping[str, object],
    entry: CatalogModel | None = None,
    files: Sequence[RawFile] | None = None,
    reading: Reading | None = None,
) -> ImageCall:
    """An edit, read: of a form where there are ``files``, else of JSON."""
    encoding = Encoding.JSON if files is None else Encoding.MULTIPART
    raw = RawRequest(Operation.EDIT, encoding, {"model": "m", "prompt": "x", **fields}, files or [])
    entries = (entry or entry_of("gpt-image-2"),)
    return validate(raw, name="m", entries=entries, defaults={}, reading=reading or Reading())


def refusal(*arguments: Any, call: Any = generate, **more: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        call(*arguments, **more)
    return caught.value


def asked(
    strict: bool = False,
    images: Sequence[InputImage] = (),
    inputs: Sequence[InputSize] = (),
    mask: InputImage | None = None,
    markup: InputImage | None = None,
    **params: object,
) -> ImageCall:
    """A call in the caller's words; an edit where there are ``images``."""
    operation = Operation.EDIT if images else Operation.GENERATE
    is_form = any(isinstance(image, InputFile) for image in images)
    labels = [f"image[{place}]" if is_form else f"images[{place}].image_url" for place in range(len(images))]
    labels += [name for name, one in (("mask", mask), ("markup", markup)) if one is not None]
    return ImageCall(
        operation, "m", "x", params, tuple(images), mask, markup, tuple(inputs), labels, strict=strict
    )


def fitted(call: ImageCall, entry: CatalogModel | str = "gpt-image-2") -> Fitted:
    outcome = fit(call, entry_of(entry) if isinstance(entry, str) else entry)
    assert isinstance(outcome, Fitted), outcome
    return outcome


def unfit(call: ImageCall, entry: CatalogModel | str = "gpt-image-2") -> Unfit:
    outcome = fit(call, entry_of(entry) if isinstance(entry, str) else entry)
    assert isinstance(outcome, Unfit), outcome
    return outcome


def sent(call: ImageCall, entry: CatalogModel | str = "gpt-image-2") -> dict[str, object]:
    """The fields that a target gets."""
    return dict(fitted(call, entry).call.params)


def changes(call: ImageCall, entry: CatalogModel | str = "gpt-image-2") -> list[tuple[object, ...]]:
    """``(field, from, to, how)`` of every adjustment."""
    return [(one.field, one.was, one.now, one.how.value) for one in fitted(call, entry).adjustments]
