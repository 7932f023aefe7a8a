"""OpenAI's own dialect, at OpenAI, at Azure OpenAI and at any other host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tests.conformance.saw import Saw, decoded, masked, pixels, size_of, text, whole
from tests.conformance.stand import Bench, Stand, Trouble, Upstream
from tests.simulators import behaviours as do
from tests.simulators.behaviours import Behaviour
from tests.simulators.calls import Call
from tests.simulators.openai_upstream import KEY
from tests.simulators.openai_upstream import Upstream as OpenAIUpstream


def saw(call: Call) -> Saw:
    fields = call.fields
    masks = [part.data for part in call.files if part.name == "mask"]
    inputs = [part.data for part in call.files if part.name.startswith("image")]
    listed: Any = fields.get("images") or []
    inputs += [decoded(each["image_url"]) for each in listed if isinstance(each, Mapping)]
    mask: dict[str, Any] = masked(masks[0], "transparent") if masks else {}
    return Saw(
        prompt=text(fields.get("prompt")),
        size=pixels(fields.get("size")),
        n=whole(fields.get("n")) or 1,
        quality=text(fields.get("quality")),
        output_format=text(fields.get("output_format")),
        output_compression=whole(fields.get("output_compression")),
        background=text(fields.get("background")),
        seed=whole(fields.get("seed")),
        negative_prompt=text(fields.get("negative_prompt")),
        user=text(fields.get("user")),
        stream=fields.get("stream") in (True, "true"),
        inputs=tuple(size_of(each) for each in inputs),
        **mask,
    )


def _upstream() -> OpenAIUpstream:
    """With one key for all of its forms."""
    return OpenAIUpstream(azure_key=KEY)


def _calls(upstream: OpenAIUpstream) -> Sequence[Call]:
    return upstream.images


def _forget(upstream: OpenAIUpstream) -> None:
    upstream._plan.clear()


def _does(*planned: Behaviour) -> Trouble:
    def plan(upstream: Upstream) -> None:
        upstream.plan(*planned)

    return Trouble(plan=plan)


_TROUBLES = {
    "wrong key": Trouble(wrong_key=True),
    "unknown model": Trouble(model="gpt-image-none"),
    "rate limit": replace(_does(do.error("rate_limit")), pause=True),
    "no credit": _does(do.error("insufficient_quota")),
    "overloaded": _does(do.error("overloaded")),
    "bad request": _does(do.error("bad_size")),
    "prompt refused": _does(do.error("moderation")),
    "picture refused": _does(do.error("moderation_output")),
    "server error": _does(do.error("server_error")),
    "proxy's 502": _does(do.html(502)),
    "reset": _does(do.reset()),
    "cut answer": _does(do.cut(5000, bytes=20_000)),
    "no picture": _does(do.empty_data()),
}
_AT_AZURE = {
    **{name: trouble for name, trouble in _TROUBLES.items() if name not in ("picture refused", "no credit")},
    "unknown model": Trouble(model="no-deployment"),
    "rate limit": replace(_does(do.error("azure_rate_limit")), pause=True),
    "prompt refused": _does(do.error("azure_filter")),
}

_stand = partial(Stand, upstream=_upstream, calls=_calls, saw=saw, forget=_forget)

OPENAI = _stand(
    type="openai",
    account=lambda upstream, key: f'type: openai, base_url: "{upstream.base_url}", api_key: "env:{key}"',
    key=lambda upstream: upstream.key,
    benches=(Bench("gpt-image-2"), Bench("gpt-image-1.5"), Bench("gpt-image-2.6-sunburst")),
    troubles=_TROUBLES,
)
AZURE = _stand(
    type="azure-openai",
    account=lambda upstream, key: f'type: azure-openai, base_url: "{upstream.origin}", api_key: "env:{key}"',
    key=lambda upstream: upstream.azure_key,
    benches=(Bench("img2-prod", catalog="gpt-image-2"),),
    troubles=_AT_AZURE,
)
_HOUSE = Bench(
    "my-gpt-image-2",
    unknown=True,
    account=lambda upstream, key: (
        f'type: openai-compatible, base_url: "{upstream.origin}/openai/v1", headers: {{api-key: "env:{key}"}}'
    ),
    title="a model that nobody knows",
)
"""Azure's form of the simulator stands for a host whose models have names of its own."""

COMPATIBLE = _stand(
    type="openai-compatible",
    account=lambda upstream, key: (
        f'type: openai-compatible, base_url: "{upstream.base_url}", api_key: "env:{key}"'
    ),
    key=lambda upstream: upstream.key,
    benches=(Bench("gpt-image-2"), _HOUSE),
    troubles=_TROUBLES,
)
