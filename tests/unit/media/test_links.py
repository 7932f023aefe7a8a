"""Ids that nobody guesses, links that nobody forges, and none that works for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.media.links import (
    FORMATS,
    LinkExpired,
    LinkInvalid,
    MediaLinks,
    format_of,
    id_in,
    of_one_request,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def links() -> MediaLinks:
    return MediaLinks(b"secret", HOUR)


def parts_of(url: str) -> tuple[str, str, str]:
    split = urlsplit(url)
    query = parse_qs(split.query)
    return split.path.removeprefix("/media/"), query["expires"][0], query["signature"][0]


def test_a_link_is_good_until_it_expires(links: MediaLinks) -> None:
    id = links.new_id("png", "req_1")
    url = links.url(id, "https://images.example", now=NOW)
    assert url.startswith(f"https://images.example/media/{id}?expires=")
    assert parts_of(url)[0] == id
    assert links.check(*parts_of(url), now=NOW) == HOUR
    assert links.check(*parts_of(url), now=NOW + HOUR - timedelta(seconds=1)) == timedelta(seconds=1)
    for late in (HOUR, timedelta(days=400)):
        with pytest.raises(LinkExpired):
            links.check(*parts_of(url), now=NOW + late)


def test_whatever_is_changed_in_a_link_makes_it_invalid(links: MediaLinks) -> None:
    id, expires, signature = parts_of(links.url(links.new_id("png", "req_1"), "", now=NOW))
    other = links.new_id("png", "req_1")
    changed = [
        (other, expires, signature),
        (id.replace(".png", ".svg"), expires, signature),
        (id, str(int(expires) + 1), signature),
        (id, "0" + expires, signature),
        (id, expires + "\n", signature),
        (id, "", signature),
        (id, expires, ""),
        (id, expires, signature[:-1]),
        (id, expires, signature.swapcase()),
        (id, expires, "\udcff"),
        ("", "", ""),
    ]
    for each in changed:
        with pytest.raises(LinkInvalid):
            links.check(*each, now=NOW)
    with pytest.raises(LinkInvalid):
        MediaLinks(b"another secret", HOUR).check(id, expires, signature, now=NOW)


def test_the_signature_binds_the_parts_and_not_their_row(links: MediaLinks) -> None:
    id, expires, signature = parts_of(links.url("a", "", now=NOW))
    with pytest.raises(LinkInvalid):
        links.check(id + "\n" + expires[:1], expires[1:], signature, now=NOW)


def test_replicas_with_one_secret_read_each_others_links(links: MediaLinks) -> None:
    url = links.url(links.new_id("webp", "req_1"), "", now=NOW)
    assert MediaLinks(b"secret", timedelta(days=9)).check(*parts_of(url), now=NOW) == HOUR


def test_ids_are_random_and_say_which_request_they_are_of(links: MediaLinks) -> None:
    ids = {links.new_id("png", "req_1") for _ in range(100)}
    assert len(ids) == 100
    assert {id[:16] for id in ids} == {links.of_request("req_1")}
    assert links.of_request("req_2") != links.of_request("req_1")
    assert "req_1" not in next(iter(ids))
    assert MediaLinks(b"another secret", HOUR).of_request("req_1") != links.of_request("req_1")


@pytest.mark.parametrize("format", FORMATS)
def test_an_id_says_its_format(links: MediaLinks, format: str) -> None:
    assert format_of(links.new_id(format, "req_1")) == format


def test_what_is_no_id_has_no_format(links: MediaLinks) -> None:
    id = links.new_id("png", "req_1")
    for wrong in (
        "",
        "../secret",
        id.upper(),
        id[1:],
        id + "\n",
        id.replace(".png", ".html"),
        f"../{id}",
        id[:-4],
    ):
        assert format_of(wrong) is None
    with pytest.raises(ValueError, match="not html"):
        links.new_id("html", "req_1")


def test_an_id_is_found_in_every_kind_of_link(links: MediaLinks) -> None:
    id = links.new_id("png", "req_1")
    for link in (
        links.url(id, "https://images.example/gateway", now=NOW),
        f"https://s3.example/pictures/kept/{id[:2]}/{id}?X-Amz-Expires=3600&X-Amz-Signature=0",
        f"https://pictures.s3.example/{id[:2]}/{id}",
        id,
    ):
        assert id_in(link) == id
    for other in (
        "",
        "https://images.example/a.png",
        f"https://a.example/?x=/{id}",
        f"{id}/",
        "https://[::1",
    ):
        assert id_in(other) is None


def test_ids_of_one_request_are_known_by_their_beginning(links: MediaLinks) -> None:
    picture, answer = links.new_id("png", "req_1"), links.new_id("json", "req_1")
    assert of_one_request(picture, answer)
    assert not of_one_request(picture, links.new_id("json", "req_2"))
    assert not of_one_request("\u00fc.png", answer)
