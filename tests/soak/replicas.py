"""Gateway processes that can be killed by the hundred.

A nursery, one process that has the gateway's modules loaded, forks a whole ``imagegate serve`` for each
start: a replica is up in a fraction of the time that a fresh interpreter takes, and is otherwise what a user
runs.
Faults that no signal can make (an end that is told twice) are built in before the first fork::

    python -m tests.soak.replicas '{"twice": 0.2, "lease": 45}'     # then lines of CONFIG DATA LOG on stdin
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gateway_process import answers, clean_environment
from tests.servers import ROOT, stop

START_SECONDS = 60.0


@dataclass(slots=True)
class Replica:
    """One place of a replica: its data folder outlives its processes."""

    folder: Path
    pid: int = 0
    url: str = ""
    starts: int = 0
    ready: bool = False

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


@dataclass(slots=True)
class Nursery:
    """``with`` it. ``twice`` is the share of ends that are written and told twice; ``lease`` in seconds."""

    config: Path
    env: dict[str, str]
    twice: float = 0.2
    lease: float = 45.0
    process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Nursery:
        options = json.dumps({"twice": self.twice, "lease": self.lease})
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.replicas", options],
            cwd=ROOT, env=clean_environment(self.config.parent, self.env), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        stop(self.process)
        if self.process.stdout is not None:
            self.process.stdout.close()

    async def start(self, replica: Replica) -> None:
        """Returns when it is ready. Raises AssertionError with the end of its log."""
        replica.data.mkdir(parents=True, exist_ok=True)
        log = replica.folder / f"{replica.starts}.log"
        replica.starts += 1
        replica.pid = await asyncio.to_thread(self._fork, f"{self.config} {replica.data} {log}\n")
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and runs(replica.pid):
            text = log.read_text(errors="replace") if log.exists() else ""
            found = re.search(r"listening on (http://[\w.:\[\]]+)", text)
            url = found[1] if found else ""
            if url and await asyncio.to_thread(answers, url):
                replica.url, replica.ready = url, True
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"a replica did not start:\n{log.read_text(errors='replace')[-3000:]}")

    def _fork(self, line: str) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def runs(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def _serve(config: str, data: str, log: str) -> None:
    """The child: never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    random.seed()
    nothing, out = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
    )
    os.dup2(nothing, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    from gateway.cli.serve import serve

    serve.main(
        ["--config", config, "--host", "127.0.0.1", "--port", "0", "--data", data], prog_name="imagegate"
    )


def _twice(share: float) -> None:
    """Ends that are written to the ledger, and told to the store of limits, once more than once."""
    from gateway.ledger.ledger import Ledger
    from gateway.ledger.records import AttemptEnd
    from gateway.quota.away import GuardedStore

    record, end = Ledger.record, GuardedStore.end

    async def recorded(self: Ledger, *entries: Any, patient: bool = False) -> None:
        await record(self, *entries, patient=patient)
        if random.random() < share and all(isinstance(entry, AttemptEnd) for entry in entries):
            await record(self, *entries, patient=patient)

    async def ended(self: GuardedStore, ends: Any, *, by_ledger: bool = True) -> Any:
        moved = await end(self, ends, by_ledger=by_ledger)
        if random.random() < share:
            await end(self, ends, by_ledger=by_ledger)
        return moved

    Ledger.record, GuardedStore.end = recorded, ended  # type: ignore[method-assign]


def _lease(seconds: float) -> None:
    """Another lease than 45 s, and everything that follows from it in proportion."""
    from gateway.ledger import lapsed
    from gateway.quota import keeper, outcomes

    if seconds * 1000 == outcomes.LEASE_MS:
        return
    share = seconds * 1000 / outcomes.LEASE_MS
    outcomes.Reservation.__init__.__defaults__ = (round(seconds * 1000),)
    for name in ("HEARTBEAT_SECONDS", "REAP_SECONDS", "DRIFT_SECONDS"):
        setattr(keeper, name, getattr(keeper, name) * share)
    lapsed.MARGIN *= share


def main() -> None:
    options = json.loads(sys.argv[1])
    import gateway.cli.serve  # noqa: F401  everything a child needs, loaded once

    _twice(options["twice"])
    _lease(options["lease"])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead leave nothing behind
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            _serve(*line.split())
        print(pid, flush=True)


if __name__ == "__main__":
    main()
