"""Request bodies in OpenAI's dialect: JSON for generations, multipart for edits, JSON for edits by URL.

Wire facts: one file goes as ``image``, several as repeated ``image[]``; nested values take brackets
(``svg[reasoning][effort]``); a None is left out (openai-images.md §2, §3). Pictures stay where they lie until
the transport asks for them (upload.py).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from providers.base import ImageRequest, InputFile, InputImage, InputRef, Operation
from providers.upload import Base64Of, Segment, Upload

_INLINE = 256 * 1024
"""Bytes of JSON that may be encoded on the event loop; data URLs are often larger."""


async def body_of(request: ImageRequest, params: Mapping[str, object]) -> Upload:
    """``params`` are the fields to send beside prompt and pictures (``model`` among them where it belongs
    into the body). Files go as multipart, unless a picture is given by URL: then everything is JSON."""
    if request.operation is Operation.GENERATE:
        return Upload("application/json", [await _encode({**params, "prompt": request.prompt})])
    if any(isinstance(picture, InputRef) for picture in _pictures(request)):
        return Upload("application/json", await _json_edit(request, params))
    return _multipart_edit(request, params)


def _pictures(request: ImageRequest) -> Iterator[InputImage]:
    yield from request.images
    yield from (picture for picture in (request.mask, request.markup) if picture is not None)


async def _encode(value: object, size: int = 0) -> bytes:
    return (
        await asyncio.to_thread(msgspec.json.encode, value) if size > _INLINE else msgspec.json.encode(value)
    )


async def _json_edit(request: ImageRequest, params: Mapping[str, object]) -> list[Segment]:
    """Files become data URLs, encoded piece by piece in a thread while they are sent."""
    fields = {name: value for name, value in params.items() if value is not None}
    row = _Row((await _encode({**fields, "prompt": request.prompt}))[:-1])
    row.add(b',"images":[')
    for index, picture in enumerate(request.images):
        row.add(b"," if index else b"")
        await _add_json_picture(row, picture)
    row.add(b"]")
    for name, single in ((b"mask", request.mask), (b"markup", request.markup)):
        if single is not None:
            row.add(b',"%s":' % name)
            await _add_json_picture(row, single)
    row.add(b"}")
    return row.segments()


async def _add_json_picture(row: _Row, picture: InputImage) -> None:
    if isinstance(picture, InputRef):
        row.add(await _encode({"image_url": picture.image_url}, len(picture.image_url)))
        return
    row.add(b'{"image_url":' + msgspec.json.encode(f"data:{picture.content_type};base64,")[:-1])
    row.add_file(Base64Of(picture))
    row.add(b'"}')


def _multipart_edit(request: ImageRequest, params: Mapping[str, object]) -> Upload:
    boundary = f"imagegate-{secrets.token_hex(16)}"
    row = _Row()
    for name, value in _form_fields({**params, "prompt": request.prompt}):
        row.add(f"{_part(boundary, name)}\r\n\r\n{value}\r\n".encode())
    image = "image" if len(request.images) == 1 else "image[]"
    files: list[tuple[str, InputImage | None]] = [(image, picture) for picture in request.images]
    for name, picture in [*files, ("mask", request.mask), ("markup", request.markup)]:
        if isinstance(picture, InputFile):
            head = f'{_part(boundary, name)}; filename="{_quoted(picture.filename)}"'
            row.add(f"{head}\r\nContent-Type: {picture.content_type}\r\n\r\n".encode())
            row.add_file(picture)
            row.add(b"\r\n")
    row.add(f"--{boundary}--\r\n".encode())
    return Upload(f"multipart/form-data; boundary={boundary}", row.segments())


def _part(boundary: str, name: str) -> str:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'


def _quoted(name: str) -> str:
    """HTML's rule for names in a multipart header: nothing in one can end the quotes or the line."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _form_fields(fields: Mapping[str, object], inside: str | None = None) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        yield from _form_value(name if inside is None else f"{inside}[{name}]", value)


def _form_value(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        yield from _form_fields(value, name)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _form_value(f"{name}[]", item)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif value is not None:
        yield name, str(value)


class _Row:
    """Segments in the making; bytes that follow each other are joined."""

    def __init__(self, first: bytes = b"") -> None:
        self._done: list[Segment] = []
        self._open = bytearray(first)

    def add(self, data: bytes) -> None:
        self._open += data

    def add_file(self, file: InputFile | Base64Of) -> None:
        self._done += (bytes(self._open), file)
        self._open.clear()

    def segments(self) -> list[Segment]:
        return [*self._done, bytes(self._open)]
