"""The fake upstream against the official SDK and raw sockets: a fake must be right before it can judge."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI
from PIL import Image

from tests.simulators import behaviours as do
from tests.simulators.http1 import chunk
from tests.simulators.models import MODELS
from tests.simulators.openai_upstream import AZURE_KEY, Upstream
from tests.simulators.pictures import picture
from tests.simulators.process import UpstreamProcess
from tests.simulators.refusals import REFUSALS
from tests.simulators.tokens import output_tokens, picture_tokens

FIVE_WORDS = "a red kite over dunes"
KEYS = ["created", "background", "data", "output_format", "quality", "size", "usage"]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=upstream.base_url, api_key=upstream.key, max_retries=0) as sdk:
        yield sdk


async def raw(upstream: Upstream, request: bytes, *, until: bytes | None = None) -> bytes:
    """Send bytes as they are; everything that comes back until the end or ``until``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await (reader.readuntil(until) if until else reader.read())
    finally:
        writer.close()


def post(
    upstream: Upstream, fields: object, *, path: str = "/v1/images/generations", more: str = ""
) -> bytes:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {upstream.key}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    ).encode() + body


async def ask(upstream: Upstream, fields: object, **more: Any) -> tuple[int, dict[str, str], bytes]:
    answer = await raw(upstream, post(upstream, fields, **more))
    top, _, body = answer.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, body


def opened(b64: str | None) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(b64 or "", validate=True)))
    image.load()
    return image


# -- good answers


async def test_the_sdk_generates_a_real_picture_of_the_asked_size(
    upstream: Upstream, client: AsyncOpenAI
) -> None:
    answer = await client.images.with_raw_response.generate(
        model="gpt-image-2", prompt=FIVE_WORDS, size="1536x1024", quality="high", n=2
    )
    images = answer.parse()
    assert [opened(item.b64_json).size for item in images.data or []] == [(1536, 1024)] * 2
    assert images.usage is not None
    assert (images.usage.input_tokens, images.usage.output_tokens) == (22, 2 * 5488)
    assert answer.headers["x-request-id"].startswith("req_")
    assert list(json.loads(answer.content)) == KEYS
    (call,) = upstream.calls
    assert call.fields["prompt"] == FIVE_WORDS
    assert (call.operation, call.status, call.answered, call.disconnected) == (
        "generations",
        200,
        True,
        False,
    )
    assert call.usage == json.loads(answer.content)["usage"]


@pytest.mark.parametrize(
    ("fmt", "size"), [("png", 1_000_000), ("jpeg", 1_000_000), ("webp", 1_000_000), ("png", 28_000_000)]
)
async def test_a_picture_is_valid_at_any_size_in_bytes(
    upstream: Upstream, client: AsyncOpenAI, fmt: Any, size: int
) -> None:
    upstream.plan(do.ok(bytes=size))
    answer = await client.images.with_raw_response.generate(
        model="gpt-image-2", prompt="x", output_format=fmt
    )
    assert size - 8 <= len(answer.content) <= size + 8
    (item,) = answer.parse().data or []
    image = opened(item.b64_json)
    assert (image.format or "").lower() == fmt
    assert image.size == (1024, 1024)


async def test_an_answer_can_be_as_small_as_one_kilobyte(upstream: Upstream) -> None:
    upstream.plan(do.ok(bytes=1024))
    _, _, body = await ask(upstream, {"model": "gpt-image-2", "prompt": "x"})
    assert len(body) <= 1024
    opened(json.loads(body)["data"][0]["b64_json"])


async def test_usage_can_stand_before_data_or_be_missing(upstream: Upstream) -> None:
    fields = {"model": "gpt-image-2", "prompt": "x"}
    upstream.plan(do.ok(usage="before"), do.ok(usage="none"))
    _, _, before = await ask(upstream, fields)
    _, _, none = await ask(upstream, fields)
    assert list(json.loads(before)) == ["created", "background", "usage", "data", *KEYS[3:6]]
    assert list(json.loads(none)) == KEYS[:6]


