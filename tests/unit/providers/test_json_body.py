"""JSON bodies with files in them: whole JSON on the wire, the files read a piece at a time."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from providers.base import Certainty, InputRef, ProviderError
from providers.json_body import Inline, image_url, json_body
from tests.unit.providers.wire import Counted, picture_file


async def sent(document: dict[str, Any], weight: int = 0) -> tuple[Any, int, int]:
    """The document as it arrives, its length on the wire and the length that was announced."""
    upload = await json_body(document, weight=weight)
    raw = b"".join([piece async for piece in upload])
    return json.loads(raw), len(raw), upload.length


@pytest.mark.parametrize("weight", [0, 10**6])
async def test_files_stand_where_they_were_put(weight: int) -> None:
    one, two = Counted(b"\xff" * 700_001), Counted(b"two")
    document = {
        "prompt": "a \"cat\" ü \\",
        "image": {"url": Inline(one.file(), "data:image/png;base64,")},
        "more": [Inline(two.file()), {"n": 1}],
    }  # fmt: skip
    found, length, announced = await sent(document, weight)
    assert found == {
        "prompt": 'a "cat" ü \\',
        "image": {"url": "data:image/png;base64," + base64.b64encode(one.data).decode()},
        "more": [base64.b64encode(b"two").decode(), {"n": 1}],
    }
    assert length == announced
    assert (one.open_now, two.open_now) == (0, 0)
    assert one.largest_read <= 768 * 1024


async def test_a_picture_given_by_url_goes_as_its_url() -> None:
    found, _, _ = await sent({"image": image_url(InputRef("https://example.com/a.png"))})
    assert found == {"image": "https://example.com/a.png"}
    found, _, _ = await sent({"image": image_url(picture_file(b"A", content_type="image/webp"))})
    assert found == {"image": "data:image/webp;base64,QQ=="}


async def test_text_without_utf_8_is_not_sent() -> None:
    with pytest.raises(ProviderError) as failed:
        await json_body({"prompt": "\udfff"})
    assert (failed.value.certainty, failed.value.code) == (Certainty.NOT_SENT, "invalid_unicode")
