"""How clients reach the gateway, for links that it gives: ``server.public_url``, else as this request did."""

from __future__ import annotations

import re
from collections.abc import Mapping

from litestar.types import Scope

from config.server import ServerSettings
from gateway.api.client_address import ClientAddresses

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


class BaseUrls:
    def __init__(self, server: ServerSettings) -> None:
        self._public = None if server.public_url is None else server.public_url.rstrip("/")
        self._addresses = ClientAddresses(server.trusted_proxies)

    def of(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        """Without a slash at its end. A trusted proxy's X-Forwarded-Proto and -Host are believed; a host that
        is none gives way to the address that was listened on."""
        if self._public is not None:
            return self._public
        scheme, host = scope.get("scheme", "http"), headers.get(b"host", b"")
        if self._addresses.through_proxy(scope):
            scheme = _first(headers.get(b"x-forwarded-proto", b"")) or scheme
            host = headers.get(b"x-forwarded-host", b"") or host
        name = _first(host)
        if _HOST.fullmatch(name) is None:
            address, port = scope.get("server") or ("localhost", None)
            name = f"[{address}]" if ":" in address else address
            name += f":{port}" if port else ""
        return f"{'https' if scheme == 'https' else 'http'}://{name}"


def _first(value: bytes) -> str:
    """Of several proxies, the one nearest to the client."""
    return value.decode("latin-1").partition(",")[0].strip()
