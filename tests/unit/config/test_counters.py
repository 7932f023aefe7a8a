"""Addresses of Redis and Valkey: one server, sentinels, a cluster."""

from __future__ import annotations

import re

import pytest

from config.counters import CountersAddress, Form, Login, counters_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", CountersAddress(Form.SINGLE, (("cache", 6379),))),
        ("redis://cache:6380/3", CountersAddress(Form.SINGLE, (("cache", 6380),), db=3)),
        ("redis://[fd00::7]:6380/", CountersAddress(Form.SINGLE, (("fd00::7", 6380),))),
        ("REDIS://:a%40b%2Fc@cache", CountersAddress(Form.SINGLE, (("cache", 6379),), Login("", "a@b/c"))),
        (
            "rediss://me:x@cache?ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
            CountersAddress(
                Form.SINGLE,
                (("cache", 6379),),
                Login("me", "x"),
                tls={"ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False},
            ),
        ),
        (
            "redis+sentinel://s1,s2:26380,[::1]/mymaster",
            CountersAddress(
                Form.SENTINEL, (("s1", 26379), ("s2", 26380), ("::1", 26379)), service="mymaster"
            ),
        ),
        (
            "rediss+sentinel://:x@s1,s2/my%2Fmaster/2?sentinel_username=u&sentinel_password=p%26q",
            CountersAddress(
                Form.SENTINEL,
                (("s1", 26379), ("s2", 26379)),
                Login("", "x"),
                "my/master",
                2,
                Login("u", "p&q"),
                {},
            ),
        ),
        ("redis+cluster://c1,c2:7000", CountersAddress(Form.CLUSTER, (("c1", 6379), ("c2", 7000)))),
        ("rediss+cluster://c1/0", CountersAddress(Form.CLUSTER, (("c1", 6379),), tls={})),
    ],
)
def test_every_form_is_read(url: str, address: CountersAddress) -> None:
    assert counters_address(url) == address


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("cache:6379", "expected local, redis://HOST:PORT/DB"),
        ("redis+sentinels://s1/m", "expected local"),
        ("valkey://cache", "expected local"),
        ("redis://cache:0", "expected local"),
        ("redis://cache:70000", "expected local"),
        ("redis+cluster://c1,,c2", "expected local"),
        ("redis+cluster://c1:7000 ,c2", "expected local"),
        ("redis://c1,c2", "names several servers; write redis+sentinel:// where these are sentinels"),
        ("redis+sentinel://s1,s2", "lacks the service's name"),
        ("redis+sentinel://s1,s2/0", "lacks the service's name"),
        ("redis+sentinel://s1,s2/mymaster/main", "such as /mymaster/0"),
        ("redis+cluster://c1/1", "a cluster has one database"),
        ("redis+cluster://c1/mymaster", "a cluster has one database"),
        ("redis://:hun/ter2@cache", "%40, %2F"),
        ("redis://:hun?ter2@cache", "%40, %2F"),
        ("redis://:hunter2#@cache", "%40, %2F"),
        ("redis://cache?socket_timeout=5&hunter2=x", "none of ssl_ca_certs, ssl_certfile"),
        ("redis://cache?hunter2", "NAME=VALUE"),
        ("redis://cache?ssl_ca_certs=/ca.pem", "without TLS; write rediss"),
        ("rediss://cache?ssl_cert_reqs=maybe", "required or none"),
        ("rediss://cache?ssl_check_hostname=yes", "true or false"),
        ("redis+cluster://c1?sentinel_password=hunter2", "and no sentinels"),
    ],
)
def test_what_cannot_be_used_is_refused_and_never_quoted(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)) as refusal:
        counters_address(url)
    assert "hunter2" not in str(refusal.value)
    assert "ter2" not in str(refusal.value)


def test_an_address_does_not_show_its_passwords() -> None:
    found = counters_address("redis+sentinel://me:hunter2@s1/m?sentinel_password=hunter3")
    assert found.has_password
    assert "hunter" not in repr(found)
    assert not counters_address("redis://me@cache").has_password
