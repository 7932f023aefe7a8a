"""The official Python SDK against a live gateway, unchanged but for ``base_url`` and key."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from openai.types import ImagesResponse
from PIL import Image

from tests.gateway_process import Gateway

PROMPT = "a lighthouse in a storm"


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.api, api_key=gateway.key, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
async def async_client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=gateway.api, api_key=gateway.key, max_retries=0, timeout=30) as client:
        yield client


def pictures(answer: ImagesResponse) -> list[Image.Image]:
    """The answer's pictures, decoded to their last pixel."""
    found: list[Image.Image] = []
    for item in answer.data or []:
        image = Image.open(io.BytesIO(base64.b64decode(item.b64_json or "", validate=True)))
        image.load()
        found.append(image)
    return found


def test_generate_gives_a_picture_of_the_asked_size(client: OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-2", prompt=PROMPT, size="1536x1024", quality="low")
    (image,) = pictures(answer)
    assert (image.format, image.size) == ("PNG", (1536, 1024))
    assert (answer.size, answer.quality, answer.output_format) == ("1536x1024", "low", "png")
    assert answer.background in ("opaque", "transparent")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0


def test_generate_n_pictures(client: OpenAI) -> None:
    answer = client.images.generate(model="sandbox", prompt=PROMPT, n=3)
    assert len(pictures(answer)) == 3


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_generate_in_the_asked_format(client: OpenAI, form: str) -> None:
    answer = client.images.generate(model="gpt-image-2", prompt=PROMPT, output_format=form)  # type: ignore[call-overload]
    assert [image.format for image in pictures(answer)] == [form.upper()]
    assert answer.output_format == form


def test_explicit_nulls_count_as_left_out(client: OpenAI) -> None:
    answer = client.images.generate(model="sandbox", prompt=PROMPT, n=None, size=None, quality=None)
    assert len(pictures(answer)) == 1


def test_the_answer_carries_a_request_id_and_the_gateway_s_headers(client: OpenAI) -> None:
    raw = client.images.with_raw_response.generate(model="sandbox", prompt=PROMPT)
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["content-type"] == "application/json"
    assert raw.headers["x-imagegate-provider"] == "sandbox"
    assert raw.headers["x-imagegate-attempts"] == "1"
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.parse()._request_id == raw.headers["x-request-id"]


def test_edit_one_file(client: OpenAI, picture: bytes) -> None:
    answer = client.images.edit(model="gpt-image-2", image=("in.png", picture, "image/png"), prompt=PROMPT)
    assert len(pictures(answer)) == 1


def test_edit_several_files(client: OpenAI, picture: bytes) -> None:
    answer = client.images.edit(
        model="gpt-image-2",
        image=[("a.png", picture, "image/png"), ("b.png", io.BytesIO(picture)), ("c.png", picture)],
        prompt=PROMPT,
        n=2,
    )
    assert len(pictures(answer)) == 2


def test_edit_with_a_mask(client: OpenAI, picture: bytes, mask: bytes) -> None:
    answer = client.images.edit(
        model="gpt-image-2",
        image=("in.png", picture),
        mask=("mask.png", mask),
        prompt=PROMPT,
        size="1024x1024",
    )
    assert [image.size for image in pictures(answer)] == [(1024, 1024)]


def test_edit_bytes_without_a_name(client: OpenAI, picture: bytes) -> None:
    """The SDK sends raw bytes as ``application/octet-stream`` named ``upload``."""
    assert len(pictures(client.images.edit(model="gpt-image-2", image=picture, prompt=PROMPT))) == 1
    assert (
        len(pictures(client.images.edit(model="gpt-image-2", image=[picture, picture], prompt=PROMPT))) == 1
    )


def test_edit_in_json_by_raw_post(client: OpenAI, picture: bytes) -> None:
    """No SDK has a method for the JSON form."""
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    body = {"model": "gpt-image-2", "prompt": PROMPT, "images": [{"image_url": url}, {"image_url": url}]}
    answer = client.post("/images/edits", cast_to=ImagesResponse, body=body)
    assert len(pictures(answer)) == 1


@pytest.mark.parametrize("partial", [0, 2])
def test_generate_as_a_stream(client: OpenAI, partial: int) -> None:
    with client.images.generate(
        model="gpt-image-2", prompt=PROMPT, stream=True, partial_images=partial, size="1024x1024"
    ) as stream:
        events = list(stream)
    assert [event.type for event in events[:-1]] == ["image_generation.partial_image"] * (len(events) - 1)
    assert len(events) - 1 <= partial
    last = events[-1]
    assert last.type == "image_generation.completed"
    assert last.usage.output_tokens > 0
    assert Image.open(io.BytesIO(base64.b64decode(last.b64_json))).size == (1024, 1024)


def test_edit_as_a_stream(client: OpenAI, picture: bytes) -> None:
    with client.images.edit(
        model="gpt-image-2", image=("in.png", picture), prompt=PROMPT, stream=True, partial_images=1
    ) as stream:
        events = list(stream)
    assert events[-1].type == "image_edit.completed"
    assert {event.type for event in events[:-1]} <= {"image_edit.partial_image"}


async def test_the_async_client_generates_edits_and_streams(
    async_client: AsyncOpenAI, picture: bytes
) -> None:
    assert len(pictures(await async_client.images.generate(model="hero", prompt=PROMPT, n=2))) == 2
    edited = await async_client.images.edit(model="hero", image=[picture, ("b.png", picture)], prompt=PROMPT)
    assert len(pictures(edited)) == 1
    stream = await async_client.images.generate(model="gpt-image-2", prompt=PROMPT, stream=True)
    assert [event.type async for event in stream][-1] == "image_generation.completed"


def test_models_are_those_the_key_may_use(client: OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {"sandbox", "gpt-image-2", "hero"}
    assert {model.object for model in models.values()} == {"model"}
    assert client.models.retrieve("gpt-image-2") == models["gpt-image-2"]
    assert models["gpt-image-2"].created > 0


def test_the_lumenfall_path_is_the_same(gateway: Gateway) -> None:
    with OpenAI(base_url=gateway.base_url + "/openai/v1", api_key=gateway.key, max_retries=0) as client:
        assert "sandbox" in {model.id for model in client.models.list()}
        answer = client.images.generate(model="sandbox", prompt=PROMPT, response_format="b64_json")
        assert len(pictures(answer)) == 1


def test_an_azure_client_works_by_deployment_and_api_key(gateway: Gateway, picture: bytes) -> None:
    with AzureOpenAI(
        azure_endpoint=gateway.base_url, api_key=gateway.key, api_version="2025-04-01-preview", max_retries=0
    ) as client:
        assert len(pictures(client.images.generate(model="gpt-image-2", prompt=PROMPT))) == 1
        assert len(pictures(client.images.edit(model="hero", image=picture, prompt=PROMPT))) == 1
    with AzureOpenAI(
        azure_endpoint=gateway.base_url, azure_deployment="hero", api_key=gateway.key, api_version="preview",
        max_retries=0,
    ) as client:  # fmt: skip
        assert len(pictures(client.images.generate(model="hero", prompt=PROMPT))) == 1
    with AzureOpenAI(
        azure_endpoint=gateway.base_url, api_key="wrong", api_version="preview", max_retries=0
    ) as client:
        with pytest.raises(openai.AuthenticationError):
            client.images.generate(model="hero", prompt=PROMPT)


def test_a_wrong_key_is_an_authentication_error(gateway: Gateway) -> None:
    with OpenAI(base_url=gateway.api, api_key="sk-wrong-key-that-is-long", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.images.generate(model="sandbox", prompt=PROMPT)
    error = caught.value
    assert (error.status_code, error.code, error.type) == (401, "invalid_api_key", "invalid_request_error")
    assert (error.request_id or "").startswith("req_")
    assert "key-that" not in error.message
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.headers["www-authenticate"].startswith("Bearer")


STRICT = {"x-imagegate-size-mode": "strict"}
"""Asks for OpenAI's own refusals in place of the nearest thing that can be served."""


def test_a_size_that_openai_refuses_is_served_as_the_nearest_and_told(client: OpenAI) -> None:
    raw = client.images.with_raw_response.generate(model="gpt-image-2", prompt=PROMPT, size="1792x936")
    answer = raw.parse()
    assert answer.size == "1792x944"
    assert [image.size for image in pictures(answer)] == [(1792, 944)]
    told = 'requested="1792x936", sent="1792x944", received="1792x944", rule=step'
    assert raw.headers["x-imagegate-size"] == told


def test_in_strict_mode_a_bad_size_is_a_bad_request_that_says_what_is_good(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="gpt-image-2", prompt=PROMPT, size="1792x936", extra_headers=STRICT)
    error = caught.value
    assert (error.param, error.code, error.type) == ("size", "invalid_value", "image_generation_user_error")
    assert "divisible by 16" in error.message


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 11}, "n", "integer_above_max_value"),
        ({"n": "2"}, "n", "invalid_type"),
        ({"quality": "ultra"}, "quality", "invalid_value"),
        ({"output_format": "bogus"}, "output_format", "invalid_value"),
        ({"prompt": ""}, "prompt", "empty_string"),
        ({"style": "vivid", "extra_headers": STRICT}, "style", "unknown_parameter"),
        ({"extra_body": {"qualty": "low"}}, "qualty", "unknown_parameter"),
    ],
)
def test_a_bad_field_is_named(client: OpenAI, fields: dict[str, object], param: str, code: str) -> None:
    body = {"model": "gpt-image-2", "prompt": PROMPT, **fields}
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**body)  # type: ignore[call-overload]
    assert (caught.value.param, caught.value.code) == (param, code)
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}


