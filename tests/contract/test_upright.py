"""Pictures that are stored on their side reach a target as they are meant to be seen."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from tests.contract.gateway_here import gateway_here
from tests.contract.upstreams_here import config
from tests.simulators.openai_upstream import Upstream


def on_its_side(format: str) -> bytes:
    """Stored 64x32, red on the left; a tag says to turn it by a quarter, which brings red to the top."""
    picture = Image.new("RGB", (64, 32), "blue")
    picture.paste("red", (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x112] = 6
    out = io.BytesIO()
    picture.save(out, format, exif=exif)
    return out.getvalue()


def is_upright(data: bytes) -> bool:
    seen = Image.open(io.BytesIO(data))
    red, _, blue = seen.convert("RGB").getpixel((16, 8))  # type: ignore[misc]
    return seen.size == (32, 64) and red > blue and seen.getexif().get(0x112, 1) == 1


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
async def test_a_file_and_a_data_url_are_turned_and_their_shape_counts(
    upstream: Upstream, tmp_path: Path, format: str
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    picture = on_its_side(format)
    fields = {"model": "gpt-image-2", "prompt": "a kite", "resolution": "1K"}
    async with gateway_here(config(upstream), tmp_path) as here:
        in_form = await here.client.post("/v1/images/edits", data=fields, files={"image": ("a", picture)})
        url = f"data:image/{format};base64,{base64.b64encode(picture).decode()}"
        in_json = await here.client.post("/v1/images/edits", json={**fields, "images": [{"image_url": url}]})
    for response in (in_form, in_json):
        assert response.status_code == 200, response.text
        assert response.json()["size"] == "720x1440"
    for call in upstream.images:
        (sent,) = call.files
        assert is_upright(sent.data)


async def test_an_upright_picture_goes_as_it_came(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    out = io.BytesIO()
    Image.new("RGB", (64, 32), "red").save(out, "JPEG")
    async with gateway_here(config(upstream), tmp_path) as here:
        await here.client.post(
            "/v1/images/edits",
            data={"model": "gpt-image-2", "prompt": "a kite"},
            files={"image": ("a.jpg", out.getvalue())},
        )
    (call,) = upstream.images
    assert [file.data for file in call.files] == [out.getvalue()]


async def test_one_that_cannot_be_read_is_the_targets_to_judge(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    cut = on_its_side("jpeg")[:-200]
    async with gateway_here(config(upstream), tmp_path) as here:
        await here.client.post(
            "/v1/images/edits",
            data={"model": "gpt-image-2", "prompt": "a kite"},
            files={"image": ("a.jpg", cut)},
        )
    assert [file.data for call in upstream.images for file in call.files] == [cut]
