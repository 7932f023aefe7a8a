"""Names of kept pictures that nobody can guess, and links to them that expire and that nobody can forge.

An id is 16 hex digits that belong to the request it was made for (an HMAC of the request's id, so that all
pictures of one request can be found and removed), 160 random bits, and the format. A link is the id with its
expiry and an HMAC over both; the key comes from the server's secret, so that all replicas read all links.
Links may lead to a bucket instead (bucket.py); their paths end with the id, too.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlencode, urlsplit

FORMATS = ("png", "jpeg", "webp", "gif", "avif", "svg")
DOCUMENTS = {"json": "application/json", "sse": "text/event-stream; charset=utf-8"}
"""Whole answers, as they were given, and their types."""

PATH = "/media/"

_REQUEST = 16
"""Digits of an id that belong to its request."""

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


def id_in(url: str) -> str | None:
    """The id that a link to a picture names, whoever gives the picture out and however old the link is; an id
    alone counts, too. None for any other URL. Says nothing of whether the link was ever ours."""
    try:
        id = urlsplit(url).path.rpartition("/")[2]
    except ValueError:
        return None
    return id if format_of(id) is not None else None


def of_one_request(id: str, other: str) -> bool:
    """Whether two ids were made for the same request. Nobody else can make an id of which that holds."""
    return hmac.compare_digest(id[:_REQUEST].encode(), other[:_REQUEST].encode())


def disposition_of(id: str) -> str:
    """``Content-Disposition`` of what is kept: pictures are shown, what could run is a file to save."""
    format = format_of(id)
    shown = "attachment" if format in ("svg", *DOCUMENTS) else "inline"
    return f'{shown}; filename="{id[:_REQUEST]}.{format}"'


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
        return hmac.digest(self._requests, request_id.encode(), sha256)[: _REQUEST // 2].hex()

    def url(self, id: str, base_url: str, *, now: datetime) -> str:
        """A link that works from ``now`` on for the configured time. ``base_url`` has no slash at its end."""
        expires = int((now + self._lifetime).timestamp())
        query = urlencode({"expires": expires, "signature": self._sign(id, str(expires))})
        return f"{base_url}{PATH}{id}?{query}"

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
