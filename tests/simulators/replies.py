"""The upstream's answers, with the headers that OpenAI's and Azure's have."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from email.utils import formatdate
from functools import lru_cache

from tests.simulators.answers import ERROR_EVENT, events, job_usage, response, sent_partials
from tests.simulators.behaviours import Behaviour
from tests.simulators.calls import Call
from tests.simulators.delivery import Step, break_off, pour
from tests.simulators.http1 import Connection, chunk, head
from tests.simulators.models import MODELS
from tests.simulators.refusals import Refusal, refusal
from tests.simulators.validation import Job

SMALL = 64 * 2**10
JSON = ("Content-Type", "application/json")
_SECURITY = [
    ("X-Content-Type-Options", "nosniff"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
]


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def own_headers(call: Call, *, good: bool) -> list[tuple[str, str]]:
    """What the provider itself adds to an answer; ``good`` ones name the organisation."""
    date = ("Date", _date(int(time.time())))
    if call.path.startswith("/openai/"):
        number = str(uuid.UUID(call.request_id[4:]))
        return [
            date,
            ("apim-request-id", number),
            ("x-request-id", number),
            ("x-ms-region", "Sweden Central"),
            ("x-ratelimit-remaining-requests", "4"),
            *_SECURITY,
        ]
    account = [("openai-organization", "org-sim"), ("openai-project", "proj_sim")] if good else []
    spent = asyncio.get_running_loop().time() - call.received_at
    return [
        date,
        *account,
        ("openai-processing-ms", str(int(spent * 1000))),
        ("openai-version", "2020-10-01"),
        ("x-request-id", call.request_id),
        ("Access-Control-Expose-Headers", "X-Request-ID, CF-Ray"),
        *_SECURITY,
        ("cf-cache-status", "DYNAMIC"),
        ("Set-Cookie", "__cf_bm=fake; path=/; HttpOnly; Secure; SameSite=None"),
        ("Server", "cloudflare"),
        ("CF-RAY", f"{call.request_id[4:20]}-VIE"),
    ]


async def refuse(call: Call, connection: Connection, answer: Refusal) -> None:
    """An error answer, whole."""
    call.status = answer.status
    headers = own_headers(call, good=False) if answer.own else []
    if answer.content_type:
        headers = [("Content-Type", answer.content_type), *headers]
    body = answer.body.replace(b"req_" + b"0" * 32, call.request_id.encode())
    await connection.respond(answer.status, [*headers, *answer.headers], body)
    call.sent = len(body)


async def list_models(call: Call, connection: Connection, name: str | None) -> None:
    """``GET /v1/models``, or one of them by name."""
    if name is not None and name not in MODELS:
        message = f"The model '{name}' does not exist"
        missing = refusal(404, message, param="model", code="model_not_found")
        await refuse(call, connection, missing)
        return
    listed = [
        {
            "id": model.id,
            "object": "model",
            "created": model.created,
            "owned_by": "system",
            "shutdown_date": model.shutdown,
        }
        for model in ([MODELS[name]] if name else MODELS.values())
    ]
    document = listed[0] if name else {"object": "list", "data": listed}
    call.status = 200
    body = json.dumps(document, indent=2).encode()
    await connection.respond(200, [JSON, *own_headers(call, good=True)], body)


async def respond(call: Call, connection: Connection, job: Job, behaviour: Behaviour) -> None:
    """The pictures as one JSON document, delivered as the behaviour says."""
    body = response(job, behaviour, int(time.time()))
    call.status = 200
    headers = [JSON, *own_headers(call, good=True), *behaviour.headers]
    chunked = behaviour.framing == "chunked"
    if chunked:
        headers.append(("Transfer-Encoding", "chunked"))
    elif behaviour.framing == "length":
        headers.append(("Content-Length", str(body.length + behaviour.lie)))
    else:
        headers.append(("Connection", "close"))
    if behaviour.lie or behaviour.framing == "close":
        connection.keep_alive = False
    opening = head(200, headers)
    if body.length < SMALL and behaviour.end == "whole" and not behaviour.drip:
        text = b"".join(body.pieces)
        await connection.write(opening + (chunk(text) + chunk(b"") if chunked and text else text))
        call.sent = len(text)
        call.answered = True
        return
    await connection.write(opening)
    steps: list[Step] = [(0.0, piece) for piece in body.pieces]
    call.answered = await _pour(call, connection, steps, behaviour, chunked, [body.length])


async def stream(call: Call, connection: Connection, job: Job, behaviour: Behaviour) -> None:
    """The pictures as events, delivered as the behaviour says."""
    framed = [list(event.pieces) for event in events(job, behaviour, int(time.time()))]
    call.usage = job_usage(job, job.n, sent_partials(job, behaviour) * job.n)
    call.status = 200
    if behaviour.stream_error or behaviour.end == "silent":
        framed = framed[: behaviour.events] + [[ERROR_EVENT]] * behaviour.stream_error
    await connection.write(
        head(
            200,
            [
                ("Content-Type", "text/event-stream"),
                *own_headers(call, good=True),
                *behaviour.headers,
                ("Transfer-Encoding", "chunked"),
            ],
        )
    )
    steps: list[Step] = []
    for event in framed:
        steps.append((behaviour.event_delay, event[0]))
        steps += [(0.0, piece) for piece in event[1:]]
    lengths = [sum(map(len, event)) for event in framed]
    call.answered = await _pour(call, connection, steps, behaviour, True, lengths)


async def _pour(
    call: Call,
    connection: Connection,
    steps: Sequence[Step],
    behaviour: Behaviour,
    chunked: bool,
    lengths: Sequence[int],
) -> bool:
    """Write a body of parts of those ``lengths``, up to where the behaviour breaks it off."""
    stop: int | None = None
    if behaviour.end not in ("whole", "silent"):
        if isinstance(behaviour.at, int):
            stop = behaviour.at
        elif behaviour.events is not None:
            stop = sum(lengths[: behaviour.events])
            if behaviour.within:
                stop += lengths[behaviour.events] // 2
        else:  # right after the headers
            stop = 0
    if stop == 0:
        await break_off(connection, behaviour)
        return False
    return await pour(call, connection, steps, behaviour, chunked=chunked, stop=stop)
