"""A fake of Workers AI: each model's own schema, forms for FLUX.2, the picture itself from some models, and
the numbers of its errors."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tests.simulators.forms import BrokenForm, parse_form
from tests.simulators.json_upstream import JSONUpstream, Reply, Seen, said
from tests.simulators.pictures import picture


def failed(status: int, number: int, message: str, **headers: str) -> Reply:
    document = {
        "result": None,
        "success": False,
        "errors": [{"code": number, "message": message}],
        "messages": [],
    }
    return said(status, document, **headers)


class Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Schema:
    """``fields`` besides the prompt; ``edges`` of width and height; ``usual`` size; ``raw`` answers bytes."""

    fields: frozenset[str]
    edges: tuple[int, int] = (1024, 1024)
    usual: tuple[int, int] = (1024, 1024)
    form: bool = False
    raw: str | None = None


_SD = frozenset(
    {"negative_prompt", "width", "height", "num_steps", "guidance", "strength", "seed", "image_b64", "mask"}
)
_KLEIN = frozenset({"width", "height", "seed", "guidance"})
MODELS = {
    "@cf/black-forest-labs/flux-1-schnell": Schema(frozenset({"steps", "seed"})),
    "@cf/black-forest-labs/flux-2-dev": Schema(_KLEIN | {"steps"}, (256, 1920), (1024, 768), form=True),
    "@cf/black-forest-labs/flux-2-klein-9b": Schema(_KLEIN, (256, 1920), (1024, 768), form=True),
    "@cf/leonardo/lucid-origin": Schema(
        frozenset({"width", "height", "guidance", "num_steps", "steps", "seed"}), (0, 2500), (1120, 1120)
    ),
    "@cf/leonardo/phoenix-1.0": Schema(
        frozenset({"width", "height", "guidance", "num_steps", "seed", "negative_prompt"}),
        (0, 2048),
        raw="jpeg",
    ),
    "@cf/stabilityai/stable-diffusion-xl-base-1.0": Schema(_SD, (256, 2048), raw="png"),
    "@cf/runwayml/stable-diffusion-v1-5-img2img": Schema(_SD, (256, 2048), raw="png"),
    "@cf/runwayml/stable-diffusion-v1-5-inpainting": Schema(_SD, (256, 2048), raw="png"),
}  # fmt: skip


class CloudflareUpstream(JSONUpstream):
    """Prompts that hold ``unsafe`` are refused; ``late failure`` fails inside a 200; ``large`` answers
    pictures of 3 MB. ``inputs`` are the sizes of the pictures that FLUX.2 was sent, ``masks`` the masks."""

    key = "cf-0123456789abcdefghij"
    account = "abc123"

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[tuple[int, int]] = []
        self.masks: list[bytes] = []

    @property
    def base_url(self) -> str:
        return f"{self.origin}/client/v4"

    @staticmethod
    def refusal(kind: str) -> Reply:
        if kind == "edge":
            return Reply(502, b"error code: 502", {"content-type": "text/plain"})
        status, number, words = {
            "capacity": (429, 3040, "Capacity temporarily exceeded, please try again."),
            "day": (429, 3036, "You have used up your daily free allocation of 10,000 neurons"),
            "agreement": (403, 5016, "Model agreement required"),
            "paid": (403, 5035, "This model needs the Workers Paid plan"),
            "no model": (400, 5007, "No such model @cf/x or task"),
            "wrong id": (404, 3042, "Invalid model id"),
            "large": (413, 3006, "Request is too large"),
            "slow": (408, 3007, "Request timeout"),
            "unsafe": (400, 3030, "Input prompt contains NSFW content."),
            "server": (500, 3001, "Internal server error"),
        }[kind]
        return failed(status, number, f"AiError: {words}")

    def answer(self, call: Seen) -> Reply:
        try:
            if call.headers.get("authorization") != f"Bearer {self.key}":
                raise Refused(failed(401, 10000, "Authentication error"))
            root = f"/client/v4/accounts/{self.account}/ai"
            if call.method == "GET" and call.path == f"{root}/models/search":
                listed = [{"name": name} for name in MODELS]
                return said(200, {"result": listed, "success": True, "errors": [], "messages": []})
            if call.method != "POST" or not call.path.startswith(f"{root}/run/"):
                raise Refused(failed(404, 7003, "Could not route to this path"))
            model = call.path.removeprefix(f"{root}/run/")
            if model not in MODELS:
                raise Refused(self.refusal("no model"))
            return self._made(call, model, MODELS[model])
        except Refused as refused:
            return refused.reply

    def _made(self, call: Seen, model: str, schema: Schema) -> Reply:
        fields = self._form(call) if schema.form else dict(call.fields)
        fields.pop("options", None)
        prompt = fields.pop("prompt", "")
        if not prompt or len(prompt) > 2048:
            raise Refused(failed(400, 5006, "must have a prompt of 1 to 2048 characters"))
        unknown = fields.keys() - schema.fields
        if unknown:
            raise Refused(failed(400, 5006, f"must NOT have additional properties: {sorted(unknown)}"))
        width, height = (
            fields.get(name, usual) for name, usual in zip(("width", "height"), schema.usual, strict=True)
        )
        if not all(schema.edges[0] <= edge <= schema.edges[1] for edge in (width, height)):
            raise Refused(failed(400, 5006, "width or height out of range"))
        self._look_at(fields, model)
        if "unsafe" in prompt:
            raise Refused(self.refusal("unsafe"))
        if "late failure" in prompt:
            return failed(200, 3040, "AiError: Capacity temporarily exceeded")
        size = 3_000_000 if "large" in prompt else 0
        if schema.raw is not None:
            self._serial += 1
            drawn = picture(schema.raw, width, height, size=size, serial=self._serial).data
            return Reply(200, drawn, {"content-type": f"image/{schema.raw}"})
        made = self.drawn(width, height, size=size)
        return said(200, {"result": {"image": made}, "success": True, "errors": [], "messages": []})

    def _form(self, call: Seen) -> dict[str, Any]:
        try:
            form = parse_form(call.headers.get("content-type", ""), call.body)
        except BrokenForm as broken:
            raise Refused(failed(400, 3003, f"missing headers or body: {broken}")) from None
        call.fields = dict(form.texts)
        for index, file in enumerate(form.files):
            if file.name != f"input_image_{index}" or index > 3:
                raise Refused(failed(400, 5006, f"unexpected part {file.name}"))
            with Image.open(io.BytesIO(file.data)) as seen:
                self.inputs.append(seen.size)
            if max(self.inputs[-1]) >= 512:
                raise Refused(failed(400, 5006, "input images must be smaller than 512x512"))
        return {name: value if name == "prompt" else _number(str(value)) for name, value in form.texts}

    def _look_at(self, fields: dict[str, Any], model: str) -> None:
        if "image_b64" in fields:
            base64.b64decode(fields["image_b64"], validate=True)
        elif "v1-5" in model:
            raise Refused(failed(400, 5004, "image_b64 is required"))
        if "inpainting" in model:
            if not isinstance(fields.get("mask"), list):
                raise Refused(failed(400, 5004, "mask must be an array"))
            self.masks.append(bytes(fields["mask"]))


def _number(text: str) -> float:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise Refused(failed(400, 5006, "must be a number")) from None