async def test_no_two_answers_hold_the_same_picture(upstream: Upstream, client: AsyncOpenAI) -> None:
    answers = [await client.images.generate(model="gpt-image-2", prompt="x", n=2) for _ in range(2)]
    pictures = [item.b64_json for answer in answers for item in answer.data or []]
    assert len(set(pictures)) == 4


async def test_good_answers_name_the_organisation_and_refusals_do_not(upstream: Upstream) -> None:
    status, headers, _ = await ask(upstream, {"model": "gpt-image-2", "prompt": "x"})
    assert (status, headers["openai-organization"], headers["openai-version"]) == (
        200,
        "org-sim",
        "2020-10-01",
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("x-ratelimit")]
    status, headers, _ = await ask(upstream, {"prompt": "x"})
    assert status == 400
    assert "openai-organization" not in headers


async def test_the_sdk_edits_with_two_files_and_a_mask(upstream: Upstream, client: AsyncOpenAI) -> None:
    first = picture("png", 1024, 1024, serial=1).data
    second = picture("jpeg", 1536, 1024, serial=2).data
    mask = picture("png", 1024, 1024, transparent=True).data
    answer = await client.images.edit(
        model="gpt-image-2",
        prompt=FIVE_WORDS,
        image=[("a.png", first, "image/png"), ("b.jpg", second, "image/jpeg")],
        mask=("mask.png", mask, "image/png"),
        quality="low",
    )
    assert answer.usage is not None
    assert answer.usage.input_tokens_details.image_tokens == 1024 + 1536
    (call,) = upstream.calls
    assert [(part.name, part.filename) for part in call.files] == [
        ("image[]", "a.png"),
        ("image[]", "b.jpg"),
        ("mask", "mask.png"),
    ]
    assert call.files[1].data == second
    assert call.fields == {"model": "gpt-image-2", "prompt": FIVE_WORDS, "quality": "low"}


async def test_a_json_edit_takes_data_urls(upstream: Upstream) -> None:
    url = "data:image/png;base64," + picture("png", 1024, 1024).b64.decode()
    status, _, body = await ask(
        upstream,
        {"model": "gpt-image-2", "prompt": "x", "images": [{"image_url": url}]},
        path="/v1/images/edits",
    )
    assert status == 200
    assert json.loads(body)["usage"]["input_tokens_details"]["image_tokens"] == 1024


async def test_models_are_listed_with_their_shutdown(upstream: Upstream, client: AsyncOpenAI) -> None:
    listed = {model.id: model for model in (await client.models.list()).data}
    assert set(listed) == set(MODELS)
    assert listed["gpt-image-1.5"].model_dump()["shutdown_date"] == "2026-12-01"
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("gpt-image-9")
    assert caught.value.code == "model_not_found"


# -- tokens


def test_output_tokens_are_those_of_the_published_table() -> None:
    two, newer, fixed = MODELS["gpt-image-2"], MODELS["gpt-image-2.5-flare"], MODELS["gpt-image-1.5"]
    assert [output_tokens(two, q, 1024, 1024) for q in ("low", "medium", "high")] == [196, 1756, 7024]
    assert [output_tokens(two, q, 3840, 2160) for q in ("low", "medium", "high")] == [371, 3336, 13342]
    assert [output_tokens(two, q, 1024, 640) for q in ("low", "medium", "high")] == [107, 956, 3824]
    assert [output_tokens(newer, q, 1536, 1024) for q in ("low", "xhigh", "max")] == [158, 2459, 5488]
    assert output_tokens(fixed, "high", 1024, 1536) == 6240


def test_input_tokens_are_those_of_the_recorded_calls() -> None:
    two, fixed = MODELS["gpt-image-2"], MODELS["gpt-image-1.5"]
    seen = [(1024, 1024), (1536, 1024), (341, 512), (1179, 2556)]
    assert [picture_tokens(two, *size, "low") for size in seen] == [1024, 1536, 704, 1482]
    assert picture_tokens(fixed, 1024, 1024, "low") == 194
    assert picture_tokens(fixed, 1024, 1024, "high") == 194 + 4160


