"""A fake of one Microsoft Foundry resource beyond OpenAI's models: BFL's route for FLUX, and MAI's two.

Prompts that hold ``blocked`` meet Azure's content filter, ``moderated`` BFL's own in a 200; ``linked``
answers a link instead of base64, ``large`` a picture of 3 MB.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import Any

from PIL import Image

from tests.simulators.forms import parse_form
from tests.simulators.json_upstream import JSONUpstream, Reply, Seen, said

FLUX = {
    "flux-2-pro": {"inputs": 8, "pixels": 4_194_304, "step": 16},
    "flux-2-flex": {"inputs": 10, "pixels": 4_194_304, "step": 16},
    "flux-kontext-pro": {"inputs": 1, "pixels": 0, "step": 1},
    "flux-pro-1.1": {"inputs": 0, "pixels": 1_600_000, "step": 32},
}
DEPLOYMENTS = {
    "FLUX.2-pro": "flux-2-pro",
    "FLUX.2-flex": "flux-2-flex",
    "FLUX.1-Kontext-pro": "flux-kontext-pro",
    "FLUX-1.1-pro": "flux-pro-1.1",
    "my-flux": "flux-2-pro",
    "my-mai": "MAI-Image-2.6",
    "MAI-Image-2.5": "MAI-Image-2.5",
}
_COMMON = {"model", "prompt", "num_images", "output_format", "seed", "safety_tolerance"}
_RATIO = re.compile(r"(\d+):(\d+)")


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        self.reply = said(
            status, {"error": {"code": code, "message": message, **more}}, apim_request_id="r-1"
        )


class FoundryUpstream(JSONUpstream):
    """``key`` goes as a bearer token to FLUX and as ``api-key`` to MAI; ``token`` as a bearer to both."""

    key = "foundry-key-0123456789"
    token = "entra.token.of.tests"

    def answer(self, call: Seen) -> Reply:
        try:
            if call.method == "GET" and call.path == "/openai/v1/models":
                self._authenticate(call, key_as_bearer=True, key_by_itself=True)
                return said(200, {"object": "list", "data": [{"id": "gpt-image-2"}]})
            if found := re.fullmatch(r"/providers/blackforestlabs/v1/([^/]+)", call.path):
                self._authenticate(call, key_as_bearer=True)
                return self._flux(found[1], call)
            if found := re.fullmatch(r"/mai/v1/images/(generations|edits)", call.path):
                self._authenticate(call, key_by_itself=True)
                return self._mai(call, edit=found[1] == "edits")
            raise Refused(404, "404", "Resource not found")
        except Refused as refused:
            return refused.reply

    def _authenticate(self, call: Seen, *, key_as_bearer: bool = False, key_by_itself: bool = False) -> None:
        bearer = call.headers.get("authorization", "").removeprefix("Bearer ")
        accepted = {self.token, self.key} if key_as_bearer else {self.token}
        if bearer in accepted or (key_by_itself and call.headers.get("api-key") == self.key):
            return
        shown = call.headers.get("api-key", bearer)
        raise Refused(401, "401", f"Access denied due to invalid subscription key {shown}.")

    def _flux(self, path: str, call: Seen) -> Reply:
        fields = call.fields
        if path not in FLUX or "api-version" not in call.query:
            raise Refused(404, "404", "Resource not found")
        if DEPLOYMENTS.get(str(fields.get("model"))) != path:
            raise Refused(404, "DeploymentNotFound", "The API deployment for this resource does not exist.")
        limits = FLUX[path]
        allowed = _COMMON | ({"aspect_ratio"} if path == "flux-kontext-pro" else {"width", "height"})
        allowed |= {"guidance", "steps"} if path == "flux-2-flex" else set()
        count = int(limits["inputs"])
        allowed |= {"input_image"} if count else set()
        allowed |= {f"input_image_{number}" for number in range(2, count + 1)}
        if unknown := fields.keys() - allowed:
            raise Refused(400, "BadRequest", f"Extra inputs are not permitted: {sorted(unknown)[0]}")
        for name in fields:
            if name.startswith("input_image"):
                _check_picture(str(fields[name]), name)
        if not fields.get("prompt") or fields.get("output_format", "jpeg") not in ("jpeg", "png"):
            raise Refused(400, "BadRequest", "prompt or output_format is not valid")
        size = self._flux_size(fields, limits)
        self._filter(str(fields["prompt"]))
        if "moderated" in str(fields["prompt"]):
            return said(200, {"id": "t-1", "status": "Request Moderated", "result": None})
        if "linked" in str(fields["prompt"]):
            return said(200, {"created": 1, "data": [{"url": f"{self.origin}/made.png", "b64_json": None}]})
        made = self._drawn(fields, size, str(fields.get("output_format", "jpeg")))
        return said(200, {"created": 1, "data": [{"b64_json": made}]}, apim_request_id="r-2")

    @staticmethod
    def _flux_size(fields: dict[str, Any], limits: dict[str, int]) -> tuple[int, int]:
        if ratio := fields.get("aspect_ratio"):
            found = _RATIO.fullmatch(ratio)
            if not found or not 9 / 21 <= int(found[1]) / int(found[2]) <= 21 / 9:
                raise Refused(400, "BadRequest", "aspect_ratio must be between 21:9 and 9:21")
            root = (int(found[1]) / int(found[2])) ** 0.5
            return round(1024 * root), round(1024 / root)
        width, height = fields.get("width", 1024), fields.get("height", 1024)
        step, most = limits["step"], limits["pixels"]
        if width % step or height % step or min(width, height) < 64 or (most and width * height > most):
            raise Refused(400, "BadRequest", "width or height is not valid")
        return width, height

    def _mai(self, call: Seen, *, edit: bool) -> Reply:
        fields: dict[str, Any] = call.fields
        inputs = 0
        if edit:
            if not call.headers.get("content-type", "").startswith("multipart/form-data"):
                raise Refused(415, "UnsupportedMediaType", "Edits take multipart/form-data.")
            form = parse_form(call.headers["content-type"], call.body)
            fields = call.fields = dict(form.texts)
            if [part.name for part in form.files] != ["image"]:
                raise Refused(400, "invalid_request", "exactly one image is required")
            size = Image.open(io.BytesIO(form.files[0].data)).size
            inputs = size[0] * size[1] // 1024
        model = DEPLOYMENTS.get(str(fields.get("model")), "")
        if not model.startswith("MAI-"):
            raise Refused(404, "DeploymentNotFound", "The API deployment for this resource does not exist.")
        allowed = {"model", "prompt"} | (set() if edit else {"width", "height"})
        allowed |= {"auto_aspect_ratio", "web_grounding"} if "2.6" in model else set()
        if unknown := fields.keys() - allowed:
            raise Refused(400, "unsupported_request_value", f"Unknown parameter: {sorted(unknown)[0]}")
        if not edit:
            size = fields.get("width", 1024), fields.get("height", 1024)
            if min(size) < 768:
                raise Refused(400, "unsupported_request_value", "'width' must be at least 768 pixels.")
            if size[0] * size[1] > 1024 * 1024:
                raise Refused(400, "unsupported_request_value", "The area is too large.")
        self._filter(str(fields.get("prompt", "")))
        usage = {
            "num_output_tokens": size[0] * size[1] // 1024,
            "num_input_text_tokens": len(str(fields["prompt"]).split()),
            "num_input_image_tokens": inputs,
        }
        document = {"created": 1, "model": model, "size": f"{size[0]}x{size[1]}", "usage": usage}
        return said(200, {**document, "data": [{"b64_json": self._drawn(fields, size, "png")}]})

    @staticmethod
    def _filter(prompt: str) -> None:
        if "blocked" in prompt:
            raise Refused(
                400,
                "content_policy_violation",
                "Blocked by the safety system.",
                type="invalid_request_error",
                inner_error={
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_results": {"violence": {"filtered": True, "severity": "high"}},
                },
            )

    def _drawn(self, fields: dict[str, Any], size: tuple[int, int], format: str) -> str:
        large = 3_000_000 if "large" in str(fields.get("prompt")) else 0
        return self.drawn(*size, format=format, size=large)


def _check_picture(encoded: str, name: str) -> None:
    try:
        Image.open(io.BytesIO(base64.b64decode(encoded, validate=True)))
    except (binascii.Error, OSError):
        raise Refused(400, "BadRequest", f"{name} is not base64 of a picture") from None
