"""A real gateway in a process of its own, as a user would run it: ``imagegate serve`` on a free port."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import ROOT, stop

START_SECONDS = 45.0
KEY = "test key of a gateway under test"

ORGANIZATION = f"""
organization:
  projects:
    - name: tests
      keys: [{{name: suite, sha256: "{hashlib.sha256(KEY.encode()).hexdigest()}"}}]
"""
"""Declares :data:`KEY`; a config under test that has no ``organization:`` of its own gets this one."""

SANDBOX = """
providers:
  sandbox: {type: sandbox, latency: 0}
"""
"""The whole sandbox, without waiting."""


@dataclass(slots=True)
class Gateway:
    """A running gateway. ``base_url`` ends without ``/v1``; ``key`` is accepted by it."""

    base_url: str
    key: str
    process: subprocess.Popen[bytes]
    data: Path
    log: Path

    @property
    def api(self) -> str:
        """What an SDK takes as ``base_url``."""
        return self.base_url + "/v1"

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        """Ask it to drain and end, as Ctrl+C does, which waits for no load balancer; returns the exit
        status."""
        return stop(self.process, signal.SIGINT, seconds=15.0)


class DidNotStart(AssertionError):
    """The process ended or stayed silent; the message holds the end of its log."""


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Nothing of the tester's own shell but PATH: no provider keys, no proxies."""
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1", **(extra or {}),
    }  # fmt: skip


def launch(
    config_text: str = SANDBOX,
    *,
    folder: Path,
    data: Path | None = None,
    env: Mapping[str, str] | None = None,
    key: str = KEY,
    python: str | Path = sys.executable,
    cwd: Path = ROOT,
) -> Gateway:
    """Start ``imagegate serve`` with this YAML and wait until ``/readyz`` says 200.

    ``folder`` receives the config, the log and (unless ``data`` names another) the data folder. Starting a
    second one with the same ``data`` is a restart. Raises :class:`DidNotStart`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "gateway.yaml"
    has_organization = re.search(r"^organization:", config_text, re.MULTILINE)
    config.write_text(config_text + ("" if has_organization else ORGANIZATION), encoding="utf-8")
    data = data or folder / "data"
    log = folder / "gateway.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(python), "-P", "-m", "gateway.cli.main", "serve", "--config", str(config),
             "--host", "127.0.0.1", "--port", "0", "--data", str(data)],
            cwd=cwd, env=clean_environment(folder, env), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    gateway = Gateway("", key, process, data, log)
    until = time.monotonic() + START_SECONDS
    try:
        while process.poll() is None and time.monotonic() < until:
            found = re.search(r"listening on (http://[\w.:\[\]]+)", gateway.log_text())
            if found:
                gateway.base_url = found[1].rstrip("/")
                if answers(gateway.base_url):
                    return gateway
            time.sleep(0.05)
    except BaseException:
        process.kill()
        raise
    ended = process.poll()
    stop(process)
    what = "was not ready in time" if ended is None else f"ended with status {ended}"
    raise DidNotStart(f"the gateway {what}:\n{gateway.log_text()[-3000:]}")


def answers(base_url: str, path: str = "/readyz") -> bool:
    """Whether a GET is answered 200 within two seconds."""
    url = urlsplit(base_url)
    link = http.client.HTTPConnection(url.hostname or "", url.port, timeout=2)
    try:
        link.request("GET", path)
        return link.getresponse().status == 200
    except OSError:
        return False
    finally:
        link.close()
