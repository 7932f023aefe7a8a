"""OpenRouter's image endpoint."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from tests.conformance.saw import Saw, decoded, pixels, size_of
from tests.conformance.stand import WIRE, Bench, Trouble, json_stand, refusing
from tests.simulators.json_upstream import Seen
from tests.simulators.openrouter_upstream import OpenRouterUpstream


def saw(call: Seen) -> Saw:
    fields: dict[str, Any] = call.fields
    return Saw(
        prompt=fields["prompt"],
        size=pixels(fields.get("size")),
        ratio=fields.get("aspect_ratio"),
        tier=fields.get("resolution"),
        n=fields.get("n", 1),
        quality=fields.get("quality"),
        output_format=fields.get("output_format"),
        output_compression=fields.get("output_compression"),
        background=fields.get("background"),
        seed=fields.get("seed"),
        user=fields.get("user"),
        stream=fields.get("stream") is True,
        inputs=tuple(
            size_of(decoded(each["image_url"]["url"])) for each in fields.get("input_references", ())
        ),
    )


_says = partial(refusing, OpenRouterUpstream)

OPENROUTER = json_stand(
    type="openrouter",
    upstream=OpenRouterUpstream,
    account=lambda upstream, key: f'type: openrouter, base_url: "{upstream.base_url}", api_key: "env:{key}"',
    benches=(
        Bench("openai/gpt-image-2.5-sunburst"),
        Bench("google/gemini-3-pro-image"),
        Bench("x-ai/grok-imagine-image-2.0"),
    ),
    saw=saw,
    troubles={
        **WIRE,
        "unknown model": Trouble(model="nobody/nothing"),
        "rate limit": replace(_says("wait"), pause=True),
        "no credit": _says("credits"),
        "overloaded": _says("overloaded"),
        "bad request": _says("conflict"),
        "server error": _says("upstream"),
        "prompt refused": _says("flagged"),
        "no picture": Trouble("text only"),
    },
)
