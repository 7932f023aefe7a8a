"""Addresses that can be used, headers that can be sent, and no plain secret in either.

Messages never quote an address: it may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, parse_qs, urlsplit

from config.findings import Findings, Location
from config.problems import quoted
from config.schema import Settings
from config.secrets import SecretRef
from config.storage import POSTGRES_OPTIONS

_CREDENTIAL_HEADERS = {
    "authorization",
    "proxy-authorization",
    "cookie",
    "api-key",
    "x-api-key",
    "x-auth-token",
}
_KEYS_BELONG = "keys are written api_key: env:NAME or file:PATH"


def check_server(settings: Settings, findings: Findings) -> None:
    server = settings.server
    if server.public_url is not None:
        check_url(("server", "public_url"), server.public_url, findings)
    if settings.upstream.proxy is not None:
        _check_proxy(settings.upstream.proxy, findings)
    for index, origin in enumerate(server.cors_origins):
        location: Location = ("server", "cors_origins", index)
        if origin != "*" and check_url(location, origin, findings) and urlsplit(origin).path:
            findings.problem(location, "an origin has no path and no slash at its end: https://app.example")
    for index, network in enumerate(server.trusted_proxies):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            findings.problem(
                ("server", "trusted_proxies", index),
                "expected an address or a network, such as 10.0.0.0/8: any client may claim a name",
            )


def check_providers(settings: Settings, findings: Findings) -> None:
    for name, account in settings.providers.items():
        base_url = getattr(account, "base_url", None)
        location: Location = ("providers", name, "base_url")
        if base_url is not None and check_url(location, base_url, findings, _KEYS_BELONG):
            if account.type == "azure-openai" and "/openai" in urlsplit(base_url).path:
                findings.problem(
                    location, "leave /openai and what follows out: https://RESOURCE.openai.azure.com"
                )
            if urlsplit(base_url).query or urlsplit(base_url).fragment:
                findings.problem(location, "leave out what follows the path (? or #)")
        for header, value in getattr(account, "headers", {}).items():
            place: Location = ("providers", name, "headers", header)
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", header):
                findings.problem_at_key(place, f"{quoted(header)} is not a header's name")
            elif isinstance(value, SecretRef):
                continue
            elif header.lower() in _CREDENTIAL_HEADERS:
                findings.problem(
                    place, "holds a secret; write it env:NAME or file:PATH, never as its own value"
                )
            elif not re.fullmatch(r"[\t\x20-\x7e]*", value):
                findings.problem(place, "a header's value is printable ASCII on one line")


def check_database(url: str, findings: Findings) -> None:
    location: Location = ("storage", "database")
    parts = _parts(url)
    scheme = url.split(":", 1)[0]
    if scheme in ("env", "file"):
        if not url.partition(":")[2].strip():
            findings.problem(location, "expected env:NAME or file:PATH")
        return
    if scheme.startswith("sqlite"):
        if not re.fullmatch(r"sqlite:///[^?#]+", url) or url.endswith(("/", ":memory:")):
            findings.problem(
                location, "expected sqlite:///PATH of a file, such as sqlite:///data/imagegate.db"
            )
    elif scheme.startswith("postgres"):
        if scheme != "postgresql+asyncpg":
            findings.problem(location, "write postgresql+asyncpg:// in place of the scheme")
        elif parts is None or len(parts.path) < 2 or not (parts.hostname or "host=" in parts.query):
            findings.problem(location, "expected postgresql+asyncpg://USER@HOST/DATABASE")
        elif not set(parse_qs(parts.query, keep_blank_values=True)) <= {*POSTGRES_OPTIONS}:
            findings.problem(location, f"what follows ? can be {', '.join(POSTGRES_OPTIONS)}")
        elif parts.password is not None:
            findings.problem(
                location, "holds a password; put the whole address into a variable and write env:NAME here"
            )
    else:
        findings.problem(location, "expected sqlite:///PATH or postgresql+asyncpg://USER@HOST/DATABASE")


def _check_proxy(url: str, findings: Findings) -> None:
    location: Location = ("upstream", "proxy")
    parts = _parts(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        findings.problem(location, "expected an address such as http://proxy.example:3128")
    elif parts.password is not None:
        # A warning: a proxy's password has no other place in this version.
        findings.warn(location, "holds a password in plain text; keep this file out of version control")


def check_url(location: Location, url: str, findings: Findings, credentials: str = "") -> bool:
    """``credentials`` says where a user and a password belong, if not in the address."""
    parts = _parts(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        findings.problem(location, "expected an address such as https://host.example")
        return False
    if parts.password is not None or parts.username is not None:
        findings.problem(location, f"holds a user or a password; {credentials or 'leave them out'}")
        return False
    return True


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
