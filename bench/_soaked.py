"""What the commands share that run a soak of ``tests/soak``: a folder, and the report as the last word."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests import servers


class Report(Protocol):
    @property
    def clean(self) -> bool: ...


R = TypeVar("R", bound=Report)


def parser(about: str | None) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--keep", type=Path, help="folder for logs and data, which stays (an empty one)")
    return made


def carry_out(
    run: Callable[[Path], Coroutine[Any, Any, R]], keep: Path | None, told: Callable[[R], str] = str
) -> None:
    """Run it, print the report, and exit: 0 where it is clean, 1 where not or where a server is missing."""
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ig-soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            report = asyncio.run(run(folder.absolute()))
        except servers.NotObtainable as missing:
            sys.exit(str(missing))
    print(told(report))
    sys.exit(0 if report.clean else 1)
