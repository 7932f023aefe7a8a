"""Drawn pictures as OpenAI's JSON or events. Base64 is made in the worker thread that calls this."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import msgspec

from providers.base import Operation
from providers.sandbox.studio import Commission, Drawn

_CHUNK = 256 * 1024


def document(
    job: Commission, pictures: Sequence[Drawn], created: int, usage: dict[str, object] | None
) -> list[bytes]:
    """The body of a plain answer in chunks, keys in the order OpenAI sends them."""
    head = {"created": created, "background": "transparent" if job.transparent else "opaque"}
    tail: dict[str, object] = {
        "output_format": job.output_format,
        "quality": job.quality,
        "size": f"{job.size[0]}x{job.size[1]}",
    }
    if usage is not None:
        tail["usage"] = usage
    data = b",".join(b'{"b64_json":"%s"}' % b64encode(drawn.final) for drawn in pictures)
    body = msgspec.json.encode(head)[:-1] + b',"data":[' + data + b"]," + msgspec.json.encode(tail)[1:]
    return [body[start : start + _CHUNK] for start in range(0, len(body), _CHUNK)]


def events(
    operation: Operation, job: Commission, drawn: Drawn, created: int, usage: dict[str, object] | None
) -> list[bytes]:
    """One picture's events, each whole: its partial states, then ``completed``."""
    word = "image_edit" if operation is Operation.EDIT else "image_generation"
    common: dict[str, object] = {
        "created_at": created,
        "size": f"{job.size[0]}x{job.size[1]}",
        "quality": job.quality,
        "background": "transparent" if job.transparent else "opaque",
        "output_format": job.output_format,
    }
    said = [
        _event(f"{word}.partial_image", partial, {**common, "partial_image_index": index})
        for index, partial in enumerate(drawn.partials)
    ]
    return [*said, _event(f"{word}.completed", drawn.final, common | ({"usage": usage} if usage else {}))]


def _event(type: str, picture: bytes, fields: dict[str, object]) -> bytes:
    name = type.encode()
    rest = msgspec.json.encode(fields)[1:]
    return b'event: %s\ndata: {"type":"%s","b64_json":"%s",%s\n\n' % (name, name, b64encode(picture), rest)
