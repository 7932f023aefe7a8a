"""What Open WebUI puts on the wire, as named forms.

It is no package to run in a test (it is a whole application), so its requests are rebuilt from its public
source, backend/open_webui/routers/images.py, with the same HTTP library (aiohttp). Seen in November 2026:

* ``n`` is always sent; ``size`` only where the administrator or the user set one;
* names that do not begin with ``gpt-image`` get ``response_format: b64_json``;
* forms are aiohttp's: text parts carry ``Content-Type: text/plain; charset=utf-8``, the one picture of a
  form is ``image``, those of a list are ``image[]``, file names are UUIDs with the type's extension;
* ``?api-version=`` is added where one is configured;
* the signed-in user may be forwarded in ``X-OpenWebUI-User-*`` headers.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

USER_HEADERS = {
    "X-OpenWebUI-User-Name": "Ada%20Lovelace",
    "X-OpenWebUI-User-Id": "8f6c2b1e-0000-4000-8000-000000000001",
    "X-OpenWebUI-User-Email": "ada@example.com",
    "X-OpenWebUI-User-Role": "user",
}


@dataclass(frozen=True, slots=True)
class WireForm:
    """``body(picture)`` gives a JSON object or a form; ``pictures`` come back."""

    path: str
    body: Callable[[bytes], dict[str, object] | aiohttp.FormData]
    pictures: int = 1
    headers: tuple[tuple[str, str], ...] = ()


def _form(fields: dict[str, str], part: str, pictures: list[bytes]) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value)
    for content in pictures:
        form.add_field(part, content, filename=f"{uuid.uuid4()}.png", content_type="image/png")
    return form


OPEN_WEBUI = {
    "generate with an OpenAI name": WireForm(
        "/images/generations",
        lambda _: {"model": "gpt-image-2", "prompt": "a kite", "n": 1, "size": "1024x1024"},
    ),
    "generate without a size, two pictures": WireForm(
        "/images/generations", lambda _: {"model": "gpt-image-2", "prompt": "a kite", "n": 2}, pictures=2
    ),
    "generate with another name": WireForm(
        "/images/generations",
        lambda _: {
            "model": "hero",
            "prompt": "a kite",
            "n": 1,
            "size": "1024x1024",
            "response_format": "b64_json",
        },
    ),
    "generate with configured parameters and a forwarded user": WireForm(
        "/images/generations",
        lambda _: {"model": "gpt-image-2", "prompt": "a kite", "n": 1, "size": "auto", "quality": "low"},
        headers=tuple(USER_HEADERS.items()),
    ),
    "edit one picture": WireForm(
        "/images/edits",
        lambda picture: _form({"model": "gpt-image-2", "prompt": "a kite"}, "image", [picture]),
    ),
    "edit a list of pictures": WireForm(
        "/images/edits",
        lambda picture: _form(
            {"model": "gpt-image-2", "prompt": "a kite", "n": "2", "size": "1024x1024"},
            "image[]",
            [picture] * 2,
        ),
        pictures=2,
    ),
    "edit with another name and an api-version": WireForm(
        "/images/edits?api-version=2025-04-01-preview",
        lambda picture: _form(
            {"model": "hero", "prompt": "a kite", "background": "opaque", "response_format": "b64_json"},
            "image",
            [picture],
        ),
    ),
}
