"""Whose address counts: the nearest that is not a proxy of ours."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api.client_address import ClientAddresses
from gateway.api.failed_keys import ALLOWED, WINDOW, FailedKeys


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ([], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (["10.0.0.0/8"], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (["10.0.0.0/8"], "10.1.2.3", "198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", "1.1.1.1, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        (["10.0.0.0/8"], "10.1.2.3", "", "10.1.2.3"),
        (["10.0.0.1"], "10.0.0.1", "not an address", "not an address"),
        (["::1"], "::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ([], "::ffff:192.0.2.5", "", "192.0.2.5"),
    ],
)
def test_a_forwarded_address_is_believed_from_trusted_proxies_only(
    trusted: list[str], peer: str, forwarded: str, expected: str
) -> None:
    scope: Any = {"client": (peer, 5)}
    assert ClientAddresses(trusted).of(scope, {b"x-forwarded-for": forwarded.encode()}) == expected


def test_a_unix_socket_has_no_address_of_its_own() -> None:
    scope: Any = {"client": None}
    assert ClientAddresses([]).of(scope, {}) == "local"
    assert ClientAddresses(["10.0.0.1"]).of(scope, {b"x-forwarded-for": b"192.0.2.7"}) == "192.0.2.7"


def test_failures_are_counted_in_bounded_memory() -> None:
    failed = FailedKeys(lambda: 0.0)
    for number in range(10_050):
        failed.count(str(number))
    assert len(failed._windows) == 10_000


def test_a_window_begins_anew_after_it_has_passed() -> None:
    now = [0.0]
    failed = FailedKeys(lambda: now[0])
    for _ in range(ALLOWED):
        failed.count("a")
    assert failed.wait("a") == WINDOW
    now[0] = WINDOW
    assert failed.wait("a") == 0.0
    failed.count("a")
    assert failed.wait("a") == 0.0
