"""A fake of OpenRouter's image endpoint: its fields, its envelope, and the cost of every answer."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from tests.simulators.json_upstream import JSONUpstream, Reply, Seen, said

RESOLUTIONS = ("512", "768", "1K", "1.5K", "2K", "4K")
FIELDS = {
    "model", "prompt", "n", "size", "resolution", "aspect_ratio", "quality", "background", "output_format",
    "output_compression", "input_references", "seed", "stream", "provider", "user", "session_id", "trace",
}  # fmt: skip
PREFERENCES = {"order", "only", "ignore", "sort", "allow_fallbacks", "options"}
COSTS = {
    "openai/gpt-image-2.5-sunburst": 0.0123,
    "google/gemini-3-pro-image": 0.1387,
    "x-ai/grok-imagine-image-2.0": 0.06,
}
SINGLE = ("google/gemini-3-pro-image",)


def failed(code: int, message: str, metadata: Mapping[str, object] | None = None, **headers: str) -> Reply:
    envelope = {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "user_1"}
    return said(code, envelope, **headers)


class Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class OpenRouterUpstream(JSONUpstream):
    """Prompts that hold ``text only`` bring no picture, ``late failure`` and ``late refusal`` an error inside
    a 200, ``own key`` a bill of the caller's own account at the provider. OpenAI's models stream, with two
    partial pictures; the others ignore that they are asked to."""

    key = "sk-or-v1-0123456789abcdef"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/api/v1"

    @staticmethod
    def refusal(kind: str) -> Reply:
        if kind == "edge":
            return Reply(502, b"<html>Bad gateway</html>", {"content-type": "text/html"})
        return {
            "credits": failed(402, "Insufficient credits. Add more at https://openrouter.ai/credits"),
            "flagged": failed(
                403,
                "Your chosen model requires moderation and your input was flagged",
                {"reasons": ["violence"], "flagged_input": "a red ki...", "provider_name": "OpenAI"},
            ),
            "forbidden": failed(403, "Key limit exceeded"),
            "behind": failed(
                400,
                "Provider returned error",
                {"provider_name": "OpenAI", "raw": '{"error":{"code":"moderation_blocked"}}'},
            ),
            "no endpoint": failed(404, "No endpoints found that support the requested parameters."),
            "rate": failed(
                429, "Rate limit exceeded", x_ratelimit_reset=str(round(time.time() * 1000) + 9_000)
            ),
            "wait": failed(429, "Rate limit exceeded", retry_after="3"),
            "upstream": failed(502, "Provider returned an invalid response"),
            "overloaded": failed(529, "Provider overloaded"),
            "edge timeout": failed(524, "A timeout occurred"),
            "conflict": failed(400, "size conflicts with aspect_ratio"),
        }[kind]

    def answer(self, call: Seen) -> Reply:
        try:
            if call.method == "GET" and call.path == "/api/v1/images/models":
                return said(200, {"data": [{"id": name, "supported_parameters": {}} for name in COSTS]})
            if call.headers.get("authorization") != f"Bearer {self.key}":
                raise Refused(failed(401, "User not found."))
            if call.method != "POST" or call.path != "/api/v1/images":
                raise Refused(failed(404, "Not Found"))
            return self.made(call.fields)
        except Refused as refused:
            return refused.reply

    def made(self, fields: dict[str, Any]) -> Reply:
        self._check(fields)
        prompt, n = fields["prompt"], fields.get("n", 1)
        if fields.get("stream") and fields["model"].startswith("openai/"):
            return self._streamed(fields)
        if "late failure" in prompt:
            return said(200, {"error": {"code": 502, "message": "Provider returned error", "metadata": None}})
        format = fields.get("output_format", "png")
        width, height = _pixels(fields)
        count = 0 if "text only" in prompt else n
        data = [
            {"b64_json": self.drawn(width, height, format=format), "media_type": f"image/{format}"}
            for _ in range(count)
        ]
        return said(200, {"created": int(time.time()), "data": data, "usage": _usage(fields, n)})

    def _streamed(self, fields: dict[str, Any]) -> Reply:
        prompt, format = fields["prompt"], fields.get("output_format", "png")
        width, height = _pixels(fields)
        events: list[dict[str, object]] = [
            {"type": "image_generation.partial_image", "partial_image_index": index,
             "b64_json": self.drawn(width, height, format=format)}
            for index in range(2)
        ]  # fmt: skip
        if "late failure" in prompt:
            error = {"message": "Generation failed", "code": "server_error"}
            events.append({"type": "error", "error": error})
        elif "late refusal" in prompt:
            error = {"message": "Your request was rejected.", "code": "moderation_blocked"}
            events.append({"type": "error", "error": error | {"type": "image_generation_user_error"}})
        elif "text only" in prompt:
            events = [{"type": "image_generation.text_chunk", "phase": "reasoning", "text": "No."}]
        else:
            events.append(
                {"type": "image_generation.completed", "b64_json": self.drawn(width, height, format=format),
                 "media_type": f"image/{format}", "created": int(time.time()), "usage": _usage(fields, 1)}
            )  # fmt: skip
        lines = [json.dumps(event) for event in events] + ["[DONE]"]
        body = "".join(f"data: {line}\n\n" for line in lines)
        return Reply(200, body.encode(), {"content-type": "text/event-stream"})

    def _check(self, fields: dict[str, Any]) -> None:
        unknown = fields.keys() - FIELDS
        if unknown or not isinstance(fields.get("prompt"), str):
            raise Refused(failed(400, f"Unrecognized keys or no prompt: {sorted(unknown)}"))
        if fields.get("model") not in COSTS:
            raise Refused(failed(404, f"No endpoints found for {fields.get('model')}."))
        if fields["model"] in SINGLE and fields.get("n", 1) > 1:
            raise Refused(failed(400, "n must be 1 for this model"))
        if "size" in fields and ("aspect_ratio" in fields or "resolution" in fields):
            raise Refused(self.refusal("conflict"))
        if fields.get("resolution", "1K") not in RESOLUTIONS:
            raise Refused(failed(400, "Invalid option: resolution"))
        if fields.get("provider", {}).keys() - PREFERENCES:
            raise Refused(failed(400, "Unrecognized keys in provider"))
        for each in fields.get("input_references", []):
            if each.keys() != {"type", "image_url"} or each["type"] != "image_url":
                raise Refused(failed(400, "Invalid input_references"))
            found = re.fullmatch(r"data:image/\w+;base64,(.*)", each["image_url"]["url"], re.S)
            if found:
                base64.b64decode(found[1], validate=True)
            elif not each["image_url"]["url"].startswith("https://"):
                raise Refused(failed(400, "Invalid url in input_references"))


def _usage(fields: Mapping[str, Any], n: int) -> dict[str, object]:
    cost = COSTS[fields["model"]] * n
    usage: dict[str, object] = {
        "prompt_tokens": 1130, "completion_tokens": 1290 * n, "total_tokens": 1130 + 1290 * n,
        "completion_tokens_details": {"image_tokens": 1120 * n, "reasoning_tokens": 170 * n},
        "prompt_tokens_details": None, "cost": round(cost, 6), "is_byok": False,
    }  # fmt: skip
    if "own key" in fields["prompt"]:
        usage |= {"is_byok": True, "cost": 0.001, "cost_details": {"upstream_inference_cost": cost}}
    return usage


def _pixels(fields: Mapping[str, Any]) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", fields.get("size", ""))
    if found:
        return int(found[1]), int(found[2])
    tier = fields.get("resolution", "1K")
    side = int(tier) if tier.isdigit() else round(float(tier[:-1]) * 1024)
    across, down = map(float, fields.get("aspect_ratio", "1:1").split(":"))
    return round(side * (across / down) ** 0.5), round(side * (down / across) ** 0.5)
