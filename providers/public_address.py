"""Which URLs and addresses a caller may make this machine fetch from: the public internet over https, and
the origins that the operator names. Pure; providers/guarded.py does the fetching.

Nothing here trusts a parser it does not control: a URL is taken apart by rules stricter than any client's,
and put together again from its judged parts, so that no two readings of it can differ. Sources: WHATWG URL
(the "ends in a number" rule), the IANA special-purpose address registries (RFC 6890).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import quote

LONGEST_URL = 8192

Address = IPv4Address | IPv6Address

_PORTS = {"https": 443, "http": 80}
_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_KEPT = "%/?:=&+,;@!$'()*~[]-._"

_REFUSED_4 = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("127.0.0.0/8", "loopback"),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("169.254.0.0/16", "link_local"),  # most clouds' metadata
        ("100.64.0.0/10", "carrier_nat"),  # Alibaba's metadata
        ("168.63.129.16/32", "metadata"),  # Azure's, in every virtual network
        ("192.0.0.0/24", "metadata"),  # protocol assignments; Oracle's
        ("0.0.0.0/8", "this_network"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("198.18.0.0/15", "benchmarks"),
        ("192.88.99.0/24", "tunnel"),  # 6to4 relays
        ("192.52.193.0/24", "tunnel"),  # AMT
        ("192.31.196.0/24", "reserved"),  # AS112
        ("192.175.48.0/24", "reserved"),  # AS112
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")
"""All of IPv6 that is routed: loopback, unique local, link-local, multicast, IPv4-mapped and -compatible
forms and NAT64 (64:ff9b::/96) lie outside."""

_REFUSED_6 = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("2001::/23", "reserved"),  # protocol assignments: Teredo, which holds IPv4 addresses, ORCHID
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "tunnel"),  # 6to4, which holds IPv4 addresses
        ("2620:4f:8000::/48", "reserved"),  # AS112
        ("3fff::/20", "documentation"),
    )
)
_ISATAP = 0x5EFE
"""Bits 32 to 63 of an address (the first half with or without its local bit) that holds an IPv4 one."""


class NotFetchable(Exception):
    """A URL that is not fetched; the message says what one looks like, and nothing of this network. ``host``
    and ``kind`` (of its address) are for the operator's log, where they are known."""

    def __init__(self, message: str, *, host: str | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.host = host
        self.kind = kind


NOT_PUBLIC = "its host has no public address"
"""Said of hosts inside and of names that do not exist alike: which of them exist is nobody's business."""


@dataclass(frozen=True, slots=True)
class Destination:
    """``host`` is in ASCII and lower case, without brackets; ``literal`` is the address where it is one.
    ``named`` are the origins that the operator named: these are fetched wherever they lead."""

    scheme: str
    host: str
    port: int
    path: str
    named: bool
    literal: Address | None = None

    def url(self, host: str | None = None) -> str:
        """The URL again, with ``host`` in place of its own."""
        name = self.host if host is None else host
        return f"{self.scheme}://{f'[{name}]' if ':' in name else name}:{self.port}{self.path}"

    @property
    def authority(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS[self.scheme] else f"{name}:{self.port}"

    def refuses(self, address: Address) -> str | None:
        """The kind of an address that may not be connected to; None where it may."""
        return None if self.named else refused_as(address)


def refused_as(address: Address) -> str | None:
    """What kind of address this is where it is not one of the public internet; None for those."""
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _REFUSED_4 if address in network), None)
    if address.scope_id is not None or address not in _GLOBAL_6:
        return "not_global"
    if int(address) >> 32 & 0xFDFFFFFF == _ISATAP:
        return "tunnel"
    return next((kind for network, kind in _REFUSED_6 if address in network), None)