# -- streams


async def test_a_stream_brings_partials_and_then_the_picture(client: AsyncOpenAI) -> None:
    events = await client.images.generate(model="gpt-image-2", prompt="x", stream=True, partial_images=2)
    got = [event async for event in events]
    assert [event.type for event in got] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    last = got[-1]
    assert last.type == "image_generation.completed"
    assert last.usage.output_tokens == 1756 + 200
    assert opened(last.b64_json).size == (1024, 1024)


async def test_a_streams_bytes_are_framed_as_documented(upstream: Upstream) -> None:
    _, headers, body = await ask(
        upstream, {"model": "gpt-image-2", "prompt": "x", "stream": True, "partial_images": 1}
    )
    assert headers["content-type"] == "text/event-stream"
    assert body.endswith(b"0\r\n\r\n")
    text = unchunked(body).decode()
    first, second, rest = text.split("\n\n")
    assert rest == ""
    assert first.startswith('event: image_generation.partial_image\ndata: {"type":"image_generation.partial')
    name, _, data = second.partition("\n")
    assert name == "event: image_generation.completed"
    event = json.loads(data.removeprefix("data: "))
    assert list(event) == [
        *("type", "b64_json", "created_at", "size", "quality", "background", "output_format", "usage")
    ]
    assert event["size"] == "auto"


def unchunked(body: bytes) -> bytes:
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return data


async def test_an_edit_streams_under_its_own_names(client: AsyncOpenAI) -> None:
    events = await client.images.edit(
        model="gpt-image-2", prompt="x", image=("a.png", b"any", "image/png"), stream=True
    )
    assert [event.type async for event in events] == ["image_edit.completed"]


async def test_a_stream_can_fail_with_an_error_event(upstream: Upstream, client: AsyncOpenAI) -> None:
    upstream.plan(do.stream_error(after_events=1))
    events = await client.images.generate(model="gpt-image-2", prompt="x", stream=True, partial_images=1)
    with pytest.raises(openai.APIError, match="could not be generated"):
        assert [event.type async for event in events] == []


@pytest.mark.parametrize("within", [False, True])
async def test_a_stream_can_be_cut_before_or_within_an_event(upstream: Upstream, within: bool) -> None:
    upstream.plan(do.stream_cut(1, within=within))
    _, _, body = await ask(
        upstream, {"model": "gpt-image-2", "prompt": "x", "stream": True, "partial_images": 2}
    )
    assert not body.endswith(b"0\r\n\r\n")
    assert body.count(b"event: ") == (2 if within else 1)
    assert body.count(b"\n\n") == 1
    assert not upstream.calls[0].answered


async def test_a_stream_can_end_in_silence(upstream: Upstream, client: AsyncOpenAI) -> None:
    upstream.plan(do.stream_end(1))
    events = await client.images.generate(model="gpt-image-2", prompt="x", stream=True, partial_images=2)
    assert [event.type async for event in events] == ["image_generation.partial_image"]


# -- refusals


