"""Gemini's wire, with a key and on Google Cloud, and Imagen's."""

from __future__ import annotations

from typing import Any

from tests.conformance.saw import Saw, decoded, masked, size_of
from tests.conformance.stand import WIRE, Bench, Trouble, answering, json_stand
from tests.simulators.google_upstream import PROJECT, TOKEN, GoogleUpstream, fault, quota
from tests.simulators.json_upstream import Seen


def saw(call: Seen) -> Saw:
    return _predicted(call.fields) if call.path.endswith(":predict") else _generated(call.fields)


def _generated(fields: dict[str, Any]) -> Saw:
    parts = fields["contents"][0]["parts"]
    config = fields.get("generationConfig", {})
    image = config.get("imageConfig", {})
    output = image.get("imageOutputOptions", {})
    return Saw(
        prompt=parts[0]["text"],
        ratio=image.get("aspectRatio"),
        tier=image.get("imageSize"),
        seed=config.get("seed"),
        output_format=_after_slash(output.get("mimeType")),
        output_compression=output.get("compressionQuality"),
        inputs=tuple(size_of(decoded(part["inlineData"]["data"])) for part in parts[1:]),
    )


def _predicted(fields: dict[str, Any]) -> Saw:
    instance, parameters = fields["instances"][0], fields["parameters"]
    output = parameters.get("outputOptions", {})
    pictures: dict[str, list[bytes]] = {"REFERENCE_TYPE_RAW": [], "REFERENCE_TYPE_MASK": []}
    for each in instance.get("referenceImages", []):
        pictures[each["referenceType"]].append(decoded(each["referenceImage"]["bytesBase64Encoded"]))
    masks = pictures["REFERENCE_TYPE_MASK"]
    mask: dict[str, Any] = masked(masks[0], "white") if masks else {}
    return Saw(
        prompt=instance["prompt"],
        ratio=parameters.get("aspectRatio"),
        tier=parameters.get("sampleImageSize"),
        n=parameters["sampleCount"],
        negative_prompt=parameters.get("negativePrompt"),
        output_format=_after_slash(output.get("mimeType")),
        output_compression=output.get("compressionQuality"),
        inputs=tuple(size_of(each) for each in pictures["REFERENCE_TYPE_RAW"]),
        **mask,
    )


def _after_slash(media_type: str | None) -> str | None:
    return None if media_type is None else media_type.partition("/")[2]


_TROUBLES = {
    **WIRE,
    "unknown model": Trouble(model="gemini-none"),
    "rate limit": Trouble(plan=answering(quota("GenerateRequestsPerMinute", delay="17s")), pause=True),
    "no credit": Trouble(plan=answering(quota("GenerateRequestsPerDay", value="0"))),
    "overloaded": Trouble(plan=answering(fault(503, "UNAVAILABLE", "The model is overloaded."))),
    "bad request": Trouble(plan=answering(fault(400, "INVALID_ARGUMENT", "Bad field."))),
    "server error": Trouble(plan=answering(fault(500, "INTERNAL", "An internal error."))),
    "prompt refused": Trouble("a prohibited kite"),
    "picture refused": Trouble("image_safety"),
    "no picture": Trouble("no_image"),
}

GEMINI = json_stand(
    type="gemini",
    upstream=GoogleUpstream,
    account=lambda upstream, key: f'type: gemini, base_url: "{upstream.base_url}", api_key: "env:{key}"',
    benches=(
        Bench("gemini-3.1-flash-image"),
        Bench("gemini-3-pro-image"),
        Bench("gemini-2.5-flash-image"),
    ),
    saw=saw,
    troubles=_TROUBLES,
)
VERTEX = json_stand(
    type="vertex",
    upstream=GoogleUpstream,
    account=lambda upstream, key: (
        f'type: vertex, project: {PROJECT}, base_url: "{upstream.origin}", access_token: "env:{key}", '
        "imagen: true"
    ),
    key=lambda upstream: TOKEN,
    benches=(
        Bench("gemini-3.1-flash-image"),
        Bench("imagen-4.0-generate-001"),
        Bench("imagen-3.0-capability-001", edits=True),
    ),
    saw=saw,
    troubles=_TROUBLES,
)
