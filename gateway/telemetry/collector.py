"""A collector that takes OTLP over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import requests


@dataclass(frozen=True, slots=True)
class Collector:
    """``endpoint`` has no path of a signal; ``headers`` are secrets, ``timeout`` is in seconds."""

    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 5.0

    def url(self, signal: Literal["traces", "metrics"]) -> str:
        return f"{self.endpoint.rstrip('/')}/v1/{signal}"

    def session(self) -> requests.Session:
        """Reads no proxy and no .netrc of the process's environment."""
        session = requests.Session()
        session.trust_env = False
        return session
