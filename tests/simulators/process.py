"""The fake upstream as a process of its own, for tests that block and for measurements."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.simulators.openai_upstream import KEY

ROOT = Path(__file__).resolve().parents[2]


class UpstreamProcess:
    """``with`` it. ``default`` is a directive such as ``ok bytes=1024``; ``cores`` those it may run on."""

    def __init__(self, *, default: str = "ok", cores: Sequence[int] | None = None, keep: int = 1000) -> None:
        self.key = KEY
        self._arguments = ["--default", default, "--keep", str(keep)]
        self._cores = cores
        self.port = 0
        self.process: subprocess.Popen[str]

    def __enter__(self) -> UpstreamProcess:
        command = [sys.executable, "-m", "tests.simulators.openai_upstream", *self._arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if self._cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, self._cores)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *exc: object) -> None:
        self.thaw()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def calls(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = self._ask("/_/calls")
        return calls

    def stats(self) -> dict[str, int]:
        stats: dict[str, int] = self._ask("/_/stats")
        return stats

    def plan(self, *directives: str) -> None:
        """``"error rate_limit"``, ``"ok bytes=1000"``: for the next calls, one each."""
        self._ask("/_/plan", json.dumps(directives).encode())

    def outage(self, directive: str | None) -> None:
        """What every call meets from now on; None ends it."""
        self._ask("/_/outage", json.dumps(directive).encode())

    def freeze(self) -> None:
        """The process does nothing more, and its kernel still takes connections: it hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was, and answers what it was asked meanwhile."""
        self.process.send_signal(signal.SIGCONT)

    def reset(self) -> None:
        self._ask("/_/reset", b"")

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(self.origin + path, data=body), timeout=10) as answer:
            return json.load(answer)