@pytest.mark.parametrize(
    ("fields", "param", "code", "words"),
    [
        ({}, "model", "missing_required_parameter", "Missing required parameter: 'model'."),
        ({"model": None}, "model", "invalid_type", "expected a string, but got null"),
        ({"model": 7}, "model", "invalid_type", "an integer instead"),
        ({"model": "dall-e-3", "zoom": 1}, "model", "invalid_value", "The model 'dall-e-3' does not exist."),
        ({"response_format": None}, "response_format", "unknown_parameter", "Unknown parameter: "),
        ({"prompt": None}, "prompt", "invalid_type", "null"),
        ({"prompt": ""}, "prompt", "empty_string", "empty string"),
        ({"n": 0}, "n", "integer_below_min_value", "Expected a value >= 1, but got 0 instead."),
        ({"n": 11}, "n", "integer_above_max_value", "Expected a value <= 10, but got 11 instead."),
        ({"n": 1.5}, "n", "invalid_type", "expected an integer, but got a decimal number instead."),
        ({"n": "2"}, "n", "invalid_type", "a string instead."),
        ({"n": True}, "n", "invalid_type", "a boolean instead."),
        ({"output_compression": 101}, "output_compression", "integer_above_max_value", "<= 100"),
        ({"partial_images": -1}, "partial_images", "integer_below_min_value", ">= 0"),
        ({"quality": "ultra"}, "quality", "invalid_value", "'low', 'medium', 'high', and 'auto'."),
        ({"quality": "xhigh"}, "quality", "invalid_value", "does not support quality 'xhigh'"),
        ({"moderation": "bogus"}, "moderation", "invalid_value", "'auto' and 'low'."),
        ({"output_format": "bogus"}, "output_format", "invalid_value", "'png', 'jpeg', and 'webp'."),
        ({"background": "bogus"}, "background", "invalid_value", "'transparent', 'opaque', and 'auto'."),
        ({"size": "0x0"}, "size", "invalid_value", "Invalid size '0x0'. Expected WIDTHxHEIGHT"),
        ({"size": "1792x936"}, "size", "invalid_value", "must both be divisible by 16."),
        ({"size": "512x512"}, "size", "invalid_value", "below the current minimum pixel budget."),
        ({"size": "2304x4096"}, "size", "invalid_value", "must be less than or equal to 3840."),
        ({"stream": "yes"}, "stream", "invalid_type", "expected a boolean"),
        ({"image": "x"}, "image", "unknown_parameter", "Unknown parameter: 'image'."),
    ],
)
async def test_a_wrong_generation_is_refused_in_openais_words(
    upstream: Upstream, fields: dict[str, object], param: str, code: str, words: str
) -> None:
    whole = {"model": "gpt-image-2", "prompt": "x", **fields} if fields else {"prompt": "x"}
    status, _, body = await ask(upstream, whole)
    error = json.loads(body)["error"]
    assert (status, error["param"], error["code"]) == (400, param, code)
    assert list(error)[:4] == ["message", "type", "param", "code"]
    assert words in error["message"]
    assert upstream.calls[0].usage is None


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"image": "x"}, "image", "invalid_value"),
        ({"images": []}, "images", "empty_array"),
        ({"images": {}}, "images", "invalid_type"),
        ({"images": ["s"]}, "images[0]", "invalid_type"),
        ({}, "images", "missing_required_parameter"),
        ({"images": [{"file_id": "file-1"}], "input_fidelity": "high"}, *("input_fidelity",) * 1, None),
    ],
)
async def test_a_wrong_json_edit_is_refused_in_openais_words(
    upstream: Upstream, fields: dict[str, object], param: str, code: str | None
) -> None:
    whole = {"model": "gpt-image-2", "prompt": "x", **fields}
    status, _, body = await ask(upstream, whole, path="/v1/images/edits")
    error = json.loads(body)["error"]
    assert (status, error["param"]) == (400, param)
    assert error["code"] == (code or "invalid_input_fidelity_model")


def form(*parts: str) -> tuple[bytes, str]:
    body = "".join(f"--a=b\r\n{part}\r\n" for part in parts) + "--a=b--\r\n"
    return body.encode(), 'Content-Type: multipart/form-data; boundary="a=b"\r\n'


TEXTS = (
    "Content-Disposition: form-data; name=prompt\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nx",
    'Content-Disposition: form-data; name="model"\r\n\r\ngpt-image-2',
)


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("Content-Disposition: form-data; name=image; filename=a.png\r\n\r\nany", None),
        ("Content-Disposition: form-data; name=image; filename*=utf-8''a%20b.png\r\n\r\nany", None),
        (
            'Content-Disposition: form-data; name="image"\r\nContent-Type: image/png\r\n\r\nany',
            "invalid_type",
        ),
        (
            'Content-Disposition: form-data; name="image"; filename="upload"\r\n'
            "Content-Type: application/octet-stream\r\n\r\nany",
            "unsupported_file_mimetype",
        ),
        ('Content-Disposition: form-data; name="images"; filename="a.png"\r\n\r\nany', "invalid_value"),
        ('Content-Disposition: form-data; name="zoom"\r\n\r\n2', "unknown_parameter"),
    ],
)
async def test_a_form_is_read_as_openai_reads_it(upstream: Upstream, part: str, code: str | None) -> None:
    body, kind = form(*TEXTS, part)
    request = post(upstream, body, path="/v1/images/edits", more=kind).replace(
        b"Content-Type: application/json\r\n", b"", 1
    )
    answer = json.loads((await raw(upstream, request)).partition(b"\r\n\r\n")[2])
    assert answer.get("error", {}).get("code") == code


