"""``GET /v1/images/requests`` and ``/{id}``: what became of this key's calls, and their answers while these
are kept.

Pages are OpenAI's: ``limit`` (1 to 100), ``after`` (an id), ``order`` (desc or asc). Filters narrow them:
``client_request_id``, ``idempotency_key``, ``status``, ``model``, ``since`` (ISO 8601, or seconds of 1970).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs

import msgspec
from litestar.types import HTTPScope, Receive, Send

from gateway.api.auth import Authenticator
from gateway.api.base_url import BaseUrls
from gateway.api.client_address import ClientAddresses
from gateway.api.errors import not_allowed
from gateway.api.replies import json_headers, reply
from gateway.api.request_ids import mark_of
from gateway.caller import Caller
from gateway.engine.request_records import RETRY_SECONDS, RecordTelling
from gateway.errors import InvalidRequest, NotFound
from gateway.images.wording import quoted, shown
from gateway.ledger.request_records import Filter, Status

MOST = 100
_WORDS = ("after", "limit", "order", "client_request_id", "idempotency_key", "status", "model", "since")


class Requests:
    """Mounted: serves the list and what lies below it."""

    def __init__(
        self,
        telling: RecordTelling,
        authenticator: Authenticator,
        addresses: ClientAddresses,
        base_urls: BaseUrls,
    ) -> None:
        self._telling = telling
        self._authenticator = authenticator
        self._addresses = addresses
        self._base_urls = base_urls

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], mark_of(scope).path, "GET, HEAD")
        headers = dict(scope["headers"])
        caller = await self._authenticator.authenticate(headers, self._addresses.of(scope, headers))
        base_url, request_id = self._base_urls.of(scope, headers), scope["path"].strip("/")
        if request_id:
            document = await self._one(request_id, caller, base_url)
        else:
            document = await self._list(_filter(scope["query_string"]), caller, base_url)
        body = msgspec.json.encode(document)
        told = [*json_headers(len(body)), (b"cache-control", b"no-store")]
        if document.get("status") == Status.RUNNING:
            told.append((b"retry-after", b"%d" % RETRY_SECONDS))
        await reply(send, 200, told, b"" if scope["method"] == "HEAD" else body)

    async def _one(self, request_id: str, caller: Caller, base_url: str) -> Mapping[str, object]:
        record = await self._telling.records.get(request_id, caller.key_id)
        if record is None:
            raise _unknown(request_id)
        return self._telling.document(record, base_url)

    async def _list(self, wanted: Filter, caller: Caller, base_url: str) -> Mapping[str, object]:
        page = await self._telling.records.list(caller.key_id, wanted)
        if page is None:
            raise _wrong("after", f"there is no request '{shown(wanted.after or '')}' of this key")
        found, more = page
        data = [self._telling.document(record, base_url) for record in found]
        return {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": more,
        }


def _filter(query: bytes) -> Filter:
    """Raises :class:`InvalidRequest` for a word that is not known: a filter that is not applied would show
    more than was asked for."""
    given: dict[str, str] = {}
    try:
        found = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=16, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise _wrong(None, "the query string is not well-formed") from None
    for word, values in found.items():
        if word not in _WORDS:
            raise _wrong(word[:100], f"unknown query parameter '{shown(word)}'; there are {quoted(_WORDS)}")
        if len(values) != 1:
            raise _wrong(word, "give it once")
        given[word] = values[0]
    return Filter(
        after=given.get("after"),
        limit=_limit(given.get("limit", "20")),
        ascending=_one_of("order", given.get("order", "desc"), ("asc", "desc")) == "asc",
        client_request_id=given.get("client_request_id"),
        idempotency_key=given.get("idempotency_key"),
        status=Status(_one_of("status", given["status"], tuple(Status))) if "status" in given else None,
        model=given.get("model"),
        since=_moment(given["since"]) if "since" in given else None,
    )


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MOST):
        raise _wrong("limit", f"a whole number from 1 to {MOST}")
    return int(text)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise _wrong(name, f"'{shown(value)}' is none of {quoted(known)}")
    return value


def _moment(text: str) -> datetime:
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        raise _wrong("since", "a moment such as 2026-11-20T08:00:00Z, or seconds since 1970") from None


def _unknown(request_id: str) -> NotFound:
    return NotFound(
        f"There is no request '{shown(request_id)}' of this key. A request has a record once it was "
        "admitted; what was refused before has none.",
        code="request_not_found",
    )


def _wrong(param: str | None, what: str) -> InvalidRequest:
    name = "" if param is None else f" '{param}'"
    return InvalidRequest(f"Invalid query{name}: {what}.", param=param, code="invalid_value")
