"""xAI's image API."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from tests.conformance.saw import Saw, decoded, size_of
from tests.conformance.stand import WIRE, Bench, Trouble, json_stand, refusing
from tests.simulators.json_upstream import Seen
from tests.simulators.xai_upstream import XAIUpstream


def saw(call: Seen) -> Saw:
    fields: dict[str, Any] = call.fields
    given = fields.get("images") or ([fields["image"]] if "image" in fields else [])
    return Saw(
        prompt=fields["prompt"],
        ratio=fields.get("aspect_ratio"),
        tier=fields.get("resolution"),
        n=fields.get("n", 1),
        quality=fields.get("quality"),
        user=fields.get("user"),
        inputs=tuple(size_of(decoded(each["url"])) for each in given),
    )


_says = partial(refusing, XAIUpstream)

XAI = json_stand(
    type="xai",
    upstream=XAIUpstream,
    account=lambda upstream, key: f'type: xai, base_url: "{upstream.base_url}", api_key: "env:{key}"',
    benches=(Bench("grok-imagine-image-2.0"), Bench("grok-imagine-image")),
    saw=saw,
    troubles={
        **WIRE,
        "unknown model": Trouble(model="grok-none"),
        "rate limit": replace(_says("rate"), pause=True),
        "no credit": _says("credits"),
        "bad request": _says("envelope"),
        "server error": _says("server"),
        "prompt refused": _says("guidelines"),
        "picture refused": Trouble("withheld"),
    },
)