async def test_a_wrong_key_is_masked_and_a_missing_one_is_told(upstream: Upstream) -> None:
    async with AsyncOpenAI(
        base_url=upstream.base_url, api_key="sk-proj-0123456789abcdef", max_retries=0
    ) as sdk:
        with pytest.raises(openai.AuthenticationError) as caught:
            await sdk.images.generate(model="gpt-image-2", prompt="x")
    assert "sk-proj-************cdef" in str(caught.value)
    assert caught.value.response.headers["www-authenticate"] == 'Bearer realm="OpenAI API"'
    request = post(upstream, {}).replace(f"Authorization: Bearer {upstream.key}\r\n".encode(), b"")
    assert (await raw(upstream, request)).startswith(b"HTTP/1.1 401 ")


async def test_unknown_paths_are_an_empty_404(upstream: Upstream) -> None:
    status, headers, body = await ask(upstream, {}, path="/v1/images/variations")
    assert (status, headers["x-content-type-options"], body) == (404, "nosniff", b"")


@pytest.mark.parametrize("name", REFUSALS)
async def test_every_refusal_of_the_catalogue_can_be_planned(upstream: Upstream, name: str) -> None:
    upstream.plan(do.error(name))
    status, headers, body = await ask(upstream, {"model": "gpt-image-2", "prompt": "x"})
    known = REFUSALS[name]
    assert (status, headers.get("content-type", "")) == (known.status, known.content_type)
    assert len(body) == len(known.body)
    if known.own and known.body:
        assert "error" in json.loads(body)


async def test_the_sdk_sees_the_moderation_details(upstream: Upstream, client: AsyncOpenAI) -> None:
    upstream.plan(do.error("moderation"))
    with pytest.raises(openai.BadRequestError) as caught:
        await client.images.generate(model="gpt-image-2", prompt="x")
    assert caught.value.code == "moderation_blocked"
    assert caught.value.body["moderation_details"] == {  # type: ignore[index]
        "moderation_stage": "input",
        "categories": ["other"],
    }
    assert (caught.value.request_id or "") in str(caught.value)


# -- misbehaviour


async def test_an_answer_can_be_cut_after_so_many_bytes(upstream: Upstream) -> None:
    upstream.plan(do.cut(5000, bytes=1_000_000))
    _, headers, body = await ask(upstream, {"model": "gpt-image-2", "prompt": "x"})
    assert len(body) == 5000
    assert int(headers["content-length"]) > 999_000
    (call,) = upstream.calls
    assert (call.sent, call.answered, call.disconnected) == (5000, False, False)
    assert call.usage is not None


@pytest.mark.parametrize("at", ["during_body", "before_headers", "after_headers", 3000])
async def test_a_connection_can_be_reset_at_any_point(upstream: Upstream, at: Any) -> None:
    upstream.plan(do.reset(at))
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(post(upstream, {"model": "gpt-image-2", "prompt": "x", "size": "3840x2160"}))
    got = b""
    with pytest.raises(ConnectionResetError):
        while True:
            piece = await reader.read(65536)
            got += piece
            if not piece:
                pytest.fail("closed in good order")
    body = got.partition(b"\r\n\r\n")[2]
    assert len(body) == (3000 if at == 3000 else 0)
    assert bool(got) == (at in ("after_headers", 3000))
    writer.close()


