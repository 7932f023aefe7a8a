"""Links that lead straight to the bucket, from whole gateways to a server that verifies them."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner, Result
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image

from gateway.cli.media import media
from tests.buckets import KEY, new_bucket, objects_in
from tests.conftest import NOT_TESTED
from tests.contract.gateway_here import Here, gateway_here
from tests.gateway_process import Gateway
from tests.servers import NotObtainable, free_port
from tests.simulators.fault_proxy import FINE, Fault, FaultProxy
from tests.simulators.file_server import file_server, says, tls_for

SANDBOX = "providers: {sandbox: {type: sandbox, latency: 0}}"
ONCE = {"idempotency-key": "one picture"}
LATER = {"prefer": "respond-async"}


@pytest.fixture
def bucket(strict_s3_server: str) -> str:
    return new_bucket(strict_s3_server)


def written(endpoint: str, bucket: str, more: str = SANDBOX, *, lifetime: str = "1h", **s3: str) -> str:
    """A configuration whose pictures lie in ``bucket``; the keys and the secret lie above its folder."""
    keys = {"access_key_id": "file:../key", "secret_access_key": "file:../key"}
    s3 = {"endpoint": endpoint, "links": "presigned", **keys, **s3}
    settings = {
        "storage": {"media": f"s3://{bucket}/kept"},
        "media": {"link_lifetime": lifetime, "s3": s3},
    }
    return "\n".join([more, *(f"{name}: {json.dumps(value)}" for name, value in settings.items())]) + "\n"


@asynccontextmanager
async def presigning(
    folder: Path,
    endpoint: str,
    bucket: str,
    more: str = SANDBOX,
    *,
    spans: SpanProcessor | None = None,
    **words: str,
) -> AsyncIterator[Here]:
    """A gateway of :func:`written`. Those in folders side by side are replicas: they share a secret."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "secret").write_text("secret of all replicas")
    (folder.parent / "key").write_text(KEY)
    config = written(endpoint, bucket, f"{more}\nserver: {{secret: 'file:../secret'}}", **words)
    async with gateway_here(config, folder, spans=spans) as here:
        yield here


async def made(here: Here, headers: dict[str, str] | None = None, **fields: object) -> httpx.Response:
    body = {"model": "sandbox", "prompt": "a dot", "size": "1024x1024", "response_format": "url", **fields}
    answer = await here.client.post("/v1/images/generations", json=body, headers=headers)
    assert answer.status_code in (200, 202), answer.text
    return answer


async def edit_of(here: Here, link: str) -> httpx.Response:
    body = {"model": "sandbox", "prompt": "a dot", "images": [{"image_url": link}]}
    return await here.client.post("/v1/images/edits", json=body)


def links_in(answer: httpx.Response) -> list[str]:
    return [entry["url"] for entry in answer.json()["data"]]


