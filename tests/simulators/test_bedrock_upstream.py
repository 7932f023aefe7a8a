"""The fake Bedrock is one that AWS's own SDK can talk to: addresses, signatures, exceptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import Session

from tests.simulators.bedrock_upstream import EXCEPTIONS, REGION, BedrockUpstream, exception

MODEL = "stability.stable-image-core-v1:1"


@pytest.fixture
async def fake() -> AsyncIterator[BedrockUpstream]:
    async with BedrockUpstream() as running:
        yield running


async def invoke(fake: BedrockUpstream, body: dict[str, object], secret: str | None = None) -> Any:
    def call() -> Any:
        client = Session().create_client(
            "bedrock-runtime",
            REGION,
            endpoint_url=fake.origin,
            aws_access_key_id=fake.access_key,
            aws_secret_access_key=secret or fake.secret_key,
            config=Config(retries={"max_attempts": 0}, proxies={}),
        )
        answer = client.invoke_model(modelId=MODEL, body=json.dumps(body), contentType="application/json")
        return json.loads(answer["body"].read())

    return await asyncio.to_thread(call)


async def test_awss_sdk_gets_a_picture(fake: BedrockUpstream) -> None:
    answer = await invoke(fake, {"prompt": "a red kite", "seed": 5})
    assert (answer["seeds"], answer["finish_reasons"], len(answer["images"])) == ([5], [None], 1)
    assert fake.posts[0].target == "/model/stability.stable-image-core-v1%3A1/invoke"


async def test_awss_sdk_is_refused_for_a_wrong_secret(fake: BedrockUpstream) -> None:
    with pytest.raises(ClientError) as caught:
        await invoke(fake, {"prompt": "a red kite"}, "another")
    assert caught.value.response["Error"]["Code"] == "InvalidSignatureException"


@pytest.mark.parametrize("name", EXCEPTIONS)
async def test_awss_sdk_knows_every_exception(fake: BedrockUpstream, name: str) -> None:
    fake.plan(exception(name, "Something."))
    with pytest.raises(ClientError) as caught:
        await invoke(fake, {"prompt": "a red kite"})
    assert type(caught.value).__name__ == name
    assert caught.value.response["Error"]["Message"] == "Something."
    assert caught.value.response["ResponseMetadata"]["RequestId"] == "5f2c-refused"


@pytest.mark.parametrize(
    "wrong",
    [{"width": 1024}, {"aspect_ratio": "7:5"}, {"seed": -1}, {"output_format": "webp"}, {"prompt": ""}],
)
async def test_what_the_model_does_not_take_is_refused(
    fake: BedrockUpstream, wrong: dict[str, object]
) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        await invoke(fake, {"prompt": "a red kite", **wrong})
