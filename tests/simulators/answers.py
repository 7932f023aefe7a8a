"""The bytes of a good answer: OpenAI's ``ImagesResponse`` and its stream of image events.

Nothing here is joined into one string: an answer of 30 MB is a list of pieces of which the large ones are
shared between all answers of that size.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from tests.simulators.behaviours import Behaviour
from tests.simulators.pictures import Picture, picture
from tests.simulators.tokens import usage
from tests.simulators.validation import Job

_serial = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Body:
    """``pieces`` in order are the body, or one event of it."""

    pieces: Sequence[bytes]

    @property
    def length(self) -> int:
        return sum(map(len, self.pieces))


def job_usage(job: Job, count: int, partials: int = 0) -> dict[str, object]:
    return usage(
        job.model,
        prompt=job.prompt,
        edit=job.edit,
        quality=job.quality,
        size=job.size,
        n=count,
        inputs=job.inputs,
        fidelity=job.fidelity,
        partials=partials,
    )


def sent_partials(job: Job, behaviour: Behaviour) -> int:
    """Partial images of one picture."""
    return job.partials if behaviour.partials is None else behaviour.partials


def response(job: Job, behaviour: Behaviour, created: int) -> Body:
    """The whole JSON answer, keys in OpenAI's order (``usage`` before ``data`` where asked)."""
    count = job.n if behaviour.count is None else behaviour.count
    billed = job_usage(job, count)
    if behaviour.payload == "nothing":
        return Body([b""])
    empty = behaviour.payload in ("empty", "no_data")
    fields: dict[str, object] = {"created": created, "background": job.background}
    if behaviour.usage == "before":
        fields["usage"] = billed
    if behaviour.payload != "no_data":
        fields["data"] = [] if empty else [{"b64_json": _MARK}] * count
    fields |= {"output_format": job.output_format, "quality": job.quality, "size": job.resolved_size}
    if job.safety_identifier:
        fields["safety_identifier"] = job.safety_identifier
    if behaviour.usage == "after":
        fields["usage"] = billed
    if job.output_format == "svg":
        fields["svg_usage"] = _svg_usage(job)
    text = _json(fields, behaviour.compact)
    if behaviour.payload == "broken_json":
        text = text[:-2]
    outside = text.split(_MARK)
    made = len(outside) - 1
    room = 0 if behaviour.size is None else behaviour.size - sum(map(len, outside))
    pieces: list[bytes] = []
    for index, part in enumerate(outside):
        pieces.append(part.encode())
        if index < made:
            pieces += _base64(job, behaviour, max(0, room // made) // 4 * 3)
    return Body(pieces)


def events(job: Job, behaviour: Behaviour, created: int) -> list[Body]:
    """The stream's events, each with the blank line that ends it. Several pictures come one after another,
    each with its own ``completed``: OpenAI documents nothing for that case."""
    operation = "image_edit" if job.edit else "image_generation"
    partials = sent_partials(job, behaviour)
    common = {
        "created_at": created,
        "size": job.asked_size if job.asked_size == "auto" else job.resolved_size,
        "quality": job.asked_quality,
        "background": job.asked_background,
        "output_format": job.output_format,
    }
    framed: list[Body] = []
    size = (behaviour.size or 0) * 3 // 4
    for _ in range(job.n):
        for index in range(partials):
            kind = f"{operation}.partial_image"
            fields = {"type": kind, "b64_json": _MARK, **common, "partial_image_index": index}
            framed.append(_event(kind, fields, _base64(job, behaviour, size // 4)))
        billed = job_usage(job, 1, partials)
        kind = f"{operation}.completed"
        fields = {"type": kind, "b64_json": _MARK, **common}
        if job.safety_identifier:
            fields["safety_identifier"] = job.safety_identifier
        if behaviour.usage != "none":
            fields["usage"] = {key: value for key, value in billed.items() if key != "output_tokens_details"}
        framed.append(_event(kind, fields, _base64(job, behaviour, size)))
    return framed


ERROR_EVENT = (
    b'event: error\ndata: {"type":"error","error":{"type":"image_generation_server_error",'
    b'"code":"image_generation_failed","message":"The image could not be generated.","param":null}}\n\n'
)

# Stands for a picture while the JSON around it is written; no other value can hold it.
_MARK = uuid4().hex


def _json(fields: dict[str, object], compact: bool) -> str:
    if compact:
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return json.dumps(fields, indent=2, ensure_ascii=False)


def _event(kind: str, fields: dict[str, object], pictured: list[bytes]) -> Body:
    before, after = _json(fields, compact=True).split(_MARK)
    pieces = [f"event: {kind}\ndata: {before}".encode(), *pictured, f"{after}\n\n".encode()]
    return Body(pieces)


def _base64(job: Job, behaviour: Behaviour, size: int) -> list[bytes]:
    if behaviour.payload == "not_a_picture":
        return [base64.b64encode(b"This is not a picture. " * max(20, size // 23))]
    made = _draw(job, size)
    if behaviour.payload == "bad_base64":
        middle = len(made.rest_b64) // 2
        return [made.opening_b64, made.rest_b64[:middle], b"*?", made.rest_b64[middle + 2 :]]
    if behaviour.payload == "truncated_base64":
        return [made.opening_b64, made.rest_b64[: len(made.rest_b64) // 2 // 4 * 4 - 1]]
    return [made.opening_b64, made.rest_b64]


def _draw(job: Job, size: int) -> Picture:
    transparent = job.background == "transparent"
    return picture(job.output_format, *job.size, size=size, serial=next(_serial), transparent=transparent)


def _svg_usage(job: Job) -> dict[str, object]:
    asked = job.svg.get("model")
    return {
        "model": asked if isinstance(asked, str) else "gpt-5.4",
        "input_tokens": 120,
        "output_tokens": 900,
        "reasoning_tokens": 300,
        "total_tokens": 1020,
    }
