"""multipart/form-data as official SDKs and browsers write it, read from the ASGI stream part by part.

The wire work is the ``multipart`` library's push parser; the limits are ours, so that each refusal can say
which one was reached. A part is a file when it has a file name, or a content type that is not text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from config.server import UploadSettings
from gateway.api.body import Body
from gateway.api.form_names import put, split_name
from gateway.errors import GatewayError, InvalidRequest, PayloadTooLarge
from gateway.images.inputs import URL_LENGTH, media_type_of
from gateway.images.pictures import PICTURES
from gateway.images.raw import RawFile
from gateway.images.wording import shown
from gateway.media.uploads import Upload, Uploads, look_at
from providers.base import InputFile

_HEADER_BYTES = 8192
_HEADER_LINES = 16
_LONGEST_NAME = 256
_OCTETS = "application/octet-stream"
_EXTENDED_NAME = re.compile(r";\s*filename\*\s*=", re.IGNORECASE)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


@dataclass(slots=True)
class Form:
    """What a form held; texts nested as their names say, files in order."""

    fields: dict[str, object] = field(default_factory=dict)
    files: list[RawFile] = field(default_factory=list)


def boundary_of(content_type: str) -> str:
    """The boundary parameter, quoted or not. Raises ``InvalidRequest``."""
    _, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= 200 or not boundary.isascii():
        raise _malformed("its Content-Type has no boundary of 1 to 200 ASCII characters")
    return str(boundary)


async def read_form(
    body: Body,
    boundary: str,
    limits: UploadSettings,
    uploads: Uploads,
    hold: Callable[[int], None] = lambda size: None,
) -> Form:
    """The whole form. Files go to ``uploads``, which the caller closes; ``hold`` is told of the bytes of
    pictures that are written as text, and refuses where there is no room. Raises ``GatewayError``."""
    reading = _Reading(limits, uploads, hold)
    parser = PushMultipartParser(boundary, max_header_size=_HEADER_BYTES, max_header_count=_HEADER_LINES)
    try:
        while not body.complete:
            chunk = await body.read()
            if not chunk:
                continue
            for event in parser.parse(chunk):
                if event is None:
                    await reading.end()
                elif isinstance(event, MultipartSegment):
                    reading.begin(event)
                elif reading.take(event):
                    await reading.flush()
        parser.close()
    except ParserLimitReached:
        raise PayloadTooLarge(
            f"A part of the form has more than {_HEADER_LINES} headers, or one of more than {_HEADER_BYTES} "
            "bytes.",
            code="part_headers_too_large",
        ) from None
    except MultipartError as error:
        raise _malformed(str(error.args[0]) if error.args else "it cannot be read") from None
    return reading.form


class _Reading:
    """The part that is being read, and the form so far."""

    def __init__(self, limits: UploadSettings, uploads: Uploads, hold: Callable[[int], None]) -> None:
        self.form = Form()
        self._limits = limits
        self._uploads = uploads
        self._hold = hold
        self._most = limits.max_field
        self._is_picture = False
        self._parts = 0
        self._segment: MultipartSegment | None = None
        self._upload: Upload | None = None
        self._text = bytearray()

    def begin(self, segment: MultipartSegment) -> None:
        self._parts += 1
        if self._parts > self._limits.max_parts:
            raise PayloadTooLarge(
                f"The form has more than the {self._limits.max_parts} parts that this gateway takes.",
                code="too_many_parts",
            )
        if not segment.name:
            raise _malformed("a part has no name")
        if len(segment.name) > _LONGEST_NAME:
            raise _malformed(f"a part's name is longer than {_LONGEST_NAME} characters")
        self._segment = segment
        self._upload = self._uploads.begin() if _is_file(segment) else None
        self._text = bytearray()
        self._is_picture = self._upload is None and split_name(segment.name)[0] in PICTURES
        self._most = max(URL_LENGTH, self._limits.max_field) if self._is_picture else self._limits.max_field

    def take(self, chunk: bytes) -> bool:
        """Add bytes to the part; True when :meth:`flush` is due."""
        if self._upload is not None:
            if self._upload.size + len(chunk) > self._limits.max_file:
                raise self._too_large("file", self._limits.max_file)
            return self._upload.take(chunk)
        if len(self._text) + len(chunk) > self._most:
            raise self._too_large("text field", self._most)
        if self._is_picture:
            self._hold(len(chunk))
        self._text += chunk
        return False

    async def flush(self) -> None:
        if self._upload is not None:
            await self._upload.flush()

    async def end(self) -> None:
        assert self._segment is not None
        if self._upload is None:
            put(self.form.fields, str(self._segment.name), _decoded(self._segment, bytes(self._text)))
            return
        upload = self._upload
        await upload.finish()
        picture = await look_at(upload)
        part, _ = split_name(str(self._segment.name))
        content_type = media_type_of(picture.format) if picture.format else _declared_type(self._segment)
        name = _clean_name(self._segment.filename, part, picture.format)
        file = InputFile(name, content_type, upload.size, upload.open)
        self.form.files.append(RawFile(part, file, picture, _count(self.form.fields.get(part))))

    def _too_large(self, what: str, limit: int) -> GatewayError:
        name = shown(self._segment.name if self._segment else "")
        hint = "" if self._upload is not None else " A file needs a file name in its Content-Disposition."
        return PayloadTooLarge(
            f"The {what} '{name}' is larger than the {limit} bytes that this gateway takes.{hint}",
            param=name,
            code="file_too_large" if self._upload is not None else "field_too_large",
        )


def _is_file(segment: MultipartSegment) -> bool:
    if segment.filename is not None or _EXTENDED_NAME.search(segment.header("Content-Disposition", "")):
        return True
    kind = segment.content_type
    return kind is not None and not kind.startswith("text/") and kind != "application/json"


def _decoded(segment: MultipartSegment, text: bytes) -> str:
    charset = (segment.charset or "utf-8").lower()
    if charset not in _UTF8:
        raise _malformed(f"the text of '{shown(segment.name)}' is not declared as UTF-8", segment.name)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed(f"the text of '{shown(segment.name)}' is not valid UTF-8", segment.name) from None


def _declared_type(segment: MultipartSegment) -> str:
    kind = segment.content_type or _OCTETS
    return kind if _MEDIA_TYPE.fullmatch(kind) else _OCTETS


def _clean_name(name: str | None, part: str, format: str | None) -> str:
    """A file name that is safe to send on, with the extension of what the file is: upstreams judge by it."""
    stem = (name or part).replace("\\", "/").rpartition("/")[2]
    suffix = f".{format}" if format else ""
    if suffix:
        known = (suffix, ".jpg") if format == "jpeg" else (suffix,)
        lowered = stem.lower()
        suffix = "" if lowered.endswith(known) else suffix
    stem = _UNSAFE.sub("_", stem).strip("._") or "upload"
    return f"{stem[:100] if suffix else stem[-100:]}{suffix}"


def _malformed(reason: str, param: str | None = None) -> InvalidRequest:
    return InvalidRequest(
        f"We could not parse the multipart form of your request: {reason}.",
        param=shown(param) if param else None,
        code="invalid_multipart",
    )


def _count(value: object) -> int:
    """How many texts a field holds so far."""
    if isinstance(value, list | dict):
        return len(value)
    return 0 if value is None else 1
