"""A process that writes to a ledger and is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT


async def killed(program: str, folder: Path) -> None:
    """``program`` finds ``folder`` in ``FOLDER`` and ends by killing itself."""
    died = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"FOLDER": str(folder)},
        timeout=60,
        check=False,
        capture_output=True,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
