"""``GET`` and ``HEAD /media/{id}?expires=…&signature=…``: a picture, for whoever holds a good link to it.

The link is the only permission: no key is asked for, and one that is sent is not looked at. What is served
cannot run: its type is one of a few, never guessed by a browser, and a page that it would be is sandboxed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qs

import structlog
from litestar.types import HTTPScope, Receive, Send

from gateway.api.abort import ABORT
from gateway.api.base_url import BaseUrls
from gateway.api.delivery import AnswerCut, Departure, deliver
from gateway.api.errors import not_allowed
from gateway.api.replies import encoded, reply
from gateway.api.request_ids import mark_of
from gateway.engine.answer import Answer
from gateway.errors import Forbidden, NotFound, Unavailable
from gateway.images.inputs import media_type_of
from gateway.media.links import DOCUMENTS, LinkExpired, LinkInvalid, disposition_of, format_of
from gateway.media.shelf import MediaFailed, MediaGone, Opened
from gateway.media.store import MediaStore

_log = structlog.get_logger("imagegate.media")

_FIXED = (
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("Accept-Ranges", "none"),
    # Robots would keep what was given to one person.
    ("X-Robots-Tag", "noindex"),
)


class Media:
    """``stall`` is how long a client may take nothing of its answer, in seconds."""

    def __init__(self, store: MediaStore, stall: float, base_urls: BaseUrls) -> None:
        self._store = store
        self._stall = stall
        self._base_urls = base_urls

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], mark_of(scope).path, "GET, HEAD")
        id = scope["path"].strip("/")
        headers = self._headers(id, parse_qs(scope["query_string"].decode("latin-1")))
        opened = await self._open(id, self._base_urls.of(scope, dict(scope["headers"])))
        try:
            if scope["method"] == "HEAD":
                length = (b"content-length", b"%d" % opened.size)
                kind = (b"content-type", _type_of(id).encode())
                await reply(send, 200, [*encoded(headers), kind, length], b"")
            else:
                await self._give(id, opened, headers, scope, receive, send)
        finally:
            await opened.aclose()

    def _headers(self, id: str, query: dict[str, list[str]]) -> list[tuple[str, str]]:
        """Those of a good link. Raises for any other, before anything is looked for."""
        try:
            expires, signature = ((query.get(name) or [""])[-1] for name in ("expires", "signature"))
            left = self._store.check(id, expires, signature, now=datetime.now(UTC))
        except LinkInvalid:
            raise Forbidden(
                "This link is not as it was given: its signature does not match. Copy it whole.",
                code="media_link_invalid",
            ) from None
        except LinkExpired:
            raise Forbidden(
                "This link has expired. Links to pictures work for a limited time; fetch them soon after the "
                "answer that holds them.",
                code="media_link_expired",
            ) from None
        return [
            *_FIXED,
            ("Content-Disposition", disposition_of(id)),
            ("Cache-Control", f"private, max-age={int(left.total_seconds())}, immutable"),
        ]

    async def _open(self, id: str, base_url: str) -> Opened:
        try:
            return await self._store.open_renewed(id, base_url)
        except MediaGone:
            raise NotFound(
                "This picture is gone: it was removed, or kept for as long as this gateway keeps pictures.",
                code="media_gone",
            ) from None
        except MediaFailed:
            raise Unavailable(
                "This gateway cannot reach its store of pictures for now. Please try again later.",
                code="media_unavailable",
            ) from None

    async def _give(
        self,
        id: str,
        opened: Opened,
        headers: list[tuple[str, str]],
        scope: HTTPScope,
        receive: Receive,
        send: Send,
    ) -> None:
        async def delivered(complete: bool) -> None:
            """Nothing is kept of it."""

        answer = Answer(int(HTTPStatus.OK), headers, _type_of(id), opened.chunks, opened.size, delivered)
        departure = Departure(receive)
        try:
            await deliver(answer, departure, send, self._stall, scope["state"].get(ABORT, _no_abort))
        except AnswerCut:
            # The head is out: the connection, closed without the rest, is what tells the client.
            _log.error("media_cut", media_id=id)
        finally:
            departure.stop()


def _type_of(id: str) -> str:
    format = format_of(id) or ""
    return DOCUMENTS.get(format) or media_type_of(format)


def _no_abort() -> None:
    """Servers other than ours offer no way to break a connection off."""
