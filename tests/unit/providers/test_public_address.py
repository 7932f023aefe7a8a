"""Every known way around an address check, refused; and what is fetched after all."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from providers.public_address import LONGEST_URL, NotFetchable, destination, origin_of, refused_as

BYPASSES = [
    # other schemes
    "http://example.com/a.png",
    "HTTP://example.com/a.png",
    "ftp://example.com/a.png",
    "file:///etc/passwd",
    "gopher://example.com/",
    "data:image/png;base64,AAAA",
    "//example.com/a.png",
    "https:/example.com/a.png",
    "https:example.com",
    "https://",
    "https:///a.png",
    "javascript:alert(1)",
    "",
    # other ports
    "https://example.com:80/",
    "https://example.com:8443/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:443443/",
    "https://example.com:-443/",
    "https://example.com:4４3/",
    "https://example.com:443:443/",
    # users, and hosts behind them
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://@127.0.0.1/",
    # parsers that differ
    "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\.example.com/",
    "https://exa mple.com/",
    "https://example.com\t/",
    "https://example.com\n.evil.example/",
    "https://example.com\r\nHost: localhost/",
    "https://example.com\x00.evil.example/",
    " https://example.com/",
    "https://%6cocalhost/",
    "https://127.0.0.1%23.example.com/",
    "https://example..com/",
    "https://.example.com/",
    "https://exa$mple.com/",
    "https://[127.0.0.1]/",
    "https://[::1/",
    "https://[::1]extra/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[v1.x]/",
    # loopback and its spellings
    "https://localhost/",
    "https://LOCALHOST./",
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.255.255.254/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.01/",
    "https://127.0.0.0x1/",
    "https://4294967297/",
    "https://1.2.3.4.5/",
    "https://256.1.1.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://1.2.3.0x/",
    "https://１２７.０.０.１/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://127．0．0．1/",
    "https://ｌｏｃａｌｈｏｓｔ/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/",
    # IPv4 within IPv6
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2001:0:53aa:64c:0:0:80ff:fffe]/",
    "https://[2606:4700::5efe:7f00:1]/",
    "https://[2606:4700::200:5efe:10.0.0.1]/",
    # networks inside
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.127.255.255/",
    "https://[fc00::1]/",
    "https://[fd12:3456::1]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    # metadata services
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/latest/meta-data/",
    "https://0xa9fea9fe/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[fd00:ec2::254]/",
    "https://[fd20:ce::254]/",
    "https://100.100.100.200/",
    "https://192.0.0.192/",
    "https://168.63.129.16/",
    "https://metadata/",
    # nobody's addresses
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://255.255.255.255/",
    "https://240.0.0.1/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://192.88.99.1/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    # names that are none
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 130 + "example/",
    "https://example.com/" + "a" * LONGEST_URL,
]


def test_there_are_many_of_them() -> None:
    assert len(set(BYPASSES)) >= 60


@pytest.mark.parametrize("url", BYPASSES)
def test_f08_a_url_that_leads_inside_is_not_fetched(url: str) -> None:
    with pytest.raises(NotFetchable) as refused:
        destination(url)
    assert "127" not in str(refused.value), "nothing of the address is told"


@pytest.mark.parametrize(
    ("url", "host", "sent"),
    [
        ("https://example.com", "example.com", "https://example.com:443/"),
        ("HTTPS://Example.COM:443/A.png?x=1#part", "example.com", "https://example.com:443/A.png?x=1"),
        ("https://example.com.", "example.com", "https://example.com:443/"),
        ("https://example.com:/a", "example.com", "https://example.com:443/a"),
        ("https://example.com?x", "example.com", "https://example.com:443/?x"),
        ("https://bücher.example/ü", "xn--bcher-kva.example", "https://xn--bcher-kva.example:443/%C3%BC"),
        ("https://1.1.1.1.example/", "1.1.1.1.example", "https://1.1.1.1.example:443/"),
        ("https://8.8.8.8/a", "8.8.8.8", "https://8.8.8.8:443/a"),
        ("https://[2606:4700::1111]/", "2606:4700::1111", "https://[2606:4700::1111]:443/"),
        ("https://example.com/a%20b/%2e%2e", "example.com", "https://example.com:443/a%20b/%2e%2e"),
        ("https://my_bucket.example/", "my_bucket.example", "https://my_bucket.example:443/"),
    ],
)
def test_a_public_url_is_put_together_from_what_was_judged(url: str, host: str, sent: str) -> None:
    to = destination(url)
    assert (to.host, to.url()) == (host, sent)
    assert to.authority in (host, f"[{host}]")


def test_the_url_can_name_an_address_while_the_host_keeps_its_name() -> None:
    to = destination("https://example.com/a")
    assert to.url("2606:4700::1") == "https://[2606:4700::1]:443/a"
    assert to.authority == "example.com"


def test_an_origin_that_the_operator_names_is_fetched_and_no_other() -> None:
    origins = {origin_of("http://127.0.0.1:9000"), origin_of("https://Files.intern/")}
    assert origins == {"http://127.0.0.1:9000", "https://files.intern:443"}
    inside = destination("http://127.0.0.1:9000/a.png", origins)
    assert inside.named
    assert inside.refuses(ip_address("127.0.0.1")) is None
    assert inside.authority == "127.0.0.1:9000"
    assert destination("https://files.intern/a", origins).named
    for other in (
        "http://127.0.0.1:9001/",
        "http://127.0.0.2:9000/",
        "https://127.0.0.1:9000/",
        "http://x@127.0.0.1:9000/",
    ):
        with pytest.raises(NotFetchable):
            destination(other, origins)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "files.intern",
        "ftp://a.example",
        "http://a.example/path",
        "http://u@a.example",
        "http://a.example?x",
        "http://a.example#x",
    ],
)
def test_an_origin_has_nothing_but_scheme_host_and_port(wrong: str) -> None:
    with pytest.raises(ValueError):
        origin_of(wrong)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("10.1.2.3", "private"),
        ("169.254.169.254", "link_local"),
        ("100.64.0.1", "carrier_nat"),
        ("224.0.0.1", "multicast"),
        ("::1", "not_global"),
        ("::ffff:8.8.8.8", "not_global"),
        ("64:ff9b::808:808", "not_global"),
        ("fe80::1%eth0", "not_global"),
        ("2002:808:808::1", "tunnel"),
        ("8.8.8.8", None),
        ("2606:4700::1111", None),
    ],
)
def test_the_log_learns_what_kind_of_address_it_was(address: str, kind: str | None) -> None:
    assert refused_as(ip_address(address)) == kind