def test_a_missing_prompt_or_model_is_named(client: OpenAI) -> None:
    for missing in ("prompt", "model"):
        body = {"model": "gpt-image-2", "prompt": PROMPT}
        del body[missing]
        with pytest.raises(openai.BadRequestError) as caught:
            client.post("/images/generations", cast_to=ImagesResponse, body=body)
        assert (caught.value.param, caught.value.code) == (missing, "missing_required_parameter")


def test_a_refused_model_is_permission_denied(client: OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.images.generate(model="reserved", prompt=PROMPT)
    assert caught.value.param == "model"
    assert caught.value.request_id


def test_an_unknown_model_is_a_400_on_images_and_a_404_on_models(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model="no-such-model", prompt=PROMPT)
    assert (caught.value.param, caught.value.code) == ("model", "invalid_value")
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("no-such-model")
    assert (missing.value.param, missing.value.code) == ("model", "model_not_found")


def test_what_is_not_served_says_what_to_use(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-image-2", messages=[{"role": "user", "content": PROMPT}])
    assert caught.value.code == "unsupported_endpoint"
    assert "This gateway serves images" in caught.value.message
    assert caught.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ("[sandbox: 429]", openai.RateLimitError),
        ("[sandbox: 500]", openai.InternalServerError),
        ("[sandbox: 400]", openai.BadRequestError),
    ],
)
def test_an_upstream_failure_has_openai_s_class(
    client: OpenAI, told: str, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind) as caught:
        client.images.generate(model="sandbox", prompt=f"a cat {told}")
    assert caught.value.request_id
    assert "a cat" not in caught.value.message
