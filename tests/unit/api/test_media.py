"""``/media/{id}``: given to whoever holds a good link, and nothing that a browser could run."""

from __future__ import annotations

import asyncio
import http.client
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.media import MediaSettings
from gateway.media.folder import Folder
from gateway.media.links import FORMATS, MediaLinks
from gateway.media.shelf import MediaFailed
from gateway.media.store import MediaStore
from tests.unit.api.serving import Face, face, settings_with
from tests.unit.media.shelves import chunks_of

SECRET, HOUR = b"secret of the tests", timedelta(hours=1)
DATA = bytes(range(256)) * 4000
PAGE = "https://app.example"


class Away(Folder):
    """A store that cannot be reached."""

    async def open(self, id: str) -> object:  # type: ignore[override]
        raise MediaFailed(5, "the media bucket is away")


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(Folder(tmp_path), MediaLinks(SECRET, HOUR), MediaSettings())


@pytest.fixture
def server(store: MediaStore) -> Iterator[Face]:
    with face(settings_with(cors_origins=[PAGE]), media=store) as running:
        yield running


def kept(store: MediaStore, format: str = "png", data: bytes = DATA, *, ago: timedelta = timedelta()) -> str:
    """The path of a link to a picture that was just stored."""
    stored = asyncio.run(store.put(chunks_of(data), format, request_id="req_1"))
    assert stored.size == len(data)
    return store.url(stored.id, "", now=datetime.now(UTC) - ago)


def test_a_link_needs_no_key(server: Face, store: MediaStore) -> None:
    reply = server.request("GET", kept(store), key=None)
    assert (reply.status, reply.body) == (200, DATA)
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["content-length"] == str(len(DATA))


def test_a_key_that_is_sent_is_not_looked_at(server: Face, store: MediaStore) -> None:
    path = kept(store)
    assert server.request("GET", path, key="sk-wrong").status == 200
    assert server.request("GET", path, headers={"authorization": "Basic !"}, key=None).status == 200
    assert server.request("GET", path.partition("?")[0]).status == 403, "a good key opens nothing"
    assert server.keys.look_ups == 0


def test_head_tells_what_get_gives(server: Face, store: MediaStore) -> None:
    path = kept(store)
    head, get = server.request("HEAD", path), server.request("GET", path)
    assert (head.status, head.body) == (200, b"")
    for name in ("content-type", "content-length", "content-disposition", "accept-ranges"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("format", FORMATS)
def test_no_browser_runs_what_is_served(server: Face, store: MediaStore, format: str) -> None:
    reply = server.request("GET", kept(store, format, b"<script>alert(1)</script>"), key=None)
    expected = "image/svg+xml" if format == "svg" else f"image/{format}"
    assert reply.headers["content-type"] == expected
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert {"default-src 'none'", "sandbox"} <= set(reply.headers["content-security-policy"].split("; "))
    shown = "attachment" if format == "svg" else "inline"
    assert re.fullmatch(
        rf'{shown}; filename="[0-9a-f]{{16}}\.{format}"', reply.headers["content-disposition"]
    )
    assert reply.headers["accept-ranges"] == "none"


def test_it_is_cached_by_its_holder_until_the_link_expires(server: Face, store: MediaStore) -> None:
    reply = server.request("GET", kept(store, ago=HOUR - timedelta(minutes=1)))
    found = re.fullmatch(r"private, max-age=(\d+), immutable", reply.headers["cache-control"])
    assert found is not None
    assert 50 <= int(found[1]) <= 60


def test_a_range_is_answered_with_the_whole(server: Face, store: MediaStore) -> None:
    reply = server.request("GET", kept(store), headers={"range": "bytes=0-9"})
    assert (reply.status, len(reply.body)) == (200, len(DATA))


def test_an_expired_link_is_403(server: Face, store: MediaStore) -> None:
    error = server.request("GET", kept(store, ago=HOUR), key=None).error
    assert error["code"] == "media_link_expired"


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.partition("?")[0],
        lambda path: path + "x",
        lambda path: path.replace("signature=", "signature=A"),
        lambda path: path.replace("expires=", "expires=9"),
        lambda path: path.replace(".png", ".svg"),
        lambda path: re.sub(r"/media/.", "/media/", path),
        lambda path: "/media/../../etc/passwd?" + path.partition("?")[2],
        lambda path: "/media/%2e%2e%2fsecret?" + path.partition("?")[2],
        lambda path: "/media",
        lambda path: "/media/",
    ],
)
def test_a_link_that_was_changed_is_403(server: Face, store: MediaStore, change: object) -> None:
    reply = server.request("GET", change(kept(store)), key=None)  # type: ignore[operator]
    assert (reply.status, reply.error["code"]) == (403, "media_link_invalid")


def test_a_removed_picture_is_404_whatever_the_link(server: Face, store: MediaStore) -> None:
    path = kept(store)
    id = path.removeprefix("/media/").partition("?")[0]
    assert asyncio.run(store.delete(id))
    assert server.request("GET", path, key=None).error["code"] == "media_gone"
    assert server.request("HEAD", path, key=None).status == 404


def test_a_store_that_is_away_is_503(tmp_path: Path) -> None:
    store = MediaStore(Away(tmp_path), MediaLinks(SECRET, HOUR), MediaSettings())
    with face(media=store) as server:
        reply = server.request("GET", kept(store), key=None)
        assert (reply.status, reply.error["code"]) == (503, "media_unavailable")
        assert reply.headers["x-should-retry"] == "true"


def test_a_picture_that_is_cut_on_disk_ends_the_connection(
    server: Face, store: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kept(store)
    real = Folder.open

    async def longer(self: Folder, id: str) -> object:
        opened = await real(self, id)
        (file,) = tmp_path.rglob("*.png")
        file.write_bytes(DATA[:1000])
        return opened

    monkeypatch.setattr(Folder, "open", longer)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        server.request("GET", path)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_only_gives(server: Face, store: MediaStore, method: str) -> None:
    reply = server.request(method, kept(store))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


def test_pages_of_named_origins_may_read_it(server: Face, store: MediaStore) -> None:
    path = kept(store)
    reply = server.request("GET", path, headers={"origin": PAGE}, key=None)
    assert reply.headers["access-control-allow-origin"] == PAGE
    stranger = server.request("GET", path, headers={"origin": "https://evil.example"}, key=None)
    assert "access-control-allow-origin" not in stranger.headers


def test_without_a_store_there_is_no_such_route() -> None:
    with face() as server:
        assert server.request("GET", "/media/x", key=None).status == 404
