"""Pictures in a bucket, against a real S3-compatible server."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config.loader import load
from config.media import S3Settings
from config.schema import Settings
from config.secrets import Secret, SecretMissing
from config.storage import Bucket as Place
from gateway.app.gateway import open_gateway
from gateway.errors import Unavailable
from gateway.media import bucket as bucket_room
from gateway.media.bucket import PART, Bucket
from gateway.media.shelf import MediaFailed
from gateway.media.store import open_media
from tests.buckets import new_bucket
from tests.servers import free_port
from tests.simulators.fault_proxy import FaultProxy, black_hole
from tests.unit.media.shelves import ShelfContract, chunks_of, everything, new_id, read


def keys() -> tuple[Secret, Secret]:
    return (Secret("test"), Secret("test secret"))


@pytest.fixture
def bucket(s3_server: str) -> str:
    """A new bucket's name."""
    return new_bucket(s3_server)


@pytest.fixture
def shelf(s3_server: str, bucket: str) -> Bucket:
    return Bucket(Place(bucket, "kept/here"), S3Settings(endpoint=s3_server), keys)


class TestBucket(ShelfContract):
    async def test_a_prefix_is_a_room_of_its_own(self, shelf: Bucket, s3_server: str, bucket: str) -> None:
        other = Bucket(Place(bucket, "elsewhere"), S3Settings(endpoint=s3_server), keys)
        whole = Bucket(Place(bucket, ""), S3Settings(endpoint=s3_server), keys)
        id = new_id()
        await shelf.put(id, chunks_of(b"x"))
        assert await everything(other) == []
        assert not await other.delete(id)
        assert [kept.id for kept in await everything(whole)] == [id]

    async def test_memory_holds_a_few_parts_and_never_a_picture(self, shelf: Bucket) -> None:
        piece = bytes(1 << 20)

        async def long() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield piece

        tracemalloc.start()
        try:
            id = new_id()
            assert await shelf.put(id, long()) == 64 << 20
            assert tracemalloc.get_traced_memory()[1] < 6 * PART
        finally:
            tracemalloc.stop()
        assert (await shelf.open(id)).size == 64 << 20

    @pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 2 * PART])
    async def test_the_edges_of_a_part_are_kept(self, shelf: Bucket, size: int) -> None:
        id, data = new_id(), bytes(size - 1) + b"e"
        assert await shelf.put(id, chunks_of(data[:1000], data[1000:])) == size
        assert await read(shelf, id) == data


async def test_f61_a_bucket_that_is_away_or_missing_says_so_and_names_no_address(s3_server: str) -> None:
    away = Bucket(Place("pictures", ""), S3Settings(endpoint=f"http://127.0.0.1:{free_port()}"), keys)
    missing = Bucket(Place("no-such-bucket", ""), S3Settings(endpoint=s3_server), keys)
    for shelf in (away, missing):
        with pytest.raises(MediaFailed) as failed:
            await shelf.put(new_id(), chunks_of(b"x"))
        assert "127.0.0.1" not in str(failed.value)
    with pytest.raises(MediaFailed):
        await away.open(new_id())
    with pytest.raises(MediaFailed):
        await away.delete(new_id())
    with pytest.raises(MediaFailed):
        await everything(away)


async def test_f61_a_bucket_that_takes_its_time_is_given_up(
    s3_server: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_room, "PUT_SECONDS", 0.3)
    async with FaultProxy(urlsplit(s3_server).port or 0) as network:
        network.default = black_hole()
        shelf = Bucket(Place(bucket, ""), S3Settings(endpoint=network.base_url), keys)
        for size in (10, PART + 1):
            with pytest.raises(MediaFailed, match="too slow"):
                await shelf.put(new_id(), chunks_of(bytes(size)))


async def test_a_source_that_takes_its_time_is_no_fault_of_the_bucket(shelf: Bucket) -> None:
    async def late() -> AsyncIterator[bytes]:
        yield b"x"
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await shelf.put(new_id(), late())


async def test_without_the_extra_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    file = tmp_path / "gateway.yaml"
    file.write_text("storage: {media: 's3://pictures/kept'}\n")
    with pytest.raises(Unavailable, match=r"install 'imagegate\[storage\]'"):
        async with open_gateway(load(file)):
            pass


async def test_keys_come_from_their_references(
    s3_server: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = {"access_key_id": "env:MEDIA_KEY_ID", "secret_access_key": "file:media.key"}
    settings = Settings.model_validate(
        {
            "storage": {"media": f"s3://{bucket}/kept"},
            "media": {"s3": {"endpoint": s3_server, **references}},
        }
    )
    with pytest.raises(SecretMissing):
        open_media(settings, tmp_path, b"secret")
    monkeypatch.setenv("MEDIA_KEY_ID", "test")
    (tmp_path / "media.key").write_text("test secret\n")
    store = open_media(settings, tmp_path, b"secret")
    stored = await store.put(chunks_of(b"abc"), "png", request_id="req_1")
    assert await store.of_request("req_1") == [stored.id]
    assert (await store.sweep()).left == 1
    assert await store.delete(stored.id)
    await store.aclose()
