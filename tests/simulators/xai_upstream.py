"""A fake of xAI's image API: its fields and refusals, safety inside 200, and the cost in ticks."""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.simulators.json_upstream import JSONUpstream, Reply, Seen, said

TICKS = 10**10
RATIOS = frozenset(
    {
        "auto", "1:1", "3:4", "4:3", "9:16", "16:9", "2:3", "3:2", "9:19.5", "19.5:9", "9:20", "20:9", "1:2",
        "2:1",
    }
)  # fmt: skip
MODELS = {
    "grok-imagine-image-2.0": {"low": {"1k": 0.04, "2k": 0.06}, "medium": {"1k": 0.06, "2k": 0.08}},
    "grok-imagine-image": {"low": {"1k": 0.02, "2k": 0.02}, "medium": {"1k": 0.02, "2k": 0.02}},
}
PER_INPUT = {"grok-imagine-image-2.0": 0.01, "grok-imagine-image": 0.002}
ALIASES = {"grok-imagine-image-2026-03-02": "grok-imagine-image"}
FIELDS = {
    "model", "prompt", "n", "aspect_ratio", "resolution", "quality", "response_format", "user",
    "service_tier", "storage_options",
}  # fmt: skip

_INVALID = "Client specified an invalid argument"
_EXHAUSTED = "Some resource has been exhausted"
REFUSALS = {
    "rate": (429, _EXHAUSTED, "Too many requests for the team."),
    "credits": (429, _EXHAUSTED, "Your team has used all available credits or reached its spending limit."),
    "output": (400, _INVALID, "Generated image rejected by content moderation."),
    "guidelines": (403, "The caller does not have permission", "Content violates usage guidelines."),
    "server": (500, "Internal error", "Something went wrong."),
}


class Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def invalid(message: str, status: int = 400) -> Refused:
    return Refused(said(status, {"code": _INVALID, "error": message}))


class XAIUpstream(JSONUpstream):
    """Prompts that hold ``blocked`` are blocked whole, ``withheld`` each picture, ``one withheld`` the first
    of them; ``large`` answers pictures of 3 MB."""

    key = "xai-0123456789abcdefABCDEF"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    @staticmethod
    def refusal(kind: str) -> Reply:
        """Planned ones, in either of its two envelopes."""
        if kind == "envelope":
            return said(422, {"error": {"message": "Field n: too large", "param": "n", "code": None}})
        if kind == "edge":
            return Reply(502, b"<html>Bad gateway</html>", {"content-type": "text/html"})
        status, code, words = REFUSALS[kind]
        headers = {"retry_after": "7"} if kind == "rate" else {}
        return said(status, {"code": code, "error": words}, **headers)

    def answer(self, call: Seen) -> Reply:
        try:
            if call.headers.get("authorization") != f"Bearer {self.key}":
                shown = call.headers.get("authorization", "")[7:]
                raise invalid(f"Incorrect API key provided: {shown}. You can obtain one at console.x.ai.")
            if call.method == "GET" and call.path == "/v1/image-generation-models":
                return said(
                    200,
                    {
                        "models": [
                            {
                                "id": name,
                                "aliases": [alias for alias, of in ALIASES.items() if of == name],
                                "max_prompt_length": 1024,
                            }
                            for name in MODELS
                        ]
                    },
                )
            if call.method != "POST" or call.path not in ("/v1/images/generations", "/v1/images/edits"):
                raise Refused(
                    said(404, {"code": "Not found", "error": "The requested resource was not found"})
                )
            if call.headers.get("content-type") != "application/json":
                raise invalid("Expected request with `Content-Type: application/json`", 415)
            return self._made(call.fields, edit=call.path.endswith("edits"))
        except Refused as refused:
            return refused.reply

    def _made(self, fields: dict[str, Any], *, edit: bool) -> Reply:
        model = ALIASES.get(fields.get("model", ""), fields.get("model", ""))
        if model not in MODELS:
            raise Refused(said(404, {"code": "Not found", "error": f"The model {model} does not exist."}))
        inputs = self._inputs(fields, model) if edit else 0
        for name in fields.keys() - FIELDS - ({"image", "images"} if edit else set()):
            # Pictures on the generations route are dropped without a word, as reported of it.
            if name not in ("image", "images"):
                raise invalid(f"Argument not supported: {name}")
        if not fields.get("prompt"):
            raise invalid("prompt is required", 422)
        n, ratio = fields.get("n", 1), fields.get("aspect_ratio", "auto")
        tier, quality = fields.get("resolution", "1k"), fields.get("quality", "medium")
        if not isinstance(n, int) or not 1 <= n <= 10:
            raise invalid("n must be between 1 and 10", 422)
        if ratio not in RATIOS or tier not in ("1k", "2k") or quality not in ("low", "medium"):
            raise invalid("unknown aspect_ratio, resolution or quality", 422)
        return self._pictures(fields, model, inputs, n, ratio, tier, quality)

    def _pictures(
        self, fields: dict[str, Any], model: str, inputs: int, n: int, ratio: str, tier: str, quality: str
    ) -> Reply:
        prompt = fields["prompt"]
        cost = n * MODELS[model][quality][tier] + inputs * PER_INPUT[model]
        usage = {"cost_in_usd_ticks": round(cost * TICKS)}
        if "blocked" in prompt:
            return said(200, {"data": [], "usage": {"cost_in_usd_ticks": 0}})
        across, down = (1.0, 1.0) if ratio == "auto" else map(float, ratio.split(":"))
        side = 1024 if tier == "1k" else 2048
        width, height = int(side * (across / down) ** 0.5), int(side * (down / across) ** 0.5)
        items: list[dict[str, object]] = []
        for index in range(n):
            if "withheld" in prompt and (index == 0 or "one withheld" not in prompt):
                items.append({"b64_json": "", "respect_moderation": False})
                continue
            made = self.drawn(width, height, size=3_000_000 if "large" in prompt else 0)
            item: dict[str, object] = {
                "mime_type": "image/jpeg",
                "revised_prompt": "",
                "respect_moderation": True,
            }
            link = {"url": f"https://imgen.x.ai/{self._serial}.jpeg"}
            items.append(
                {**({"b64_json": made} if fields.get("response_format") == "b64_json" else link), **item}
            )
        return said(200, {"data": items, "usage": usage})

    def _inputs(self, fields: dict[str, Any], model: str) -> int:
        if ("image" in fields) == ("images" in fields):
            raise invalid("exactly one of image and images is required")
        given = [fields["image"]] if "image" in fields else fields["images"]
        if not 1 <= len(given) <= 3:
            raise invalid("at most 3 images are supported")
        if len(given) == 1 and "aspect_ratio" in fields and model != "grok-imagine-image-2.0":
            raise invalid("aspect_ratio is only supported with several images")
        for each in given:
            if not isinstance(each, dict) or each.keys() != {"type", "url"} or each["type"] != "image_url":
                raise invalid("image must be an object with url and type", 422)
            found = re.fullmatch(r"data:image/(png|jpeg|webp);base64,(.*)", each["url"], re.S)
            if found:
                base64.b64decode(found[2], validate=True)
            elif not each["url"].startswith("https://"):
                raise invalid("image url must be https or a data URI", 422)
        return len(given)
