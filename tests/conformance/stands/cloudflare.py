"""Workers AI: JSON for some models, forms for FLUX.2."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from tests.conformance.saw import Saw, decoded, edges, masked, size_of, text, whole
from tests.conformance.stand import WIRE, Bench, Trouble, json_stand, refusing
from tests.simulators.cloudflare_upstream import CloudflareUpstream
from tests.simulators.forms import parse_form
from tests.simulators.json_upstream import Seen


def saw(call: Seen) -> Saw:
    fields: dict[str, Any] = call.fields
    inputs: list[bytes] = []
    if call.headers["content-type"].startswith("multipart/"):
        form = parse_form(call.headers["content-type"], call.body)
        fields, inputs = dict(form.texts), [part.data for part in form.files]
    if "image_b64" in fields:
        inputs = [decoded(fields["image_b64"])]
    mask: dict[str, Any] = masked(bytes(fields["mask"]), "white") if "mask" in fields else {}
    return Saw(
        prompt=fields["prompt"],
        size=edges(fields),
        seed=whole(fields.get("seed")),
        negative_prompt=text(fields.get("negative_prompt")),
        inputs=tuple(size_of(each) for each in inputs),
        **mask,
    )


_says = partial(refusing, CloudflareUpstream)

CLOUDFLARE = json_stand(
    type="cloudflare",
    upstream=CloudflareUpstream,
    account=lambda upstream, key: (
        f'type: cloudflare, account_id: {upstream.account}, base_url: "{upstream.base_url}", '
        f'api_key: "env:{key}"'
    ),
    benches=(
        Bench("@cf/black-forest-labs/flux-2-dev"),
        Bench("@cf/black-forest-labs/flux-1-schnell"),
        Bench("@cf/leonardo/phoenix-1.0"),
        Bench("@cf/runwayml/stable-diffusion-v1-5-inpainting", edits=True, masked=True),
    ),
    saw=saw,
    troubles={
        **WIRE,
        "unknown model": Trouble(model="@cf/nobody/nothing"),
        "rate limit": replace(_says("day"), pause=True),
        "overloaded": _says("capacity"),
        "bad request": _says("large"),
        "server error": _says("server"),
        "prompt refused": _says("unsafe"),
    },
)
