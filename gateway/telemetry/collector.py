"""A collector that takes OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import requests


class _Session(requests.Session):
    """Speaks as it is told to, whatever the process's environment says: no proxy, no .netrc, and none of the
    headers and certificates that the exporters take from ``OTEL_EXPORTER_OTLP_*``."""

    _KEPT = frozenset({"content-type", "content-encoding", "user-agent"})

    def __init__(self, headers: Mapping[str, str], ca_file: Path | None) -> None:
        super().__init__()
        self.trust_env = False
        self._own = dict(headers)
        self._ca = True if ca_file is None else str(ca_file)

    def request(self, method: str, url: str, **more: Any) -> requests.Response:  # type: ignore[override]
        given = more.get("headers") or {}
        kept = {name: value for name, value in given.items() if name.lower() in self._KEPT}
        told = {**more, "headers": {**kept, **self._own}, "verify": self._ca, "cert": None}
        return super().request(method, url, **told)


@dataclass(frozen=True, slots=True)
class Collector:
    """``endpoint`` has no path of a signal; ``headers`` are secrets, ``timeout`` is in seconds, ``ca_file``
    is trusted instead of the built-in authorities."""

    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 5.0
    ca_file: Path | None = None

    def url(self, signal: Literal["traces", "metrics"]) -> str:
        return f"{self.endpoint.rstrip('/')}/v1/{signal}"

    def session(self) -> requests.Session:
        return _Session(self.headers, self.ca_file)
