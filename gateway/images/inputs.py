"""The input pictures of an edit: files of a form, https URLs, data URLs or base64; all mean the same.

Judged here is what every model would refuse: an empty file, a URL that is none, base64 that is broken, a
header that claims more pixels than are worth decoding. Formats, sizes in bytes and how many there may be are
a target's own (capabilities.py). A data URL's base64 is checked in slices; for a large body the caller runs
this in a worker thread.
"""

from __future__ import annotations

import binascii
import re

from gateway.errors import InvalidRequest
from gateway.images.look import MAX_PIXELS, is_bomb, look, of_base64
from gateway.images.raw import RawFile
from gateway.images.sniff import Picture
from gateway.images.wording import missing, string_too_long, unknown_parameter, wrong_type
from providers.base import InputFile, InputRef

URL_LENGTH = 20_971_520
"""Characters of one ``image_url``, a data URL included."""

_SLICE = 1 << 18  # base64 characters at a time: a multiple of 4, short enough not to hold the interpreter
_HTTPS = re.compile(r"https://[^/\s\x00-\x20]+[^\s\x00-\x20]*", re.IGNORECASE)
_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*?);base64,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24}")
_KEYS = ("image_url", "file_id")


def param_of(label: str) -> str:
    """The ``param`` of refusals of a picture that messages call ``label``. OpenAI leaves the place in a form
    out: ``image`` for ``image[1]``."""
    return label if label.startswith("images[") or label.endswith(".image_url") else label.partition("[")[0]


def check_file(raw: RawFile, label: str) -> InputFile:
    """One file of a form; ``label`` is what messages call it (``image[1]``). Raises ``InvalidRequest``."""
    if raw.file.size == 0:
        raise InvalidRequest(
            f"Invalid file '{label}': the file is empty.", param=param_of(label), code="empty_file"
        )
    check_pixels(raw.picture, label)
    return raw.file


def check_ref(value: object, param: str) -> InputRef:
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
    _check_length(url, where)
    return _of_url(url, where)


def check_text(text: str, label: str) -> InputRef:
    """A picture as a plain string: an https URL, a data URL, or base64 and nothing else."""
    _check_length(text, label)
    if not _BASE64.match(text):
        return _of_url(text, label)
    picture = _checked_base64(text, 0, label)
    if picture.format is None:
        raise InvalidRequest(
            f"Invalid '{label}': its base64 holds no picture in a known format.",
            param=param_of(label),
            code="unsupported_image",
        )
    check_pixels(picture, label)
    return InputRef(f"data:{media_type_of(picture.format)};base64,{text}")


def media_type_of(format: str) -> str:
    """``image/png`` for ``png``."""
    return "image/svg+xml" if format == "svg" else f"image/{format}"


def _check_length(text: str, where: str) -> None:
    if len(text) > URL_LENGTH:
        raise string_too_long(param_of(where), URL_LENGTH, len(text))


def _of_url(url: str, where: str) -> InputRef:
    data = _DATA_URL.match(url)
    if data is not None:
        check_pixels(_checked_base64(url, data.end(), where), where)
    elif not _HTTPS.fullmatch(url):
        raise InvalidRequest(
            f"Invalid '{where}'. Expected an https URL or a base64-encoded data URL with an image MIME type "
            "(e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU=').",
            param=param_of(where),
            code="invalid_value",
        )
    return InputRef(url)


def _checked_base64(url: str, start: int, where: str) -> Picture:
    """What the payload holds; raises when it is empty or not base64 to its end."""
    length = len(url) - start
    try:
        if length == 0 or length % 4:
            raise binascii.Error("length")
        for at in range(start, len(url), _SLICE):
            piece = binascii.a2b_base64(url[at : at + _SLICE], strict_mode=True)
            if at + _SLICE < len(url) and len(piece) != _SLICE // 4 * 3:
                raise binascii.Error("padding inside")
    except ValueError:
        raise InvalidRequest(
            f"Invalid '{where}': the picture's payload is not valid base64 (standard alphabet, padded, no "
            "line breaks).",
            param=param_of(where),
            code="invalid_base64",
        ) from None
    return look(*of_base64(url, start))


def check_pixels(picture: Picture, label: str) -> None:
    """Raises ``InvalidRequest`` for a picture that claims more pixels, all frames together, than are worth
    decoding."""
    if is_bomb(picture):
        claims = f"{picture.size} pixels" + (f" in {picture.frames} frames" if picture.frames > 1 else "")
        raise InvalidRequest(
            f"Invalid file '{label}': it claims {claims}; at most {MAX_PIXELS} in all are taken.",
            param=param_of(label),
            code="image_too_large",
            noted={"picture": picture.size, "picture_type": picture.format, "frames": picture.frames},
        )
