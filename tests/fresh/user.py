"""A newcomer: starts a command in an empty environment, finds the key, makes a picture with plain urllib."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.gateway_process import answers
from tests.servers import stop


class DidNotStart(AssertionError):
    """The command ended or stayed silent; the message is its output."""


class Run:
    """A gateway started by ``command`` with nothing in its environment but PATH; stopped at the end."""

    def __init__(
        self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None, seconds: float = 180
    ) -> None:
        self.log = cwd / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=cwd, env={"PATH": os.environ.get("PATH", os.defpath), **(env or {})},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self.base_url = ""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            found = re.search(r"listening on (http://[\w.:\[\]]+)", self.log_text())
            if found and answers(found[1]):
                self.base_url = found[1]
                return
            time.sleep(0.05)
        stop(self.process, signal.SIGKILL)
        raise DidNotStart(self.log_text()[-3000:])

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def first_key(self, data: Path) -> str:
        """The key made at the first start: in a file that only its owner reads, never in the log."""
        path = data / "first-key"
        assert path.stat().st_mode & 0o777 == 0o600
        key = path.read_text(encoding="utf-8").strip()
        assert key.startswith("sk-ig-")
        assert key not in self.log_text()
        assert str(path) in self.log_text() or "first-key" in self.log_text()
        return key

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert stop(self.process, seconds=40) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)


def draw(base_url: str, key: str) -> bytes:
    """One picture of the sandbox, as bytes."""
    request = urllib.request.Request(
        f"{base_url}/v1/images/generations",
        data=json.dumps({"model": "sandbox", "prompt": "a lighthouse", "size": "1024x1024"}).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return base64.b64decode(json.load(answer)["data"][0]["b64_json"])