async def test_silence_lasts_until_the_client_leaves(upstream: Upstream) -> None:
    upstream.plan(do.hang())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await raw(upstream, post(upstream, {"model": "gpt-image-2", "prompt": "x"}))
    (call,) = upstream.calls
    async with asyncio.timeout(2):
        await call.done.wait()
    assert (call.disconnected, call.answered, call.status) == (True, False, None)
    assert call.usage is not None


async def test_a_client_that_leaves_during_a_slow_answer_is_noticed(upstream: Upstream) -> None:
    upstream.plan(do.ok(bytes=200_000, drip=(10_000, 0.05)))
    await raw(upstream, post(upstream, {"model": "gpt-image-2", "prompt": "x"}), until=b"b64_json")
    (call,) = upstream.calls
    async with asyncio.timeout(2):
        await call.done.wait()
    assert call.disconnected
    assert 0 < call.sent < 200_000


@pytest.mark.parametrize(
    ("behaviour", "check"),
    [
        (do.empty_data(), lambda body: json.loads(body)["data"] == []),
        (do.empty_data(missing=True), lambda body: "data" not in json.loads(body)),
        (do.truncated_base64(), lambda body: len(json.loads(body)["data"][0]["b64_json"]) % 4 != 0),
        (do.bad_base64(), lambda body: b"*?" in body),
        (
            do.not_a_picture(),
            lambda body: base64.b64decode(json.loads(body)["data"][0]["b64_json"])[:4] == b"This",
        ),
        (do.nothing(), lambda body: body == b""),
        (do.ok(count=1), lambda body: len(json.loads(body)["data"]) == 1),
        (do.ok(compact=True), lambda body: b'"data":[{"b64_json":"' in body),
        (do.ok(framing="chunked"), lambda body: b'"data"' in unchunked(body)),
        (do.ok(framing="close"), lambda body: len(json.loads(body)["data"]) == 2),
        (do.html(200), lambda body: b"log in" in body),
        (do.error(418, {"detail": "tea"}), lambda body: json.loads(body) == {"detail": "tea"}),
    ],
)
async def test_an_answer_can_be_wrong_in_many_ways(
    upstream: Upstream, behaviour: do.Behaviour, check: Any
) -> None:
    upstream.plan(behaviour)
    _, _, body = await ask(upstream, {"model": "gpt-image-2", "prompt": "x", "n": 2})
    assert check(body)


