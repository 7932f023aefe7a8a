"""No way in leads past the limits: every route of the application is tried with a budget of nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

from litestar.routes import ASGIRoute

from tests.contract.gateway_here import KEY, gateway_here
from tests.contract.upstreams_here import config
from tests.simulators.openai_upstream import Upstream

BELOW = (
    "",
    "/images/generations",
    "/images/edits",
    "/gpt-image-2/images/generations",
    "/gpt-image-2/images/edits",
)


async def test_no_route_can_spend_without_a_hold(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    sha = hashlib.sha256(KEY.encode()).hexdigest()
    spent = config(upstream) + (
        f"\norganization: {{limits: [{{spend_usd: 0, per: total}}], projects: [{{name: t, keys: [{{name: k, "
        f'sha256: "{sha}"}}]}}]}}\n'
    )
    async with gateway_here(spent, tmp_path) as here:
        mounts = {route.path: isinstance(route, ASGIRoute) for route in here.gateway.app.routes}
        assert "/v1/images/generations" in mounts
        paths = {
            path.rstrip("/") + below
            for path, mounted in mounts.items()
            for below in (BELOW if mounted else ("",))
        }
        refused = 0
        for path in sorted(paths):
            for method in ("POST", "GET", "PUT"):
                for body in (
                    {"json": {"model": "gpt-image-2", "prompt": "x"}},
                    {"json": {"model": "gpt-image-2", "prompt": "x", "stream": True}},
                    {
                        "data": {"model": "gpt-image-2", "prompt": "x"},
                        "files": {
                            "image": ("a.png", (Path(__file__).parent / "dot.png").read_bytes(), "image/png")
                        },
                    },
                ):
                    if method != "POST" and "stream" not in str(body):
                        continue  # the body makes no difference to a method that no route takes
                    response = await here.client.request(method, path or "/", **body)
                    assert response.status_code != 500, (method, path, response.text)
                    refused += response.status_code == 429
        assert refused >= 8, "the image routes themselves were reached"
        assert list(upstream.images) == []
        assert await here.rows("attempts") == []
