"""What to tell a client that asks for a path which is not here: as data, not as branches."""

from __future__ import annotations

import re

from gateway.errors import NotFound

_CHAT = "This gateway serves images. Send chat and text requests to your language-model endpoint."
_PICTURES = "Send pictures with the request: as files of a form, or as 'image_url' data URLs in JSON edits."
_IMAGES = "Use POST /v1/images/generations or POST /v1/images/edits."

NOT_SERVED: dict[str, str] = {
    "chat": _CHAT,
    "completions": _CHAT,
    "responses": f"For its image_generation tool: {_IMAGES}",
    "conversations": _CHAT,
    "assistants": _CHAT,
    "threads": _CHAT,
    "realtime": _CHAT,
    "edits": f"For pictures: {_IMAGES}",
    "embeddings": _CHAT,
    "moderations": "Image requests take 'moderation': 'auto' or 'low'; prompts are judged by the provider.",
    "images/variations": "OpenAI retired it. Use POST /v1/images/edits and ask for a variation.",
    "audio": "This gateway serves images, no audio.",
    "videos": f"This gateway serves still images. {_IMAGES}",
    "files": _PICTURES,
    "uploads": _PICTURES,
    "batches": f"Send the requests one by one. {_IMAGES}",
    "vector_stores": _CHAT,
    "containers": _CHAT,
    "fine_tuning": "Models are trained at their providers; the configuration can name the trained one.",
    "evals": _CHAT,
}
"""OpenAI's paths below ``/v1`` by their first words, and what to use instead."""

SERVED = ("images/generations", "images/edits", "models", "usage")
"""Paths below ``/v1`` that exist, for hints at a forgotten or doubled ``/v1``."""

_AZURE = re.compile(r"^(?:openai/)?deployments/[^/]+/|^openai/")


def explain(method: str, path: str) -> NotFound:
    """The 404 for a path that no route takes."""
    asked = f"{method} {path[:200]}"
    rest = _AZURE.sub("", path.strip("/"))
    bare = rest.removeprefix("v1/")
    known = next((name for name in NOT_SERVED if _is_under(bare, name)), None)
    if known is not None:
        return NotFound(
            f"{asked} is not served by this gateway. {NOT_SERVED[known]}", code="unsupported_endpoint"
        )
    inner = re.sub(r"^(?:v1/)+", "", rest)
    served = next((name for name in SERVED if _is_under(inner, name)), None)
    if served is not None:
        return NotFound(
            f"Unknown request URL: {asked}. This gateway serves it as /v1/{inner[:200]}: "
            "the client's base URL must end in one /v1.",
            code="unknown_url",
        )
    return NotFound(
        f"Unknown request URL: {asked}. Please check the URL for typos. This gateway serves "
        "POST /v1/images/generations, POST /v1/images/edits, GET /v1/models and GET /v1/usage; "
        "/openapi.json lists everything.",
        code="unknown_url",
    )


def _is_under(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}/")