def destination(url: str, origins: Collection[str] = ()) -> Destination:
    """Where a URL leads. ``origins`` are the operator's, as :func:`origin_of` writes them. Raises
    :class:`NotFetchable` for every form that is not plainly https to a public host on its usual port."""
    if len(url) > LONGEST_URL:
        raise NotFetchable(f"it is longer than {LONGEST_URL} characters")
    found = _URL.fullmatch(url)
    if found is None or _UNSEEN.search(url):
        raise NotFetchable("only https URLs are fetched")
    scheme, path = found[1].lower(), found[3]
    host, port, literal = _authority(found[2], _PORTS[scheme])
    named = _origin(scheme, host, port) in origins
    if not named:
        if scheme != "https":
            raise NotFetchable("only https URLs are fetched")
        if port != _PORTS[scheme]:
            raise NotFetchable("only the usual port of https is fetched from")
        if literal is None and "." not in host:
            raise NotFetchable(NOT_PUBLIC, host=host, kind="short_name")
        if literal is not None and (kind := refused_as(literal)):
            raise NotFetchable(NOT_PUBLIC, host=host, kind=kind)
    quoted = quote(path, safe=_KEPT)
    return Destination(scheme, host, port, quoted if path[:1] == "/" else f"/{quoted}", named, literal)


def origin_of(url: str) -> str:
    """``scheme://host:port`` of a URL that has nothing else. Raises ValueError."""
    found = _URL.fullmatch(url)
    if found is None or _UNSEEN.search(url) or found[3] not in ("", "/") or "#" in url:
        raise ValueError("expected an origin such as http://files.intern:9000")
    try:
        host, port, _ = _authority(found[2], _PORTS[found[1].lower()])
    except NotFetchable as wrong:
        raise ValueError(str(wrong)) from None
    return _origin(found[1].lower(), host, port)


def origin_at(url: str) -> str:
    """The origin of an http or https URL, whatever its path; of anything else, the origin of nothing."""
    found = _URL.fullmatch(url) if len(url) <= LONGEST_URL else None
    try:
        return "" if found is None else origin_of(f"{found[1]}://{found[2]}")
    except ValueError:
        return ""


def _origin(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://{host}:{port}"


def _authority(text: str, usual: int) -> tuple[str, int, Address | None]:
    """Host, port, and the host's address where it is one."""
    if "@" in text:
        raise NotFetchable("a URL with a user or a password is not fetched")
    if text.startswith("["):
        inner, closed, rest = text[1:].partition("]")
        if not closed or "%" in inner:
            raise NotFetchable("its host cannot be read")
        try:
            literal: Address = IPv6Address(inner)
        except ValueError:
            raise NotFetchable("its host cannot be read") from None
        return str(literal), _port(rest, usual), literal
    host, colon, rest = text.partition(":")
    name = _name(host)
    return name, _port(colon + rest, usual), _literal(name)


def _port(text: str, usual: int) -> int:
    if text in ("", ":"):
        return usual
    if re.fullmatch(r":[0-9]{1,5}", text) is None or not 0 < int(text[1:]) < 65536:
        raise NotFetchable("its port cannot be read")
    return int(text[1:])


def _name(text: str) -> str:
    """A host's name in ASCII. Other scripts are mapped first (IDNA), since the map makes digits and dots of
    characters that look like them."""
    try:
        name = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise NotFetchable("its host cannot be read") from None
    name = name.removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise NotFetchable("its host cannot be read")
    return name


def _literal(name: str) -> Address | None:
    """The IPv4 address that a name is. A name that ends in a number is one or is refused: clients read
    ``2130706433``, ``0x7f.1`` and ``0177.0.0.1`` as 127.0.0.1."""
    if _NUMBER.fullmatch(name.rpartition(".")[2]) is None:
        return None
    try:
        return IPv4Address(name)
    except ValueError:
        raise NotFetchable("its host cannot be read") from None


def addresses_of(found: Collection[str]) -> tuple[Address, ...]:
    """What a resolver said, as addresses, without repetition and in its order."""
    return tuple(dict.fromkeys(ip_address(text) for text in found))
