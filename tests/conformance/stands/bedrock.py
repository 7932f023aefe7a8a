"""Stability's models on AWS Bedrock."""

from __future__ import annotations

from typing import Any

from tests.conformance.saw import Saw, decoded, masked, size_of
from tests.conformance.stand import WIRE, Bench, Trouble, answering, json_stand
from tests.simulators.bedrock_upstream import REGION, BedrockUpstream, exception
from tests.simulators.json_upstream import Seen


def saw(call: Seen) -> Saw:
    fields: dict[str, Any] = call.fields
    inputs = [fields[name] for name in ("image", "init_image", "style_image") if name in fields]
    mask: dict[str, Any] = masked(decoded(fields["mask"]), "white") if "mask" in fields else {}
    return Saw(
        prompt=fields.get("prompt"),
        ratio=fields.get("aspect_ratio"),
        seed=fields.get("seed"),
        negative_prompt=fields.get("negative_prompt"),
        output_format=fields.get("output_format"),
        inputs=tuple(size_of(decoded(each)) for each in inputs),
        **mask,
    )


def _raises(name: str) -> Trouble:
    return Trouble(plan=answering(exception(name)))


BEDROCK = json_stand(
    type="bedrock",
    upstream=BedrockUpstream,
    account=lambda upstream, key: (
        f'type: bedrock, region: {REGION}, base_url: "{upstream.origin}", api_key: "env:{key}"'
    ),
    benches=(
        Bench("stability.stable-image-core-v1:1"),
        Bench("stability.sd3-5-large-v1:0"),
        Bench("us.stability.stable-image-inpaint-v1:0", edits=True, masked=True),
    ),
    saw=saw,
    troubles={
        **WIRE,
        "unknown model": _raises("ResourceNotFoundException"),
        "rate limit": _raises("ThrottlingException"),
        "overloaded": _raises("ServiceUnavailableException"),
        "bad request": _raises("ValidationException"),
        "server error": _raises("InternalServerException"),
        "prompt refused": Trouble("blocked"),
        "picture refused": Trouble("withheld"),
    },
)
