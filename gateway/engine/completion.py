"""What a project's webhook is told when a call that was answered later is complete. The picture and all else
is in the call's record (``GET /v1/images/requests/{id}``), for which the receiver needs its key."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.engine.job import Job
from gateway.engine.refusals import moment
from gateway.images.amounts import dollars
from gateway.ledger.outbox import Message


def completed(job: Job, status: int, error_code: str | None, *, now: datetime) -> Message:
    """The message, due at once. Its id is made of the request's, the same at every try."""
    request_id, ok = job.facts.request_id, status < 400
    body = {
        "type": "image.request.succeeded" if ok else "image.request.failed",
        "timestamp": moment(now),
        "data": {
            "id": request_id,
            "object": "image.request",
            "project_id": job.caller.project_id,
            "key_id": job.caller.key_id,
            "client_request_id": job.facts.client_request_id,
            "idempotency_key": job.facts.idempotency_key,
            "operation": job.call.operation.value,
            "model": job.model.name,
            "http_status": status,
            "error_code": error_code,
            "images": job.images if ok else 0,
            "cost_usd": None if job.cost is None else dollars(job.cost),
        },
    }
    return Message(
        message_id=f"msg_{request_id.removeprefix('req_')}",
        project_id=job.caller.project_id,
        request_id=request_id,
        body=msgspec.json.encode(body).decode(),
        created_at=now,
        next_try_at=now,
    )