async def got(url: str) -> httpx.Response:
    """By somebody without a key."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as anybody:
        return await anybody.get(url)


async def until_refused(url: str) -> httpx.Response:
    async with asyncio.timeout(20):
        while (reply := await got(url)).status_code == 200:
            await asyncio.sleep(0.1)
    return reply


async def command(folder: Path, *words: str) -> Result:
    """``imagegate media``, beside the gateway that runs in this process."""
    options = ["--config", str(folder / "gateway.yaml"), "--data", str(folder / "data")]
    return await asyncio.to_thread(CliRunner().invoke, media, [*words, *options])


async def test_anybody_gets_the_picture_from_the_bucket_and_nobody_with_another_link(
    tmp_path: Path, strict_s3_server: str, bucket: str
) -> None:
    async with presigning(tmp_path / "one", strict_s3_server, bucket) as here:
        answer = await made(here, n=2, output_format="webp")
        one, two = links_in(answer)
        assert one.startswith(f"{strict_s3_server}/{bucket}/kept/")
        whole = await got(one)
        with Image.open(io.BytesIO(whole.content)) as picture:
            assert (picture.format, picture.size) == ("WEBP", (1024, 1024))
        assert whole.headers["content-type"] == "image/webp"
        assert re.fullmatch(r'inline; filename="[0-9a-f]{16}\.webp"', whole.headers["content-disposition"])
        assert whole.headers["cache-control"] == "private, max-age=3600, immutable"
        assert (await got(two)).content != whole.content
        others = f"{urlsplit(one)._replace(query='').geturl()}?{urlsplit(two).query}"
        for wrong in (one[:-1] + ("1" if one[-1] == "0" else "0"), others, one.partition("?")[0]):
            assert (await got(wrong)).status_code == 403
        # The same bytes that a client without links gets, since the sandbox draws what the prompt says.
        encoded = (await made(here, n=2, output_format="webp", response_format="b64_json")).json()["data"]
        assert [base64.b64decode(entry["b64_json"]) for entry in encoded] == [
            whole.content,
            (await got(two)).content,
        ]


async def test_a_link_ends_with_its_lifetime_and_who_comes_back_gets_a_fresh_one(
    tmp_path: Path, strict_s3_server: str, bucket: str
) -> None:
    async with presigning(tmp_path / "one", strict_s3_server, bucket, lifetime="1s") as here:
        first = await made(here, ONCE)
        (link,) = links_in(first)
        assert "X-Amz-Expires=1&" in link
        assert (await until_refused(link)).status_code == 403
        async with asyncio.timeout(20):
            while True:  # a second is short for a slow machine
                again = await made(here, ONCE)
                assert again.headers["x-imagegate-replayed"] == "true"
                (fresh,) = links_in(again)
                assert fresh.partition("?")[0] == link.partition("?")[0]
                if (await got(fresh)).status_code == 200:
                    break
        assert len(await here.rows("attempts")) == 1


async def test_the_links_in_an_answer_that_is_fetched_later_are_fresh(
    tmp_path: Path, strict_s3_server: str, bucket: str
) -> None:
    async with presigning(tmp_path / "one", strict_s3_server, bucket, lifetime="2s") as here:
        record = (await made(here, LATER)).headers["location"]
        (link,) = await links_of_record(here, record)
        await until_refused(link)
        (fresh,) = await links_of_record(here, record)
        assert fresh.partition("?")[0] == link.partition("?")[0]


async def links_of_record(here: Here, path: str) -> list[str]:
    """Links that work, from the answer that the record of a call links to. All live for a time that may be
    short for a slow machine."""
    async with asyncio.timeout(20):
        while True:
            await asyncio.sleep(0.05)
            result = (await here.client.get(path)).json()["result"]
            if result is None:
                continue
            assert result["url"].startswith(f"{here.client.base_url}/media/"), (
                "the gateway renews what is in it"
            )
            document = await got(result["url"])
            if document.status_code != 200:
                continue
            assert document.headers["content-type"] == "application/json"
            links = links_in(document)
            if all([(await got(link)).status_code == 200 for link in links]):
                return links


@pytest.mark.parametrize("named_by", ["link", "request"])
async def test_a_revoked_picture_is_404_at_every_replica_and_in_the_bucket(
    tmp_path: Path, strict_s3_server: str, bucket: str, named_by: str
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    async with (
        presigning(one, strict_s3_server, bucket) as first,
        presigning(two, strict_s3_server, bucket, links="gateway") as second,
    ):
        answer = await made(first, n=2)
        kept, other = links_in(answer)
        (through,) = links_in(await made(second))
        assert urlsplit(through).path.startswith("/media/")
        assert (await first.client.get(through.replace(str(second.port), str(first.port)))).status_code == 200
        what = kept if named_by == "link" else answer.headers["x-request-id"]
        done = await command(two, "revoke", what, "--json")
        assert done.exit_code == 0, done.output
        gone = [kept] if named_by == "link" else [kept, other]
        assert len(json.loads(done.stdout)["removed"]) == len(gone)
        for link in (kept, other):
            assert (await got(link)).status_code == (404 if link in gone else 200)


async def test_no_link_is_in_a_trace(tmp_path: Path, strict_s3_server: str, bucket: str) -> None:
    spans, folder = InMemorySpanExporter(), tmp_path / "one"
    async with presigning(folder, strict_s3_server, bucket, spans=SimpleSpanProcessor(spans)) as here:
        (link,) = links_in(await made(here, ONCE))
        assert links_in(await made(here, ONCE)) != []
        for refused in (link, link.replace("http:", "https:")):
            assert (await edit_of(here, refused)).status_code == 400
        await here.rows("requests")
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "generate_content sandbox" in told
    no_part_of(link, told)


def test_no_link_is_in_the_log(
    tmp_path: Path, strict_s3_server: str, bucket: str, start_gateway: Callable[..., Gateway]
) -> None:
    (tmp_path / "key").write_text(KEY)
    gateway = start_gateway(written(strict_s3_server, bucket, SANDBOX), folder=tmp_path / "one")
    with httpx.Client(base_url=gateway.api, trust_env=False, timeout=30) as client:
        client.headers["authorization"] = f"Bearer {gateway.key}"
        body = {"model": "sandbox", "prompt": "a dot", "response_format": "url"}
        (link,) = links_in(client.post("/images/generations", json=body, headers=ONCE))
        assert httpx.get(link, trust_env=False).status_code == 200
        assert client.post("/images/generations", json=body, headers=ONCE).status_code == 200
        edit = {"model": "sandbox", "prompt": "a dot"}
        for refused in (link, link.replace("http:", "https:")):
            answer = client.post("/images/edits", json={**edit, "images": [{"image_url": refused}]})
            assert answer.status_code == 400
            assert "X-Amz" not in answer.text
    gateway.stop()
    assert '"event":"request"' in gateway.log_text().replace('": "', '":"')
    no_part_of(link, gateway.log_text())


def no_part_of(link: str, told: str) -> None:
    for part in ("X-Amz", urlsplit(link).path, link.rpartition("=")[2]):
        assert part not in told


async def test_a_question_of_the_price_stores_nothing(
    tmp_path: Path, strict_s3_server: str, bucket: str
) -> None:
    async with presigning(tmp_path / "one", strict_s3_server, bucket) as here:
        body = {"model": "sandbox", "prompt": "a dot", "response_format": "url"}
        asked = await here.client.post("/v1/images/generations?dryRun=true", json=body)
        assert asked.status_code == 200
    assert objects_in(strict_s3_server, bucket) == []


async def test_a_link_that_comes_back_as_an_input_is_fetched_as_it_was_signed(
    tmp_path: Path, strict_s3_server: str, bucket: str
) -> None:
    """The bucket's public address is inside here, so it must be named; the signature survives the guard."""
    try:
        context, authority = tls_for("IP:127.0.0.1", tmp_path)
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    async with file_server(tls=context) as front:
        more = f"{SANDBOX}\nupstream: {{ca_file: '{authority}'}}"
        async with presigning(
            tmp_path / "one", strict_s3_server, bucket, more, public_endpoint=front.origin
        ) as here:
            (link,) = links_in(await made(here))
            assert link.startswith(f"{front.origin}/{bucket}/kept/")
            refused = await edit_of(here, link)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "url_not_allowed")
            assert front.connections == 0
        config = (tmp_path / "one" / "gateway.yaml").read_text()
        named = config.replace(
            '"link_lifetime"', f'"fetch": {{"private_origins": ["{front.origin}"]}}, "link_lifetime"'
        )
        async with gateway_here(named, tmp_path / "one") as here:
            (link,) = links_in(await made(here))
            target = link.removeprefix(front.origin)
            drawn = io.BytesIO()
            Image.new("RGB", (64, 64), "red").save(drawn, "PNG")
            front.pages[target] = says(drawn.getvalue())
            edited = await edit_of(here, link)
            assert edited.status_code == 200, edited.text
            assert [visit.target for visit in front.visits] == [target]


