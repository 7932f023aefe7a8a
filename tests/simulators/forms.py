"""Reading ``multipart/form-data`` the way OpenAI's front end does: strict on framing, lenient on style.

It is written apart from the parser the gateway uses, so that one mistake cannot hide in both.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote


class BrokenForm(Exception):
    """The body is no multipart form of the boundary that its header names."""


@dataclass(frozen=True)
class FilePart:
    """An uploaded file as it arrived: ``name`` is the field, e.g. ``image[]``."""

    name: str
    filename: str
    content_type: str | None
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Form:
    """Text parts in their order, and files in theirs."""

    texts: list[tuple[str, str]]
    files: list[FilePart]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.texts] + [part.name for part in self.files]


# A parameter's value may be quoted (with backslash escapes) or a bare token, as .NET writes it.
_PARAMETER = re.compile(r';\s*([A-Za-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))')


def parameters(value: str) -> dict[str, str]:
    """The parameters of a header value such as ``form-data; name="image[]"; filename=a.png``."""
    found = {}
    for match in _PARAMETER.finditer(";" + value.partition(";")[2]):
        quoted, bare = match[2], match[3]
        found[match[1].lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else bare
    return found


def parse_form(content_type: str, body: bytes) -> Form:
    boundary = parameters(content_type).get("boundary")
    if not boundary:
        raise BrokenForm("no boundary")
    delimiter = b"\r\n--" + boundary.encode()
    body = b"\r\n" + body  # the first delimiter has no line break of its own before it
    form = Form([], [])
    at = body.find(delimiter)
    while at >= 0:
        at += len(delimiter)
        if body[at : at + 2] == b"--":
            return form
        start = body.find(b"\r\n", at) + 2
        at = body.find(delimiter, start - 2)
        if start < 2 or at < 0:
            break
        _read_part(form, body, start, at)
    raise BrokenForm("no closing boundary")


def _read_part(form: Form, body: bytes, start: int, end: int) -> None:
    blank = body.find(b"\r\n\r\n", start - 2, end)
    if blank < 0:
        raise BrokenForm("a part without an end of its headers")
    headers = {}
    for line in body[start:blank].decode().split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    disposition = headers.get("content-disposition", "")
    words = parameters(disposition)
    if not disposition.lower().startswith("form-data") or "name" not in words:
        raise BrokenForm("a part without a name")
    data = body[blank + 4 : end]
    filename = words.get("filename")
    if filename is None and "filename*" in words:
        filename = unquote(words["filename*"].split("''", 1)[-1])
    if filename is None:
        try:
            form.texts.append((words["name"], data.decode()))
        except UnicodeDecodeError as problem:
            raise BrokenForm("a text part that is not UTF-8") from problem
    else:
        form.files.append(FilePart(words["name"], filename, headers.get("content-type"), data))
