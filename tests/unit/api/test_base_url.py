"""Under which address clients find what the gateway links to."""

from __future__ import annotations

from typing import Any

import pytest

from config.server import ServerSettings
from gateway.api.base_url import BaseUrls


def base(headers: dict[str, str], peer: str = "192.0.2.7", **server: Any) -> str:
    scope: Any = {"type": "http", "scheme": "http", "client": (peer, 5), "server": ("10.0.0.5", 8080)}
    sent = {name.encode(): value.encode() for name, value in headers.items()}
    return BaseUrls(ServerSettings(**server)).of(scope, sent)


FORWARDED = {"host": "inner:8080", "x-forwarded-proto": "https", "x-forwarded-host": "images.example"}


def test_a_public_url_wins() -> None:
    assert base(FORWARDED, public_url="https://images.example/gateway/") == "https://images.example/gateway"


def test_else_it_is_the_host_that_was_asked() -> None:
    assert base({"host": "localhost:8080"}) == "http://localhost:8080"
    assert base({"host": "[::1]:8080"}) == "http://[::1]:8080"


def test_a_proxy_is_believed_where_it_is_trusted() -> None:
    assert base(FORWARDED) == "http://inner:8080"
    assert base(FORWARDED, "10.1.2.3", trusted_proxies=["10.0.0.0/8"]) == "https://images.example"
    assert base(FORWARDED, trusted_proxies=["10.0.0.0/8"]) == "http://inner:8080"
    several = {"host": "inner", "x-forwarded-proto": "https, http", "x-forwarded-host": "a.example, b"}
    assert base(several, "10.1.2.3", trusted_proxies=["10.0.0.0/8"]) == "https://a.example"
    odd = {"host": "inner", "x-forwarded-proto": "javascript"}
    assert base(odd, "10.1.2.3", trusted_proxies=["10.0.0.0/8"]) == "http://inner"


@pytest.mark.parametrize("host", ["", "evil.example/path", "a@b", "a b", "x#", "a:b:c", "[::1", "a\r\nb"])
def test_a_host_that_is_none_gives_way_to_the_listener(host: str) -> None:
    assert base({"host": host}) == "http://10.0.0.5:8080"
