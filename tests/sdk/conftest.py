"""The gateway that SDK and client tests share: one process a test process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests import gateway_process
from tests.gateway_process import Gateway

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """tests/sdk/sandbox.yaml, running."""
    config = (HERE / "sandbox.yaml").read_text(encoding="utf-8")
    running = gateway_process.launch(config, folder=tmp_path_factory.mktemp("sdk-gateway"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A PNG of 1024×1024, opaque."""
    return _png("RGB", (40, 90, 160))


@pytest.fixture(scope="session")
def mask() -> bytes:
    """A PNG of the same size whose left half is transparent."""
    image = Image.new("RGBA", (1024, 1024), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 512, 1024))
    return _bytes(image)


def _png(mode: str, colour: tuple[int, ...]) -> bytes:
    return _bytes(Image.new(mode, (1024, 1024), colour))


def _bytes(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
