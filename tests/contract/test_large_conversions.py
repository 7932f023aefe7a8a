"""While large pictures are converted, other requests are answered as if nothing were."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from time import perf_counter

import pytest
from PIL import Image

from tests.contract.gateway_here import Here, gateway_here
from tests.contract.test_media import inside
from tests.simulators.file_server import file_server, says

SIZE = (3840, 2160)
MOST = 0.25
"""Of the time that both conversions take; one of them on the event loop would have a probe wait longer."""


def answer() -> bytes:
    """Neither flat nor noise, so that encoders have to work."""
    across = Image.linear_gradient("L").resize(SIZE)
    down = Image.radial_gradient("L").resize(SIZE)
    out = io.BytesIO()
    grain = Image.effect_noise(SIZE, 20)
    Image.merge("RGB", (across, down, grain)).save(out, "PNG", compress_level=1)
    encoded = base64.b64encode(out.getvalue()).decode()
    return json.dumps({"created": 1, "data": [{"b64_json": encoded}]}).encode()


@pytest.mark.timeout(300)
async def test_a_4k_png_to_webp_and_avif_stalls_nobody(tmp_path: Path) -> None:
    page = says(await asyncio.to_thread(answer), kind="application/json")
    async with (
        file_server({"/v1/images/generations": page}) as server,
        gateway_here(inside(server.origin), tmp_path) as here,
    ):
        converting = [asyncio.create_task(converted(here, format)) for format in ("webp", "avif")]
        waits, begun = [], perf_counter()
        while not all(task.done() for task in converting):
            began = perf_counter()
            assert (await here.client.get("/livez")).status_code == 200
            waits.append(perf_counter() - began)
            await asyncio.sleep(0.01)
        for task in converting:
            task.result()
        took = perf_counter() - begun
    assert len(waits) > 20
    assert max(waits) < took * MOST


async def converted(here: Here, format: str) -> None:
    body = {"model": "flux", "prompt": "a dot", "output_format": format, "response_format": "url"}
    response = await here.client.post("/v1/images/generations", json=body)
    assert response.status_code == 200, response.text
    told = response.json()
    assert (told["output_format"], told["size"]) == (format, "3840x2160")
