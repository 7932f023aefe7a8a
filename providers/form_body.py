"""A multipart body with files, which stay where they lie until the transport asks for them (upload.py)."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from providers.base import InputFile
from providers.upload import Segment, Upload


def form_body(fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, InputFile]] = ()) -> Upload:
    """``fields`` first, then ``files``, each under its name. Raises UnicodeEncodeError for text that has no
    UTF-8."""
    boundary = f"imagegate-{secrets.token_hex(16)}"
    segments: list[Segment] = []
    text = ""
    for name, value in fields:
        text += f"{_part(boundary, name)}\r\n\r\n{value}\r\n"
    for name, file in files:
        head = f'{_part(boundary, name)}; filename="{_quoted(file.filename)}"'
        segments += (f"{text}{head}\r\nContent-Type: {file.content_type}\r\n\r\n".encode(), file)
        text = "\r\n"
    segments.append(f"{text}--{boundary}--\r\n".encode())
    return Upload(f"multipart/form-data; boundary={boundary}", segments)


def _part(boundary: str, name: str) -> str:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'


def _quoted(name: str) -> str:
    """HTML's rule for names in a multipart header: nothing in one can end the quotes or the line."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
