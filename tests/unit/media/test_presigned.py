"""Links that lead straight to a bucket, against a server that verifies them."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from config.media import S3Settings
from config.secrets import Secret, SecretMissing
from config.storage import Bucket as Place
from gateway.media.bucket import PART, Bucket
from gateway.media.links import DOCUMENTS, FORMATS
from gateway.media.shelf import MediaFailed
from tests.buckets import KEY, new_bucket
from tests.servers import free_port
from tests.unit.media.shelves import chunks_of, new_id


def keys() -> tuple[Secret, Secret]:
    return (Secret(KEY), Secret(KEY))


@pytest.fixture
def place(strict_s3_server: str) -> Place:
    return Place(new_bucket(strict_s3_server), "kept/here")


@pytest.fixture
def shelf(strict_s3_server: str, place: Place) -> Bucket:
    return Bucket(place, S3Settings(endpoint=strict_s3_server), keys, timedelta(minutes=5))


async def got(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as anybody:
        return await anybody.get(url, headers=headers)


@pytest.mark.parametrize("format", [*FORMATS, *DOCUMENTS])
async def test_no_browser_runs_what_a_bucket_gives(shelf: Bucket, format: str) -> None:
    id = new_id(format=format)
    await shelf.put(id, chunks_of(b"<script>alert(1)</script>"))
    reply = await got(await shelf.presigned(id))
    assert (reply.status_code, reply.content) == (200, b"<script>alert(1)</script>")
    kinds = {"svg": "image/svg+xml", **DOCUMENTS}
    assert reply.headers["content-type"] == kinds.get(format, f"image/{format}")
    shown = "inline" if format in FORMATS and format != "svg" else "attachment"
    assert reply.headers["content-disposition"] == f'{shown}; filename="{id[:16]}.{format}"'
    assert reply.headers["cache-control"] == "private, max-age=300, immutable"


async def test_whatever_is_changed_in_a_presigned_link_makes_it_invalid(shelf: Bucket) -> None:
    id, other = new_id(), new_id()
    for each in (id, other):
        await shelf.put(each, chunks_of(b"picture"))
    url = await shelf.presigned(id)
    signature = url.rpartition("=")[2]
    for changed in (
        url.replace(signature, signature[::-1]),
        url.replace(id, other),
        url.replace("X-Amz-Expires=300", "X-Amz-Expires=30000"),
        f"{url}&response-content-disposition=inline",
        url.partition("?")[0],
    ):
        assert changed != url
        assert (await got(changed)).status_code == 403, changed
    assert (await got(url)).content == b"picture"


async def test_what_was_removed_is_not_found_behind_its_link(shelf: Bucket) -> None:
    id = new_id()
    await shelf.put(id, chunks_of(b"picture"))
    url = await shelf.presigned(id)
    await shelf.delete(id)
    assert (await got(url)).status_code == 404


async def test_a_picture_that_went_up_in_parts_is_whole_behind_its_link(shelf: Bucket) -> None:
    id, data = new_id(), bytes(range(256)) * (2 * PART // 256 + 1)
    await shelf.put(id, chunks_of(data))
    reply = await got(await shelf.presigned(id))
    assert reply.content == data
    assert reply.headers["content-type"] == "image/png"


async def test_links_are_signed_for_the_address_that_clients_use(strict_s3_server: str, place: Place) -> None:
    public = strict_s3_server.replace("127.0.0.1", "localhost")
    settings = S3Settings(endpoint=strict_s3_server, public_endpoint=f"{public}/")
    shelf, id = Bucket(place, settings, keys), new_id()
    await shelf.put(id, chunks_of(b"picture"))
    url = await shelf.presigned(id)
    assert url.startswith(f"{public}/{place.name}/kept/here/{id[:2]}/{id}?")
    assert (await got(url)).content == b"picture"
    inside = url.replace(public, strict_s3_server)
    assert (await got(inside)).status_code == 403, "the signature covers the host"


async def test_the_bucket_may_stand_in_the_hosts_name(
    strict_s3_server: str, shelf: Bucket, place: Place
) -> None:
    public = strict_s3_server.replace("127.0.0.1", "localhost")
    settings = S3Settings(endpoint=strict_s3_server, public_endpoint=public, path_style=False)
    id = new_id()
    await shelf.put(id, chunks_of(b"picture"))
    url = await Bucket(place, settings, keys).presigned(id)
    parts = urlsplit(url)
    assert parts.hostname == f"{place.name}.localhost"
    assert parts.path == f"/kept/here/{id[:2]}/{id}"
    # Not every resolver knows names below localhost.
    reply = await got(f"{strict_s3_server}{parts.path}?{parts.query}", host=parts.netloc)
    assert reply.content == b"picture"


async def test_an_aws_bucket_stands_in_the_hosts_name_unless_told_otherwise() -> None:
    place, id = Place("pictures", "kept"), new_id()
    url = await Bucket(place, S3Settings(region="eu-central-1"), keys).presigned(id)
    assert url.startswith(f"https://pictures.s3.eu-central-1.amazonaws.com/kept/{id[:2]}/{id}?")
    url = await Bucket(place, S3Settings(region="eu-central-1", path_style=True), keys).presigned(id)
    assert url.startswith(f"https://s3.eu-central-1.amazonaws.com/pictures/kept/{id[:2]}/{id}?")


async def test_the_environment_takes_no_part_in_what_the_settings_name(
    strict_s3_server: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another account")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    shelf, id = Bucket(place, S3Settings(endpoint=strict_s3_server), keys), new_id()
    await shelf.put(id, chunks_of(b"picture"))
    url = await shelf.presigned(id)
    assert "Security-Token" not in url
    assert (await got(url)).content == b"picture"


async def test_keys_of_the_environment_that_end_are_told_in_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"), ("SESSION_TOKEN", "short-lived")):
        monkeypatch.setenv(f"AWS_{name}", value)
    url = await Bucket(Place("pictures", ""), S3Settings(), None).presigned(new_id())
    assert "X-Amz-Security-Token=short-lived" in url


async def test_without_any_keys_no_link_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    # The last place of AWS's chain is a machine's own address; here nobody listens at it.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    bucket = Bucket(Place("pictures", ""), S3Settings(), None)
    with pytest.raises(MediaFailed) as failed:
        await bucket.presigned(new_id())
    assert "127.0.0.1" not in str(failed.value)


async def test_only_pictures_have_links() -> None:
    bucket = Bucket(Place("pictures", ""), S3Settings(), keys)
    with pytest.raises(ValueError, match="no id"):
        await bucket.presigned("../../secret.png")


async def test_a_wrong_secret_makes_links_that_open_nothing(
    strict_s3_server: str, shelf: Bucket, place: Place
) -> None:
    id = new_id()
    await shelf.put(id, chunks_of(b"picture"))
    forger = Bucket(place, S3Settings(endpoint=strict_s3_server), lambda: (Secret(KEY), Secret("guessed")))
    assert (await got(await forger.presigned(id))).status_code == 403


async def test_keys_that_change_while_it_runs_are_used(
    strict_s3_server: str, shelf: Bucket, place: Place
) -> None:
    id = new_id()
    await shelf.put(id, chunks_of(b"picture"))
    found: list[tuple[Secret, Secret] | None] = [(Secret(KEY), Secret("of yesterday"))]

    def now() -> tuple[Secret, Secret]:
        if found[0] is None:
            raise SecretMissing("keys", "the file is being written")
        return found[0]

    bucket = Bucket(place, S3Settings(endpoint=strict_s3_server), now)
    assert (await got(await bucket.presigned(id))).status_code == 403
    found[0] = (Secret(KEY), Secret(KEY))
    assert (await got(await bucket.presigned(id))).status_code == 200
    found[0] = None
    assert (await got(await bucket.presigned(id))).status_code == 200
