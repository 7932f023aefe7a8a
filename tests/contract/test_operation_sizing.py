"""A size beside an edit that keeps its picture's own, at three providers: planned as it is called."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.contract.adapters_here import edited
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.pictures import picture, png
from tests.property.test_served import dictionary
from tests.simulators.azure_foundry_upstream import FoundryUpstream
from tests.simulators.bedrock_upstream import REGION, BedrockUpstream
from tests.simulators.xai_upstream import XAIUpstream

SD35, OUTPAINT = "stability.sd3-5-large-v1:0", "us.stability.stable-outpaint-v1:0"
KEEP = {"sd35": (96, 80), "mai": (800, 768), "grok": None}
SOURCE = {"sd35": png(96, 80), "mai": png(800, 768), "grok": png(96, 80)}

Fakes = tuple[BedrockUpstream, FoundryUpstream, XAIUpstream]


@pytest.fixture
async def fakes() -> AsyncIterator[Fakes]:
    async with BedrockUpstream() as aws, FoundryUpstream() as azure, XAIUpstream() as xai:
        yield aws, azure, xai


@pytest.fixture
async def here(fakes: Fakes, tmp_path: Path) -> AsyncIterator[Here]:
    aws, azure, xai = fakes
    for name, text in (("a", aws.access_key), ("s", aws.secret_key), ("f", azure.key), ("x", xai.key)):
        (tmp_path / name).write_text(text)
    signed = 'access_key_id: "file:a", secret_access_key: "file:s"'
    text = f"""
providers:
  aws: {{type: bedrock, region: {REGION}, base_url: "{aws.origin}", {signed}}}
  mai: {{type: azure-mai, api_key: "file:f", base_url: "{azure.origin}"}}
  xai: {{type: xai, api_key: "file:x", base_url: "{xai.base_url}"}}
models:
  sd35: {{targets: [{{provider: aws, model: "{SD35}"}}]}}
  outpaint: {{targets: [{{provider: aws, model: "{OUTPAINT}"}}]}}
  mai: {{targets: [{{provider: mai, model: my-mai, catalog: MAI-Image-2.6}}]}}
  grok: {{targets: [{{provider: xai, model: grok-imagine-image}}]}}
"""
    async with gateway_here(text, tmp_path) as running:
        yield running


async def dry(here: Here, model: str, *given: bytes, **fields: str) -> httpx.Response:
    files = [("image[]", (f"{number}.png", data, "image/png")) for number, data in enumerate(given)]
    body = {"model": model, "prompt": "make it blue", **fields}
    return await here.client.post("/v1/images/edits?dryRun=true", data=body, files=files)


def calls(fakes: Fakes) -> int:
    return sum(len(fake.posts) for fake in fakes)


@pytest.mark.parametrize("model", KEEP)
async def test_it_is_served_in_the_pictures_size_and_both_say_so(
    here: Here, fakes: Fakes, model: str
) -> None:
    planned = await dry(here, model, SOURCE[model], size="1024x1024")
    assert planned.status_code == 200, planned.text
    (candidate,) = planned.json()["plan"]
    assert (candidate["size"]["sent"], candidate["size"]["rule"]) == ("auto", "nearest")
    assert not {"size", "aspect_ratio", "resolution"} & set(candidate["request"])
    assert calls(fakes) == 0
    response = await edited(here, model, SOURCE[model], size="1024x1024")
    assert response.status_code == 200, response.text
    told = dictionary(response.headers["x-imagegate-size"])
    assert (told["requested"], told["sent"], told["rule"]) == ("1024x1024", "auto", "nearest")
    made = picture(response.json()).size
    assert made == (KEEP[model] or made)
    assert calls(fakes) == 1


@pytest.mark.parametrize("model", KEEP)
async def test_in_strict_mode_both_refuse_it_alike(here: Here, fakes: Fakes, model: str) -> None:
    here.client.headers["x-imagegate-size-mode"] = "strict"
    planned = await dry(here, model, SOURCE[model], size="1024x1024")
    response = await edited(here, model, SOURCE[model], size="1024x1024")
    assert planned.json() == response.json()
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "size")
    assert "The nearest that it serves: auto." in error["message"]
    assert (calls(fakes), await here.rows("attempts")) == (0, [])


async def test_several_pictures_may_have_a_ratio_where_one_may_not(here: Here, fakes: Fakes) -> None:
    response = await edited(here, "grok", SOURCE["grok"], SOURCE["grok"], aspect_ratio="3:2")
    assert response.status_code == 200, response.text
    assert fakes[2].posts[0].fields["aspect_ratio"] == "3:2"
    (target,) = (await here.client.get("/v1/models/grok?schema=true")).json()["targets"]
    assert (target["sizing"]["kind"], target["single_edit_sizing"]) == ("ratios", {"kind": "input"})


async def test_a_field_without_which_there_is_nothing_to_do_is_asked_for_before_anything_is_held(
    here: Here, fakes: Fakes
) -> None:
    planned = await dry(here, "outpaint", SOURCE["sd35"], left="0")
    response = await edited(here, "outpaint", SOURCE["sd35"], left="0")
    assert planned.json() == response.json()
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "left")
    assert "'left', 'right', 'up', and 'down'" in error["message"]
    assert (calls(fakes), await here.rows("attempts")) == (0, [])
    served = await edited(here, "outpaint", SOURCE["sd35"], up="16")
    assert served.status_code == 200, served.text