@asynccontextmanager
async def large_pictures(folder: Path, endpoint: str, bucket: str) -> AsyncIterator[tuple[Here, bytes]]:
    """A gateway whose provider makes a picture of more than two parts, and that picture."""
    drawn = io.BytesIO()
    Image.frombytes("RGB", (2048, 2048), os.urandom(3 << 22)).save(drawn, "PNG", compress_level=0)
    async with file_server({"/made.png": says(drawn.getvalue())}) as provider:
        told = {"created": 1, "data": [{"url": f"{provider.origin}/made.png"}]}
        provider.pages["/v1/images/generations"] = says(json.dumps(told).encode(), kind="application/json")
        account = f"{{type: openai-compatible, base_url: '{provider.origin}/v1'}}"
        more = f"providers: {{gpu: {account}}}\nmodels: {{sandbox: {{targets: [{{provider: gpu}}]}}}}"
        async with presigning(folder, endpoint, bucket, more) as here:
            yield here, drawn.getvalue()


async def test_a_picture_of_many_megabytes_goes_up_in_parts(
    tmp_path: Path, strict_s3_server: str, bucket: str
) -> None:
    async with large_pictures(tmp_path / "one", strict_s3_server, bucket) as (here, drawn):
        (link,) = links_in(await made(here, size="auto"))
        assert (await got(link)).content == drawn


async def test_f61_a_bucket_that_breaks_off_an_upload_loses_no_paid_picture(
    tmp_path: Path, strict_s3_server: str, bucket: str
) -> None:
    async with FaultProxy(urlsplit(strict_s3_server).port or 0) as network:
        network.default = Fault(reset_request_after=3 << 20)
        async with large_pictures(tmp_path / "one", network.base_url, bucket) as (here, drawn):
            answer = await made(here, size="auto")
            (entry,) = answer.json()["data"]
            assert base64.b64decode(entry["b64_json"]) == drawn
            assert "response_format" in answer.headers["x-imagegate-adjustments"]
            (attempt,) = await here.rows("attempts")
            assert attempt["state"] == "settled"
            network.default = FINE
            assert objects_in(strict_s3_server, bucket) == []


async def test_f61_a_bucket_that_is_away_gives_base64(tmp_path: Path) -> None:
    async with presigning(tmp_path / "one", f"http://127.0.0.1:{free_port()}", "away") as here:
        answer = await made(here)
        (entry,) = answer.json()["data"]
        assert base64.b64decode(entry["b64_json"]).startswith(b"\x89PNG")
        assert 'response_format;from="url";to="b64_json"' in answer.headers["x-imagegate-adjustments"]
        (attempt,) = await here.rows("attempts")
        assert attempt["state"] == "settled"
