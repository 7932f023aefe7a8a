"""A request as its key may read it: how it was served, what each attempt became and cost, and a link to its
answer for as long as that is kept. Prompts and pictures' names are not in the ledger, so not here either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
from sqlalchemy import RowMapping

from gateway.engine.abandoned import KILLED
from gateway.engine.answer import Answer
from gateway.engine.following import Followed
from gateway.engine.refusals import moment
from gateway.engine.results import ResultStore
from gateway.errors import NotFound
from gateway.images.amounts import NanoDollars, dollars
from gateway.ledger.request_records import RequestRecord, RequestRecords, Status

PATH = "/v1/images/requests"
RETRY_SECONDS = 5
_BROKEN_OFF = (
    "The gateway was stopped before this call had ended. Whether its picture was made, and paid for, is not "
    "known; it may still be found out."
)

Document = dict[str, object]


class RecordTelling:
    """One per process."""

    def __init__(self, records: RequestRecords, results: ResultStore) -> None:
        self.records = records
        self._results = results

    def document(self, record: RequestRecord, base_url: str) -> Document:
        row, status = record.request, record.status
        ended = row["ended_at"]
        kept = record.result
        return {
            "id": row["request_id"],
            "object": "image.request",
            "created_at": int(row["received_at"].timestamp()),
            "status": status.value,
            "http_status": row["status"],
            "error": self._error(record),
            "operation": row["operation"],
            "model": row["model"],
            "n": row["n"],
            "quality": row["quality"],
            "output_format": row["output_format"],
            "client_request_id": row["client_request_id"],
            "idempotency_key": kept["idempotency_key"] if kept else None,
            "end_user": row["end_user"],
            "tags": _json(row["tags"]) or {},
            "images": row["images"],
            "size": {
                "requested": row["size_requested"] or row["size"],
                "sent": row["size_sent"],
                "received": row["size_received"],
                "rule": row["size_rule"],
            },
            "adjustments": _json(row["adjustments"]) or [],
            "attempts": [_attempt(each) for each in record.attempts],
            "cost_usd": _cost(record),
            "client_gone": bool(row["client_gone"]),
            "timings": {
                "received_at": moment(row["received_at"]),
                "ended_at": None if ended is None else moment(ended),
                "total_ms": None if ended is None else _ms(row["received_at"], ended),
                "overhead_ms": row["overhead_ms"],
            },
            "result": self._result(kept, base_url),
        }

    async def accepted(self, request_id: str, call: Followed) -> Answer:
        """202 with the record, for a call that is answered later."""
        record = await self.records.get(request_id, call.caller.key_id)
        if record is None:
            raise NotFound(
                f"There is no record of request {request_id} yet. Look again in a moment.",
                code="request_not_found",
                retryable=True,
            )
        body = msgspec.json.encode(self.document(record, call.facts.base_url))
        headers = [
            ("location", f"{PATH}/{request_id}"),
            ("retry-after", str(RETRY_SECONDS)),
            ("preference-applied", "respond-async"),
        ]

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        async def delivered(complete: bool) -> None:
            """The call runs on."""

        return Answer(202, headers, "application/json", chunks(), len(body), delivered)

    def _result(self, kept: RowMapping | None, base_url: str) -> Document | None:
        if kept is None or kept["media_id"] is None:
            return None
        return {
            "url": self._results.link(kept["media_id"], base_url),
            "content_type": kept["content_type"],
            "bytes": kept["size"],
            "expires_at": moment(kept["expires_at"]),
        }

    def _error(self, record: RequestRecord) -> Document | None:
        if record.status is Status.UNKNOWN:
            return {"code": "result_unknown", "message": "The gateway that made this call ended under it."}
        if record.status is not Status.FAILED:
            return None
        kept = _json(record.result["error"]) if record.result else None
        message = kept.get("message") if isinstance(kept, dict) else None
        code = record.request["error_code"]
        return {"code": code, "message": _BROKEN_OFF if code == KILLED else message}


def _attempt(row: RowMapping) -> Document:
    return {
        "provider": row["provider"],
        "model": row["upstream_model"],
        "state": row["state"],
        "dispatched_at": moment(row["dispatched_at"]),
        "ended_at": None if row["ended_at"] is None else moment(row["ended_at"]),
        "ms": None if row["ended_at"] is None else _ms(row["dispatched_at"], row["ended_at"]),
        "http_status": row["http_status"],
        "kind": row["kind"],
        "certainty": row["certainty"],
        "error_code": row["error_code"],
        "size": row["size"],
        "quality": row["quality"],
        "images": row["images"],
        "input_tokens": row["input_tokens"],
        "output_tokens": row["output_tokens"],
        "cost_usd": None if row["cost"] is None else dollars(NanoDollars(row["cost"])),
    }


def _cost(record: RequestRecord) -> str | None:
    """The attempts' sum, as it stands now: what came late is in it. None while any of it is not known."""
    costs = [0 if each["state"] == "released" else each["cost"] for each in record.attempts]
    return None if None in costs else dollars(NanoDollars(sum(costs)))


def _ms(since: datetime, until: datetime) -> int:
    return round((until - since).total_seconds() * 1000)


def _json(text: str | None) -> object:
    return None if text is None else msgspec.json.decode(text)
