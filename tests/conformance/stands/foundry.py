"""FLUX and MAI on Microsoft Foundry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.conformance.saw import Saw, decoded, edges, size_of, whole
from tests.conformance.stand import WIRE, Bench, Trouble, answering, json_stand
from tests.simulators.azure_foundry_upstream import FoundryUpstream
from tests.simulators.forms import parse_form
from tests.simulators.json_upstream import Seen, said


def saw(call: Seen) -> Saw:
    fields: dict[str, Any] = call.fields
    inputs = [decoded(value) for name, value in fields.items() if name.startswith("input_image")]
    if call.headers["content-type"].startswith("multipart/"):
        inputs = [part.data for part in parse_form(call.headers["content-type"], call.body).files]
    return Saw(
        prompt=fields["prompt"],
        size=edges(fields),
        ratio=fields.get("aspect_ratio"),
        n=whole(fields.get("num_images")) or 1,
        seed=whole(fields.get("seed")),
        output_format=fields.get("output_format"),
        inputs=tuple(size_of(each) for each in inputs),
    )


def _fails(status: int, code: str, **headers: str) -> Trouble:
    reply = said(status, {"error": {"code": code, "message": "Something is wrong."}}, **headers)
    return Trouble(plan=answering(reply))


_TROUBLES = {
    **WIRE,
    "rate limit": replace(_fails(429, "429", retry_after="7"), pause=True),
    "bad request": _fails(400, "BadRequest"),
    "server error": _fails(500, "InternalServerError"),
    "overloaded": _fails(503, "ServiceUnavailable"),
    "prompt refused": Trouble("blocked"),
}

FLUX = json_stand(
    type="azure-flux",
    upstream=FoundryUpstream,
    account=lambda upstream, key: f'type: azure-flux, base_url: "{upstream.origin}", api_key: "env:{key}"',
    benches=(
        Bench("FLUX.2-pro"),
        Bench("FLUX-1.1-pro"),
        Bench("FLUX.1-Kontext-pro"),
    ),
    saw=saw,
    troubles={**_TROUBLES, "unknown model": _fails(404, "DeploymentNotFound")},
)
MAI = json_stand(
    type="azure-mai",
    upstream=FoundryUpstream,
    account=lambda upstream, key: f'type: azure-mai, base_url: "{upstream.origin}", api_key: "env:{key}"',
    benches=(Bench("my-mai", catalog="MAI-Image-2.6"),),
    saw=saw,
    troubles={**_TROUBLES, "unknown model": Trouble(model="no-deployment")},
)
