"""Names of kept pictures that nobody can guess, and links to them that expire and that nobody can forge.

An id is 16 hex digits that belong to the request it was made for (an HMAC of the request's id, so that all
pictures of one request can be found and removed), 160 random bits, and the format. A link is the id with its
expiry and an HMAC over both; the key comes from the server's secret, so that all replicas read all links.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import parse_qs, urlencode, urlsplit

FORMATS = ("png", "jpeg", "webp", "gif", "avif", "svg")
DOCUMENTS = {"json": "application/json", "sse": "text/event-stream; charset=utf-8"}
"""Whole answers, as they were given, and their types."""

PATH = "/media/"

_ID = re.compile(rf"[0-9a-f]{{16}}[a-z2-7]{{32}}\.({'|'.join((*FORMATS, *DOCUMENTS))})")
_EXPIRES = re.compile(r"[1-9][0-9]{0,11}")


class LinkInvalid(Exception):
    """The signature does not belong to this id and expiry, or is missing."""


class LinkExpired(Exception):
    """A good link, too late."""


def format_of(id: str) -> str | None:
    """``png`` of an id that ends in ``.png``; None for what is no id of ours."""
    found = _ID.fullmatch(id)
    return found[1] if found else None


class MediaLinks:
    """``secret`` is the server's, ``lifetime`` how long a link works."""

    def __init__(self, secret: bytes, lifetime: timedelta) -> None:
        self._links = hmac.digest(secret, b"imagegate media link v1", sha256)
        self._requests = hmac.digest(secret, b"imagegate media request v1", sha256)
        self._lifetime = lifetime

    def new_id(self, format: str, request_id: str) -> str:
        """Raises ValueError for a format that is not served."""
        if format not in FORMATS and format not in DOCUMENTS:
            raise ValueError(f"media are {', '.join((*FORMATS, *DOCUMENTS))}, not {format}")
        random = base64.b32encode(secrets.token_bytes(20)).decode().lower()
        return f"{self.of_request(request_id)}{random}.{format}"

    def of_request(self, request_id: str) -> str:
        """What the ids of a request's pictures begin with."""
        return hmac.digest(self._requests, request_id.encode(), sha256)[:8].hex()

    def url(self, id: str, base_url: str, *, now: datetime) -> str:
        """A link that works from ``now`` on for the configured time. ``base_url`` has no slash at its end."""
        expires = int((now + self._lifetime).timestamp())
        query = urlencode({"expires": expires, "signature": self._sign(id, str(expires))})
        return f"{base_url}{PATH}{id}?{query}"

    def id_in(self, url: str) -> str | None:
        """The id in a link of ours, however old it is; None for any other URL."""
        parts = urlsplit(url)
        id = parts.path.rpartition(PATH)[2]
        query = parse_qs(parts.query)
        expires, signature = ((query.get(name) or [""])[-1] for name in ("expires", "signature"))
        known = hmac.compare_digest(self._sign(id, expires).encode(), signature.encode())
        return id if known and format_of(id) is not None else None

    def check(self, id: str, expires: str, signature: str, *, now: datetime) -> timedelta:
        """How long the link still works. Raises :class:`LinkInvalid` or :class:`LinkExpired`."""
        expected = self._sign(id, expires)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
            raise LinkInvalid
        if _EXPIRES.fullmatch(expires) is None:
            raise LinkInvalid
        left = timedelta(seconds=int(expires) - now.timestamp())
        if left <= timedelta(0):
            raise LinkExpired
        return left

    def _sign(self, id: str, expires: str) -> str:
        message = f"{id}\n{expires}".encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._links, message, sha256)
        return base64.urlsafe_b64encode(digest[:18]).decode()
