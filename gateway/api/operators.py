"""Who may read what is the operators' own: those with ``server.metrics_token``, and on a gateway that only
this machine reaches, everybody."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from config.server import ServerSettings

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def is_private(server: ServerSettings) -> bool:
    """Whether only this machine reaches the gateway: it listens on loopback, and not for a proxy."""
    return server.host in _LOOPBACK and not server.trusted_proxies and server.public_url is None


class Operators:
    """``token`` None: there is none. ``private`` as of :func:`is_private`."""

    def __init__(self, token: str | None, *, private: bool) -> None:
        self._token = token
        self._private = private

    def include(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether who sends these headers is one. A token that was set is asked for on loopback, too."""
        if self._token is None:
            return self._private
        scheme, _, given = dict(headers).get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token.encode())
