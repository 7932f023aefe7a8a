"""Kept answers given out later: the links in them work again, and nobody else's are touched."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from config.media import MediaSettings
from gateway.media.answers import LINKS_WITHIN
from gateway.media.folder import Folder
from gateway.media.links import MediaLinks
from gateway.media.shelf import MediaFailed, Opened
from gateway.media.store import MediaStore
from tests.unit.media.shelves import chunks_of

LINKS = MediaLinks(b"secret", timedelta(hours=1))
BASE = "https://images.example"


class Signing:
    """Makes links that say where they lead."""

    async def presigned(self, id: str) -> str:
        return f"https://s3.example/{id[:2]}/{id}?X-Amz-Signature=fresh"


class Unable:
    async def presigned(self, id: str) -> str:
        raise MediaFailed(0, "the media bucket: no keys")


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(Folder(tmp_path), LINKS, MediaSettings())


@pytest.fixture
def signing(tmp_path: Path) -> MediaStore:
    return MediaStore(Folder(tmp_path), LINKS, MediaSettings(), Signing())


async def read(opened: Opened) -> bytes:
    data = b"".join([chunk async for chunk in opened.chunks])
    await opened.aclose()
    assert len(data) == opened.size
    return data


async def kept(store: MediaStore, document: object, request_id: str = "req_1") -> str:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return (await store.put(chunks_of(data), "json", request_id=request_id)).id


def picture(request_id: str = "req_1") -> str:
    return LINKS.new_id("png", request_id)


OLD = datetime.now(UTC) - timedelta(hours=5)


async def test_an_old_link_works_again_and_the_rest_stays(store: MediaStore) -> None:
    id = picture()
    told = {
        "created": 1,
        "data": [{"url": LINKS.url(id, "https://old.example", now=OLD), "revised_prompt": "x"}],
    }
    found = json.loads(await read(await store.open_renewed(await kept(store, told), BASE)))
    url = urlsplit(found["data"][0].pop("url"))
    assert found == {"created": 1, "data": [{"revised_prompt": "x"}]}
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{BASE}/media/{id}"
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert store.check(id, query["expires"], query["signature"], now=datetime.now(UTC)) > timedelta(
        minutes=59
    )


async def test_links_lead_where_they_lead_today(store: MediaStore, signing: MediaStore) -> None:
    id = picture()
    to_gateway = await kept(store, {"data": [{"url": LINKS.url(id, BASE, now=OLD)}]})
    presigned = f"https://s3.example/{id[:2]}/{id}?X-Amz-Signature=fresh"
    assert json.loads(await read(await signing.open_renewed(to_gateway, BASE))) == {
        "data": [{"url": presigned}]
    }
    to_bucket = await kept(signing, {"data": [{"url": presigned.replace("fresh", "expired")}]})
    again = json.loads(await read(await store.open_renewed(to_bucket, BASE)))["data"][0]["url"]
    assert again.startswith(f"{BASE}/media/{id}?expires=")


async def test_what_a_provider_linked_to_leads_to_nothing_of_ours(signing: MediaStore) -> None:
    strangers = picture("req_2")
    urls = [
        "https://provider.example/a.png",
        f"https://provider.example/media/{strangers}",
        f"https://s3.example/{strangers[:2]}/{strangers}?X-Amz-Signature=old",
        7,
    ]
    document = {"data": [*({"url": url} for url in urls), "x", {"b64_json": "aa"}]}
    id = await kept(signing, document)
    assert json.loads(await read(await signing.open_renewed(id, BASE))) == document


@pytest.mark.parametrize("document", [b"no json", b"[]", b'{"data": 7}', b'{"data": [{}]}'])
async def test_an_answer_without_links_is_given_as_it_is(store: MediaStore, document: bytes) -> None:
    assert await read(await store.open_renewed(await kept(store, document), BASE)) == document


async def test_one_with_pictures_in_it_is_not_read_into_memory(store: MediaStore) -> None:
    large = json.dumps({"data": [{"b64_json": "A" * LINKS_WITHIN}]}).encode()
    id = await kept(store, large)
    opened = await store.open_renewed(id, BASE)
    assert opened.size == len(large)
    assert await read(opened) == large


async def test_pictures_and_streams_are_given_as_they_are(signing: MediaStore) -> None:
    told = json.dumps({"data": [{"url": f"https://s3.example/{picture()}"}]}).encode()
    for format in ("png", "sse"):
        stored = await signing.put(chunks_of(told), format, request_id="req_1")
        assert await read(await signing.open_renewed(stored.id, BASE)) == told


async def test_where_no_link_can_be_made_the_answer_is_for_later(tmp_path: Path) -> None:
    store = MediaStore(Folder(tmp_path), LINKS, MediaSettings(), Unable())
    id = await kept(store, {"data": [{"url": f"https://s3.example/{picture()}"}]})
    with pytest.raises(MediaFailed):
        async with asyncio.timeout(5):
            await store.open_renewed(id, BASE)
