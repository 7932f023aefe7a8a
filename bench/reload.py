"""What taking over a changed configuration costs a gateway that serves: ``python -m bench.reload``.

Prints, for several numbers of projects, how long a change takes from its reading until it serves, and for how
long the event loop stood still meanwhile (beside the longest that it stood still without one).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import structlog
import uvloop

from config.loader import Loaded, load
from config.storage import with_data_folder
from gateway.app.gateway import open_gateway
from gateway.app.reloading import Reloading

_ACCOUNTS = """
providers:
  sandbox: {type: sandbox}
  openai: {type: openai, api_key: "file:key"}
  gemini: {type: gemini, api_key: "file:key"}
  xai: {type: xai, api_key: "file:key"}
"""


def configuration(projects: int) -> str:
    lines = [
        f"    - {{name: p{number}, limits: [{{spend_usd: 5, per: day}}], "
        f"keys: [{{name: key, sha256: '{number:064x}'}}]}}"
        for number in range(projects)
    ]
    return "\n".join([_ACCOUNTS, "organization:", "  projects:", *lines, ""])


class Stalls:
    """The longest time between two turns of the loop, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def taken(self) -> float:
        longest, self.longest = self.longest, 0.0
        return longest

    async def _watch(self) -> None:
        last = perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = perf_counter()
            self.longest, last = max(self.longest, now - last), now


async def measure(projects: int, changes: int) -> None:
    with tempfile.TemporaryDirectory(prefix="ig-reload-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        (folder / "key").write_text("sk-none")
        file = folder / "gateway.yaml"
        text = configuration(projects)
        file.write_text(text)
        read = partial(_read, file, folder / "data")
        loaded = read()
        async with open_gateway(loaded) as gateway:
            reloading = Reloading(gateway, read, loaded)
            stalls = Stalls()
            async with stalls.watched():
                await asyncio.sleep(1)
                quiet = stalls.taken()
                took, stood = [], []
                for number in range(changes):
                    file.write_text(f"{text}# {number}\n")
                    began = perf_counter()
                    stands = await reloading.reload("command")
                    took.append(perf_counter() - began)
                    stood.append(stalls.taken())
                    assert stands.refused is None
    print(
        f"{projects:>8} projects   {_ms(median(took)):>7} ms a change (longest {_ms(max(took))})   "
        f"loop stood still {_ms(median(stood))} ms (longest {_ms(max(stood))}; {_ms(quiet)} without)"
    )


def _read(file: Path, data: Path) -> Loaded:
    loaded = load(file)
    return replace(loaded, settings=with_data_folder(loaded.settings, data))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, nargs="*", default=[1, 50, 500])
    parser.add_argument("--changes", type=int, default=20)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for projects in arguments.projects:
        uvloop.run(measure(projects, arguments.changes))


if __name__ == "__main__":
    main()
