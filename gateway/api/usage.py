"""``GET /v1/usage``: where all limits stand that the asking key is under, those of its project and of the
organization included.

Nothing is told of other keys. ``?end_user=NAME`` (or the project's end-user header) adds the limits of that
end user of this key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import parse_qs

import msgspec
from litestar.types import HTTPScope, Receive, Send

from gateway.api.attribution import LONGEST_END_USER, end_user_in
from gateway.api.auth import Authenticator
from gateway.api.client_address import ClientAddresses
from gateway.api.errors import not_allowed
from gateway.api.replies import json_headers, reply
from gateway.api.request_ids import mark_of
from gateway.caller import Caller
from gateway.engine.alerts import percent
from gateway.engine.refusals import amount_of, described, moment
from gateway.errors import InvalidRequest
from gateway.quota.of_settings import DeclaredLimit, LimitBook, alerts_of, away_of
from gateway.quota.outcomes import Standing
from gateway.quota.terms import Level, Limit

_encoder = msgspec.json.Encoder()


class Standings(Protocol):
    """What this needs of the quota store. Raises :class:`gateway.quota.errors.QuotaUnavailable`."""

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]: ...


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Usage:
    """Serves the route."""

    def __init__(
        self,
        book: LimitBook,
        quota: Standings,
        authenticator: Authenticator,
        addresses: ClientAddresses,
        *,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._book = book
        self._quota = quota
        self._authenticator = authenticator
        self._addresses = addresses
        self._now = now

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], mark_of(scope).path, "GET, HEAD")
        headers = dict(scope["headers"])
        caller = await self._authenticator.authenticate(headers, self._addresses.of(scope, headers))
        end_user = _asked_for(scope["query_string"]) or end_user_in(caller, headers)
        body = _encoder.encode(await self._document(caller, end_user))
        await reply(send, 200, [*json_headers(len(body)), (b"cache-control", b"no-store")], body)

    async def _document(self, caller: Caller, end_user: str | None) -> Mapping[str, object]:
        now = self._now()
        every = self._book.limits_for(
            caller.project_id, caller.key_id, model=None, end_user=end_user, now=now
        )
        limits = [
            limit
            for limit in every
            if (end_user is not None or limit.scope.level is not Level.END_USER)
            and (caller.models is None or any(self._book.counts(limit, model) for model in caller.models))
        ]
        return {
            "object": "usage",
            "as_of": moment(now),
            "project": {"id": caller.project_id, "name": caller.project_name},
            "key": {"id": caller.key_id, "name": caller.key_name},
            "end_user": end_user,
            "limits": [_told(standing) for standing in await self._quota.standing(limits)],
        }


def _told(standing: Standing) -> Mapping[str, object]:
    limit = standing.limit
    raised = limit.raised_until if isinstance(limit, DeclaredLimit) else None
    return {
        **described(standing),
        "alerts": [
            {
                "at": percent(share),
                "amount": amount_of(limit, int(share * limit.amount)),
                "reached": standing.used >= share * limit.amount,
            }
            for share in alerts_of(limit)
        ],
        "when_away": away_of(limit).value,
        "raised_until": None if raised is None else moment(raised),
    }


def _asked_for(query: bytes) -> str | None:
    """The query's ``end_user``. Any other word there is a mistake, and is told."""
    try:
        fields = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=8, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise _wrong("the query string is not well-formed") from None
    others = sorted(set(fields) - {"end_user"})
    if others:
        raise _wrong(f"unknown query parameter '{others[0][:100]}'; there is end_user", others[0][:100])
    names = fields.get("end_user", [])
    if len(names) > 1 or any(len(name) > LONGEST_END_USER for name in names):
        raise _wrong(f"'end_user' is one name of at most {LONGEST_END_USER} characters", "end_user")
    return names[0] if names and names[0] else None


def _wrong(what: str, param: str | None = None) -> InvalidRequest:
    return InvalidRequest(f"Invalid query: {what}.", param=param, code="invalid_value")
