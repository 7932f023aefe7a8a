"""A JSON request body with files in it: everything is encoded at once but the pictures, which stay where they
lie until the transport asks for them (upload.py)."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterable, Mapping

import msgspec

from providers.base import InputFile, InputImage, InputRef, ProviderError
from providers.unsendable import unsendable
from providers.upload import Base64Of, Segment, Upload

_INLINE = 256 * 1024
"""Characters of data URLs that may be encoded on the event loop."""


class Inline:
    """A string of the document: a file as base64, after ``prefix``."""

    # No dataclass: the encoder would write its fields.
    __slots__ = ("file", "prefix")

    def __init__(self, file: InputFile, prefix: str = "") -> None:
        self.file = file
        self.prefix = prefix


def image_url(picture: InputImage) -> Inline | str:
    """The string for a picture where a URL is wanted: its own, else a data URL."""
    if isinstance(picture, InputRef):
        return picture.image_url
    return Inline(picture, f"data:{picture.content_type};base64,")


def bare_base64(picture: InputImage) -> Inline | str:
    """The string for a picture where nothing but base64 is taken. Raises :class:`ProviderError` (not_sent)
    for a link."""
    if isinstance(picture, InputFile):
        return Inline(picture)
    head, _, data = picture.image_url.partition(",")
    if not (head.lower().startswith("data:") and head.lower().endswith(";base64")):
        raise unsendable("This provider takes pictures as files or base64 data URLs, not as links.")
    return data


def weight_of(pictures: Iterable[InputImage]) -> int:
    """Of data URLs and links, for :func:`json_body`."""
    return sum(len(picture.image_url) for picture in pictures if isinstance(picture, InputRef))


async def json_body(document: Mapping[str, object], *, weight: int = 0) -> Upload:
    """``document`` may hold :class:`Inline` wherever a string may stand. ``weight`` is how many characters of
    data URLs it holds; a heavy one is encoded in a thread. Raises :class:`ProviderError` for text that has no
    UTF-8."""
    files: list[InputFile] = []
    # Nobody can have written it into a prompt.
    mark = secrets.token_hex(16)

    def placed(value: object) -> str:
        if not isinstance(value, Inline):
            raise TypeError(f"{type(value).__name__} is no JSON")
        files.append(value.file)
        return f"{value.prefix}{mark}"

    encode = msgspec.json.Encoder(enc_hook=placed).encode
    try:
        body = await asyncio.to_thread(encode, document) if weight > _INLINE else encode(document)
    except UnicodeEncodeError as error:
        raise no_unicode() from error
    if not files:
        return Upload("application/json", [body])
    first, *texts = re.split(mark.encode(), body)
    segments: list[Segment] = [first]
    for file, text in zip(files, texts, strict=True):
        segments += (Base64Of(file), text)
    return Upload("application/json", segments)


def no_unicode() -> ProviderError:
    """JSON can spell lone surrogates, and those have no UTF-8."""
    return unsendable("The request holds text that is not valid Unicode.", code="invalid_unicode")
