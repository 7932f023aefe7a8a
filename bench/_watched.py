"""The gateway, with a heart monitor: which code kept its event loop busy, and for how long.

Run in place of ``gateway.cli.main`` with ``IMAGEGATE_BENCH_WATCH`` naming a file. A task of the loop beats
every millisecond; a thread looks at the beats, and takes the loop's stack while one is late. Each stall
above 3 ms becomes a line of JSON, in seconds: when (``at``), how long (``late``), how much of it was CPU time
of the loop's thread (``cpu``) and of the process's other threads (``threads``), how much was spent ready to
run but without a core (``queued``), and the stacks seen. What other processes took is ``foreign``: the part
of ``queued`` that the process's own threads do not explain.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import uvicorn

from gateway.cli.main import main

LATE = 0.003
BEAT = 0.001


class Monitor:
    def __init__(self, path: Path) -> None:
        self._out = path.open("w", buffering=1)
        self._thread = 0
        self._beat = 0.0
        self._stacks: list[str] = []

    async def beat(self) -> None:
        self._thread = threading.get_ident()
        self._beat = time.monotonic()
        threading.Thread(target=self._look, daemon=True).start()
        scheduler = os.open(f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY)
        while True:
            before = _spent(scheduler)
            await asyncio.sleep(BEAT)
            now = time.monotonic()
            late = now - self._beat - BEAT
            self._beat = now
            if late > LATE:
                cpu, process, queued = (b - a for a, b in zip(before, _spent(scheduler), strict=True))
                threads = max(0.0, process - cpu)
                stall = {
                    "at": now,
                    "late": late,
                    "cpu": cpu,
                    "threads": threads,
                    "queued": queued,
                    "foreign": max(0.0, queued - threads),
                    "stacks": self._stacks,
                }
                self._out.write(json.dumps(stall) + "\n")
            self._stacks = []

    def _look(self) -> None:
        while True:
            time.sleep(0.001)
            if time.monotonic() - self._beat > BEAT + LATE:
                frame = sys._current_frames().get(self._thread)
                stack = traceback.extract_stack(frame)[-6:]
                self._stacks.append(
                    " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(stack))
                )


def _spent(scheduler: int) -> tuple[float, float, float]:
    """CPU seconds of this thread, of the process, and seconds that this thread stood in the run queue."""
    queued = int(os.pread(scheduler, 100, 0).split()[1]) / 1e9
    return time.thread_time(), time.process_time(), queued


def install(path: Path) -> None:
    """Start the monitor with the first server of the process, in its loop."""
    monitor = Monitor(path)
    serve = uvicorn.Server.serve
    tasks: list[asyncio.Task[None]] = []

    async def watched(self: uvicorn.Server, *args: Any, **kwargs: Any) -> None:
        if not tasks:
            tasks.append(asyncio.create_task(monitor.beat()))
        await serve(self, *args, **kwargs)

    uvicorn.Server.serve = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    install(Path(os.environ["IMAGEGATE_BENCH_WATCH"]))
    main()
