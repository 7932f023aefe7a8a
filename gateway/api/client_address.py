"""The address that a request came from, seen through the proxies that the operator trusts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from litestar.types import Scope

_LOCAL = "local"  # a unix socket has no address
_LONGEST = 64
"""Characters; no address is longer."""


class ClientAddresses:
    """``trusted`` are addresses or networks (``10.0.0.0/8``) whose X-Forwarded-For is believed."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted: list[IPv4Network | IPv6Network] = [ip_network(text, strict=False) for text in trusted]

    def of(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str:
        """The nearest address that is not one of our proxies; an IPv6 one as its /64, which is one site."""
        client = scope.get("client")
        peer = client[0] if client else _LOCAL
        if self._trusted and (peer == _LOCAL or self._is_trusted(peer)):
            hops = headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")
            for hop in reversed([hop.strip() for hop in hops if hop.strip()]):
                peer = hop
                if not self._is_trusted(hop):
                    break
        return _site(peer) if len(peer) <= _LONGEST else peer[:_LONGEST]

    def through_proxy(self, scope: Scope) -> bool:
        """Whether the request came from a proxy that the operator trusts."""
        client = scope.get("client")
        return bool(self._trusted) and (client is None or self._is_trusted(client[0]))

    def _is_trusted(self, text: str) -> bool:
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


@lru_cache(1024)  # with every request, mostly from the same few
def _site(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return text
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)