async def test_json_that_does_not_close_keeps_its_promised_length(upstream: Upstream) -> None:
    upstream.plan(do.broken_json())
    _, headers, body = await ask(upstream, {"model": "gpt-image-2", "prompt": "x"})
    assert int(headers["content-length"]) == len(body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_a_length_can_be_a_lie(upstream: Upstream) -> None:
    upstream.plan(do.ok(lie=10))
    _, headers, body = await ask(upstream, {"model": "gpt-image-2", "prompt": "x"})
    assert int(headers["content-length"]) == len(body) + 10


async def test_an_early_refusal_does_not_wait_for_the_body(upstream: Upstream) -> None:
    upstream.plan(do.error("too_large", early=True))
    request = post(upstream, b"x").replace(b"Content-Length: 1\r\n", b"Content-Length: 5000000\r\n")
    answer = await raw(upstream, request, until=b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("text", "behaviour"),
    [
        ("ok bytes=1000 usage=none delay=0.5", do.ok(bytes=1000, usage="none", delay=0.5)),
        ("ok drip=100/0.5", do.ok(drip=(100, 0.5))),
        ("error rate_limit", do.error("rate_limit")),
        ("error 500", do.error(500)),
        ("cut 5000", do.cut(5000)),
        ("reset after_headers", do.reset("after_headers")),
        ("stream_cut 1 within=true", do.stream_cut(1, within=True)),
    ],
)
def test_a_behaviour_can_be_told_as_text(text: str, behaviour: do.Behaviour) -> None:
    assert do.from_text(text) == behaviour
    assert do.in_prompt(f"a kite [upstream: {text}] over dunes") == behaviour


# -- the wire


async def test_a_connection_serves_many_requests_with_any_framing(upstream: Upstream) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    text = json.dumps({"model": "gpt-image-2", "prompt": "x"}).encode()
    top = f"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {upstream.key}\r\n"
    top += "Content-Type: application/json\r\n"
    plain = f"{top}Content-Length: {len(text)}\r\n\r\n".encode() + text
    pieces = (
        f"{top}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk(text[:9]) + chunk(text[9:]) + chunk(b"")
    )
    expecting = f"{top}Content-Length: {len(text)}\r\nExpect: 100-continue\r\n\r\n".encode()

    async def answer() -> dict[str, Any]:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return dict(json.loads(await reader.readexactly(length)))

    writer.write(plain + pieces)  # two at once
    assert list(await answer()) == KEYS
    assert list(await answer()) == KEYS
    for byte in pieces:
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert list(await answer()) == KEYS
    writer.write(expecting)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(text)
    assert list(await answer()) == KEYS
    assert len({call.connection for call in upstream.calls}) == 1
    writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused(upstream: Upstream, request_bytes: bytes) -> None:
    assert (await raw(upstream, request_bytes)).startswith(b"HTTP/1.1 400 ")
    assert not upstream.calls


# -- Azure


async def test_azures_classic_form_takes_the_deployment_from_the_path(upstream: Upstream) -> None:
    async with AsyncAzureOpenAI(
        azure_endpoint=upstream.origin, api_key=AZURE_KEY, api_version="2025-04-01-preview", max_retries=0
    ) as sdk:
        with pytest.raises(openai.BadRequestError):  # the class leaves the deployment's name in the body
            await sdk.images.generate(model="img2-prod", prompt="x")
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.images.generate(model="gpt-image-2", prompt="x")
    assert caught.value.code == "DeploymentNotFound"
    assert upstream.calls[0].path == "/openai/deployments/img2-prod/images/generations"


async def test_azures_v1_form_takes_the_deployment_as_model(upstream: Upstream) -> None:
    async with AsyncOpenAI(
        base_url=f"{upstream.origin}/openai/v1",
        api_key="unused",
        default_headers={"api-key": AZURE_KEY},
        max_retries=0,
    ) as sdk:
        answer = await sdk.images.generate(model="img2-prod", prompt="x")
        assert answer.quality == "high"
        with pytest.raises(openai.BadRequestError):
            await sdk.images.generate(model="img2-prod", prompt="x", output_format="webp")
        with pytest.raises(openai.NotFoundError):
            await sdk.images.generate(model="other", prompt="x")


# -- as a process


def test_it_runs_as_a_process_and_takes_its_plan_over_http() -> None:
    with UpstreamProcess(default="ok bytes=1024") as process:
        process.plan("error overloaded")
        sdk = openai.OpenAI(base_url=process.base_url, api_key=process.key, max_retries=0)
        with pytest.raises(openai.InternalServerError):
            sdk.images.generate(model="gpt-image-2", prompt="x")
        assert sdk.images.generate(model="gpt-image-2", prompt="x [upstream: ok bytes=90000]").data
        assert [call["status"] for call in process.calls()] == [503, 200]
        assert process.stats()["calls"] == 2
        process.reset()
        assert process.calls() == []


def test_as_a_process_it_has_outages_and_hangs_until_it_is_woken() -> None:
    with UpstreamProcess(default="ok bytes=1024") as process:
        sdk = openai.OpenAI(base_url=process.base_url, api_key=process.key, max_retries=0, timeout=0.5)
        process.outage("error server_error")
        with pytest.raises(openai.InternalServerError):
            sdk.images.generate(model="gpt-image-2", prompt="x [upstream: ok bytes=90000]")
        process.outage(None)
        process.freeze()
        with pytest.raises(openai.APITimeoutError):
            sdk.images.generate(model="gpt-image-2", prompt="x")
        process.thaw()
        assert sdk.with_options(timeout=10).images.generate(model="gpt-image-2", prompt="x").data
