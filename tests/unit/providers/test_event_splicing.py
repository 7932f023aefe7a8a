"""Events of another dialect become OpenAI's, however they are cut into chunks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping

import pytest

from providers.base import Certainty, Kind, ProviderError
from providers.event_splicing import events_as_openai
from providers.splicing import Path

PICTURE = "QUJD" * 5000


def is_picture(path: Path) -> bool:
    return path == ("b64_json",)


def told(document: dict[str, object]) -> Mapping[str, object] | None:
    return {"type": document["type"], "created_at": 1} if document["type"] == "wanted" else None


async def spoken(body: bytes, step: int) -> bytes:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(body), step):
            yield body[at : at + step]

    return b"".join([piece async for piece in events_as_openai(chunks(), is_picture, told, provider="p")])


def said(events: bytes) -> list[dict[str, object]]:
    return [json.loads(each.removeprefix(b"data: ")) for each in events.split(b"\n\n") if each]


@pytest.mark.parametrize("step", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
async def test_pictures_pass_whole_and_the_rest_is_said_anew(step: int, end: bytes) -> None:
    first = json.dumps({"type": "wanted", "b64_json": PICTURE}).encode()
    behind = json.dumps({"b64_json": PICTURE, "type": "wanted"}).encode()
    lines = [b": comment", b"", b"event: wanted", b"data: " + first, b"", b"data:" + behind, b"",
             b'data: {"type": "text", "text": "b64_json"}', b"", b"data: [DONE]", b"", b""]  # fmt: skip
    found = said(await spoken(end.join(lines), step))
    assert found == [{"b64_json": PICTURE, "type": "wanted", "created_at": 1}] * 2


async def test_an_event_that_is_not_relayed_has_no_name_of_an_image_event() -> None:
    (event,) = said(await spoken(b'data: {"b64_json": "QUJD", "type": "unwanted"}\n\n', 9))
    assert event["type"] == "withheld"


async def test_an_event_that_never_became_whole_is_none() -> None:
    assert not (await spoken(b'data: {"b64_json": "QUJD", "type": "wanted"}\n', 9)).endswith(b"\n\n")


@pytest.mark.parametrize("data", [b'{"b64_json": "QUJD"', b'{"b64_json": "QU\n\n', b"{]}",
                                  b'{"b64_json": "QUJD", "b64_json": "QUJD", "type": "wanted"}'])  # fmt: skip
async def test_an_event_that_cannot_be_read_is_a_bad_payload(data: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        await spoken(b"data: " + data + b"\n\n", 5)
    assert (caught.value.kind, caught.value.certainty) == (Kind.BAD_PAYLOAD, Certainty.ANSWERED)
