"""Links to pictures over HTTP, from a whole gateway; what is wanted of it stands in docs/media.md."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import structlog
from PIL import Image

from providers.guarded import FetchFailed, Reason
from tests.buckets import new_bucket
from tests.conftest import NOT_TESTED
from tests.contract.gateway_here import Here, gateway_here
from tests.servers import NotObtainable
from tests.simulators.file_server import file_server, says, tls_for
from tests.unit.media.shelves import chunks_of

SANDBOX = "providers: {sandbox: {type: sandbox, latency: 0}}\n"
DATA = b"\x89PNG\r\n\x1a\n" + bytes(100_000)


async def kept(here: Here) -> tuple[str, str]:
    """The id of a picture, and the path of a link to it."""
    store = here.gateway.media
    stored = await store.put(chunks_of(DATA), "png", request_id="req_1")
    return stored.id, store.url(stored.id, "", now=datetime.now(UTC))


async def test_a_link_is_served_until_its_picture_is_removed(tmp_path: Path) -> None:
    async with gateway_here(SANDBOX, tmp_path) as here:
        id, link = await kept(here)
        async with httpx.AsyncClient(base_url=here.client.base_url, trust_env=False) as anybody:
            got = await anybody.get(link)
            assert (got.status_code, got.content) == (200, DATA)
            assert (await anybody.get(link + "0")).status_code == 403
            await here.gateway.media.delete(id)
            gone = await anybody.get(link)
            assert (gone.status_code, gone.json()["error"]["code"]) == (404, "media_gone")
        assert (tmp_path / "data" / "media").is_dir()


async def test_old_pictures_go_in_the_background(tmp_path: Path) -> None:
    settings = "media: {link_lifetime: 1ms, keep: 1ms, sweep_every: 50ms}\n"
    async with gateway_here(SANDBOX + settings, tmp_path) as here:
        id, _ = await kept(here)
        file = tmp_path / "data" / "media" / id[:2] / id
        async with asyncio.timeout(10):
            while file.exists():
                await asyncio.sleep(0.02)


async def test_several_replicas_give_out_each_others_pictures(tmp_path: Path, s3_server: str) -> None:
    bucket = new_bucket(s3_server)
    for name in ("key", "secret"):
        (tmp_path / name).write_text("test")
    s3 = {"endpoint": s3_server, "access_key_id": "file:../key", "secret_access_key": "file:../key"}
    config = (
        f"{SANDBOX}server: {{secret: 'file:../secret'}}\nstorage: {{media: 's3://{bucket}/kept'}}\n"
        f"media: {{s3: {json.dumps(s3)}}}\n"
    )
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    async with gateway_here(config, one) as first, gateway_here(config, two) as second:
        id, link = await kept(first)
        assert (await second.client.get(link)).content == DATA
        await second.gateway.media.delete(id)
        assert (await first.client.get(link)).status_code == 404


async def test_a_gateway_fetches_from_named_origins_alone(tmp_path: Path) -> None:
    async with file_server({"/a.png": says(DATA)}) as server:
        named = f"media: {{fetch: {{private_origins: ['{server.origin}']}}}}\n"
        async with gateway_here(SANDBOX + named, tmp_path) as here:
            async with here.gateway.fetch.fetch(f"{server.origin}/a.png") as chunks:
                assert b"".join([chunk async for chunk in chunks]) == DATA
            with pytest.raises(FetchFailed) as failed:
                async with here.gateway.fetch.fetch("http://127.0.0.1:1/a.png"):
                    pass
            assert failed.value.reason is Reason.FORBIDDEN


async def edit_of(here: Here, url: str) -> httpx.Response:
    body = {"model": "sandbox", "prompt": "a dot", "images": [{"image_url": url}]}
    return await here.client.post("/v1/images/edits", json=body)


async def test_f08_an_edit_of_a_picture_inside_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    async with gateway_here(SANDBOX, tmp_path) as here:
        for url in ("https://169.254.169.254/latest/", "https://localhost/a.png", "https://10.0.0.1/a.png"):
            refused = await edit_of(here, url)
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (400, "url_not_allowed")
            assert error["param"] == "images[0].image_url"
            assert "169.254" not in error["message"]
        assert (await edit_of(here, "http://127.0.0.1:1/a.png")).json()["error"]["code"] == "invalid_value"
        form = {
            "model": (None, "sandbox"),
            "prompt": (None, "a dot"),
            "image": (None, "https://10.0.0.1/a.png"),
        }
        with structlog.testing.capture_logs() as logged:
            in_form = (await here.client.post("/v1/images/edits", files=form)).json()["error"]
        assert (in_form["code"], in_form["param"]) == ("url_not_allowed", "image")
        blocked, request = logged
        assert (blocked["event"], blocked["host"], blocked["address"]) == (
            "ssrf_blocked",
            "10.0.0.1",
            "private",
        )
        assert (request["event"], request["host"], request["address"]) == ("request", "10.0.0.1", "private")
        assert await here.rows("attempts") == []


async def test_f07_a_picture_that_is_refused_is_logged_with_what_it_is(tmp_path: Path) -> None:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 30_000, 30_000, 8, 2, 0, 0, 0)
    async with gateway_here(SANDBOX, tmp_path) as here:
        with structlog.testing.capture_logs() as logged:
            for picture in (head + bytes(109_000), b"BM" + bytes(100)):
                refused = await here.client.post(
                    "/v1/images/edits",
                    data={"model": "sandbox", "prompt": "a dot"},
                    files={"image": ("a.png", picture)},
                )
                assert (refused.status_code, refused.json()["error"]["param"]) == (400, "image")
    bomb, unknown = (line for line in logged if line["event"] == "request")
    assert (bomb["error_code"], bomb["picture"], bomb["picture_type"]) == (
        "image_too_large",
        "30000x30000",
        "png",
    )
    assert (unknown["error_code"], unknown["picture_type"]) == ("unsupported_image", "unknown")


async def test_a_picture_at_a_named_origin_is_edited(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("RGB", (90, 30), "red").save(out, "PNG")
    try:
        context, authority = tls_for("IP:127.0.0.1", tmp_path)
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    async with file_server({"/wide.png": says(out.getvalue())}, tls=context) as server:
        config = (
            f"{SANDBOX}upstream: {{ca_file: '{authority.name}'}}\n"
            f"media: {{fetch: {{private_origins: ['{server.origin}']}}}}\n"
        )
        async with gateway_here(config, tmp_path) as here:
            made = await edit_of(here, f"{server.origin}/wide.png")
            assert made.status_code == 200, made.text
            assert len(made.json()["data"]) == 1
            missing_there = await edit_of(here, f"{server.origin}/none.png")
            assert missing_there.json()["error"]["code"] == "image_not_fetched"
    assert [visit.target for visit in server.visits] == ["/wide.png", "/none.png"]


@pytest.mark.parametrize("wanted", ["b64_json", "url"])
async def test_a_provider_inside_may_link_to_its_own_server(tmp_path: Path, wanted: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG")
    async with file_server({"/made.png": says(out.getvalue())}) as server:
        answer = {"created": 1, "data": [{"url": f"{server.origin}/made.png"}]}
        server.pages["/v1/images/generations"] = says(json.dumps(answer).encode(), kind="application/json")
        async with gateway_here(inside(server.origin), tmp_path) as here:
            made = await picture_of(here, wanted)
            assert made.status_code == 200, made.text
            assert made.json()["size"] == "64x64"


async def test_f63_a_provider_inside_may_not_link_to_other_servers_there(tmp_path: Path) -> None:
    async with file_server({"/made.png": says(DATA)}) as other, file_server() as server:
        answer = {"created": 1, "data": [{"url": f"{other.origin}/made.png"}]}
        server.pages["/v1/images/generations"] = says(json.dumps(answer).encode(), kind="application/json")
        async with gateway_here(inside(server.origin), tmp_path) as here:
            refused = await picture_of(here, "b64_json")
            assert (refused.status_code, refused.json()["error"]["code"]) == (502, "bad_upstream_url")
            assert other.origin not in refused.text
        assert other.connections == 0


def inside(origin: str) -> str:
    return (
        f"providers: {{gpu: {{type: openai-compatible, base_url: '{origin}/v1'}}}}\n"
        "models: {flux: {targets: [{provider: gpu}]}}\n"
    )


async def picture_of(here: Here, wanted: str) -> httpx.Response:
    body = {"model": "flux", "prompt": "a dot", "response_format": wanted}
    return await here.client.post("/v1/images/generations", json=body)
