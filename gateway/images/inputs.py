"""The input pictures of an edit: files of a form, or URLs of a JSON body.

Types are judged by content, so that raw bytes that an SDK sends as ``application/octet-stream`` named
``upload`` are served. A data URL's base64 is checked in slices; for a large body the caller runs this in
a worker thread.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from http import HTTPStatus

from config.catalog import CatalogModel
from gateway.errors import InvalidRequest
from gateway.images.fields import is_lenient
from gateway.images.raw import RawFile
from gateway.images.sniff import Picture, sniff
from gateway.images.wording import (
    array_too_long,
    empty_array,
    missing,
    quoted,
    string_too_long,
    unknown_parameter,
    wrong_type,
)
from providers.base import InputFile, InputImage, InputRef

URL_LENGTH = 20_971_520
"""Characters of one ``image_url``, a data URL included."""

MAX_PIXELS = 64_000_000
"""What an input picture may claim to hold; a small file can claim far more than it is worth decoding."""

_SLICE = 1 << 18  # base64 characters at a time: a multiple of 4, short enough not to hold the interpreter
_HTTPS = re.compile(r"https://[^/\s\x00-\x20]+[^\s\x00-\x20]*", re.IGNORECASE)
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*?);base64,", re.IGNORECASE)
_HEAD = 65_536  # decoded bytes that show the size of a picture in all but odd JPEGs
_OCTETS = "application/octet-stream"
_KEYS = ("image_url", "file_id")


def check_files(files: Sequence[RawFile], entry: CatalogModel) -> list[InputFile]:
    """The picture files of a form, in order. Raises ``InvalidRequest``."""
    if not files:
        raise missing("image")
    if len(files) > entry.inputs.max_images:
        raise array_too_long("image", entry.inputs.max_images, len(files))
    formats = entry.inputs.formats
    if len(files) == 1:
        return [check_file(files[0], "image", formats, entry)]
    return [check_file(file, f"image[{place}]", formats, entry) for place, file in enumerate(files)]


def check_file(raw: RawFile, label: str, formats: Sequence[str], entry: CatalogModel) -> InputFile:
    """One file; ``label`` is what messages call it, ``formats`` what it may be."""
    param = label.partition("[")[0]
    if raw.file.size == 0:
        raise InvalidRequest(f"Invalid file '{label}': the file is empty.", param=param, code="empty_file")
    if raw.file.size > entry.inputs.max_bytes and not is_lenient(entry):
        raise InvalidRequest(
            f"Invalid file '{label}': {raw.file.size} bytes are more than the "
            f"{entry.inputs.max_bytes} that the model takes.",
            param=param,
            code="file_too_large",
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        )
    _check_picture(raw.picture, label, param, formats, entry)
    return raw.file


def check_refs(value: object, entry: CatalogModel) -> list[InputImage]:
    """The ``images`` of a JSON body."""
    if not isinstance(value, list):
        raise wrong_type("images", "an array of objects", value)
    if not value:
        raise empty_array("images")
    if len(value) > entry.inputs.max_images:
        raise array_too_long("images", entry.inputs.max_images, len(value))
    return [check_ref(item, f"images[{place}]", entry) for place, item in enumerate(value)]


def check_ref(value: object, param: str, entry: CatalogModel) -> InputRef:
    """One ``{image_url}`` object."""
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    for key in value:
        if key not in _KEYS:
            raise unknown_parameter(f"{param}.{key}", (f"{param}.{known}" for known in _KEYS))
    if value.get("file_id") is not None:
        raise InvalidRequest(
            f"'{param}.file_id' names an uploaded file, and this gateway has no Files API. Send the picture "
            f"as '{param}.image_url': an https URL or a base64 data URL.",
            param=f"{param}.file_id",
            code="unsupported_parameter",
        )
    if "image_url" not in value:
        raise missing(f"{param}.image_url")
    url = value["image_url"]
    where = f"{param}.image_url"
    if not isinstance(url, str):
        raise wrong_type(where, "a string", url)
    if len(url) > URL_LENGTH:
        raise string_too_long(where, URL_LENGTH, len(url))
    _check_url(url, where, entry)
    return InputRef(url)


def _check_url(url: str, where: str, entry: CatalogModel) -> None:
    data = _DATA_URL.match(url)
    if data is not None:
        head = _check_base64(url, data.end(), where)
        _check_picture(sniff(head), where, where, entry.inputs.formats, entry)
    elif not _HTTPS.fullmatch(url):
        raise InvalidRequest(
            f"Invalid '{where}'. Expected an https URL or a base64-encoded data URL with an image MIME type "
            "(e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU=').",
            param=where,
            code="invalid_value",
        )


def _check_base64(url: str, start: int, where: str) -> bytes:
    """The first decoded bytes; raises when the payload is empty or not base64 to its end."""
    length = len(url) - start
    head = b""
    try:
        if length == 0 or length % 4:
            raise binascii.Error("length")
        for at in range(start, len(url), _SLICE):
            piece = binascii.a2b_base64(url[at : at + _SLICE], strict_mode=True)
            if at + _SLICE < len(url) and len(piece) != _SLICE // 4 * 3:
                raise binascii.Error("padding inside")
            if at == start:
                head = piece[:_HEAD]
    except ValueError:
        raise InvalidRequest(
            f"Invalid '{where}': the data URL's payload is not valid base64 (standard alphabet, padded, no "
            "line breaks).",
            param=where,
            code="invalid_base64",
        ) from None
    return head


def media_type_of(format: str) -> str:
    """``image/png`` for ``png``."""
    return "image/svg+xml" if format == "svg" else f"image/{format}"


def _check_picture(
    picture: Picture, label: str, param: str, formats: Sequence[str], entry: CatalogModel
) -> None:
    if formats and not is_lenient(entry) and picture.format not in formats:
        found = media_type_of(picture.format) if picture.format else _OCTETS
        supported = sorted(media_type_of(name) for name in formats)
        raise InvalidRequest(
            f"Invalid file '{label}': unsupported mimetype ('{found}'). "
            f"Supported file formats are {quoted(supported)}.",
            param=param,
            code="unsupported_file_mimetype",
        )
    if picture.width and picture.height and picture.width * picture.height > MAX_PIXELS:
        raise InvalidRequest(
            f"Invalid file '{label}': it claims {picture.size} pixels; "
            f"at most {MAX_PIXELS} in all are taken.",
            param=param,
            code="image_too_large",
        )
