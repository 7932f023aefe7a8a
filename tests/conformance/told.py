"""What a caller gets: the pictures, measured, and what the headers and the body say of them."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from PIL import Image

from tests.conformance.saw import Pixels

_PARAMETER = re.compile(r';?\s*([a-z*][a-z_]*)=(?:"((?:[^"\\]|\\.)*)"|\(([^)]*)\)|([A-Za-z_]+))')
_MEMBER = re.compile(r'([A-Za-z*][A-Za-z0-9_.*\-\[\]/]*)((?:;\s*[a-z]+=(?:"(?:[^"\\]|\\.)*"|[a-z]+))*)')


@dataclass(frozen=True, slots=True)
class Change:
    """One member of ``x-imagegate-adjustments``."""

    how: str
    was: str | None
    now: str | None


@dataclass(frozen=True, slots=True)
class Picture:
    format: str
    size: Pixels


@dataclass(frozen=True, slots=True)
class Told:
    """``size`` is ``x-imagegate-size`` as its parameters, ``error`` OpenAI's object where there is one."""

    status: int
    error: Mapping[str, Any] | None
    pictures: tuple[Picture, ...] = ()
    sizes: tuple[str | None, ...] = ()
    """What the body says that they are."""
    size: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, Change] = field(default_factory=dict)
    request_id: str = ""
    should_retry: str | None = None
    retry_after: str | None = None
    events: tuple[str, ...] = ()


def told(response: httpx.Response) -> Told:
    """Read from the wire alone."""
    events: list[dict[str, Any]] = []
    document: Any = {}
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
        events = [json.loads(line) for line in lines if line != "[DONE]"]
        items = [event for event in events if str(event.get("type", "")).endswith(".completed")]
        sizes = tuple(item.get("size") for item in items)
    else:
        document = response.json()
        items = document.get("data") or []
        sizes = (document.get("size"),)
    failed = next((event["error"] for event in events if event.get("type") == "error"), None)
    return Told(
        status=response.status_code,
        error=document.get("error") or failed,
        pictures=tuple(_picture(item["b64_json"]) for item in items),
        sizes=sizes,
        size=size_told(response.headers.get("x-imagegate-size", "")),
        changes=changes_told(response.headers.get("x-imagegate-adjustments", "")),
        request_id=response.headers.get("x-request-id", ""),
        should_retry=response.headers.get("x-should-retry"),
        retry_after=response.headers.get("retry-after"),
        events=tuple(str(event.get("type")) for event in events),
    )


def size_told(header: str) -> dict[str, str]:
    """``received`` of several pictures that differ is their texts with spaces between."""
    return {
        match[1]: match[2] if match[2] is not None else (match[3] or match[4] or "").replace('"', "")
        for match in _PARAMETER.finditer(header.replace(", ", ";"))
    }


def changes_told(header: str) -> dict[str, Change]:
    found = {}
    for match in _MEMBER.finditer(header):
        parameters = {each[1]: each[2] or each[4] for each in _PARAMETER.finditer(match[2])}
        if "how" in parameters:
            found[match[1]] = Change(parameters["how"], parameters.get("from"), parameters.get("to"))
    return found


def _picture(text: str) -> Picture:
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as seen:
        seen.load()
        return Picture(str(seen.format).lower(), seen.size)
