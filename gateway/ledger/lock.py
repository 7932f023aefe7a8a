"""One process at a time: an advisory lock (flock) on a file; the kernel frees it when its holder ends.

``DATA/lock`` is held by ``serve`` for as long as it runs, and by a command that opens the database itself.
Its content, mode 0600, says whom to ask: ``{"pid": …, "control": {"url": …, "token": …}}``.
A file without a holder means nothing, whatever it says. It is never deleted: two processes could otherwise
hold two files of the same name.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

from gateway.ledger.refusals import ControlAddress, InUse

DATA_LOCK = "lock"
_STEP_SECONDS = 0.05
_READ_BYTES = 4096


class HeldLock:
    """A lock that this process holds until ``release`` or its end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._write({"pid": os.getpid()})

    def publish(self, control: ControlAddress) -> None:
        """Tell commands where to reach this process."""
        self._write({"pid": os.getpid(), "control": {"url": control.url, "token": control.token}})

    def release(self) -> None:
        """Idempotent. The token goes first, so that it cannot outlive the server that honours it."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, content: dict[str, object]) -> None:
        data = json.dumps(content).encode() + b"\n"
        os.pwrite(self._descriptor, data, 0)
        os.ftruncate(self._descriptor, len(data))


def take(path: Path, *, wait: float = 0.0) -> HeldLock:
    """Hold the lock ``path``, trying for ``wait`` seconds. Blocking: call it in a thread or before the loop.

    Raises :class:`InUse` with the holder's pid and control address where its file tells them, OSError where
    the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + wait
    try:
        os.fchmod(descriptor, 0o600)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return HeldLock(descriptor)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise _in_use(path, descriptor) from None
            time.sleep(_STEP_SECONDS)
    except BaseException:
        os.close(descriptor)
        raise


def take_data_folder(data: Path, *, wait: float = 2.0) -> HeldLock:
    """The lock of a data folder, which is made where it is missing. ``wait`` outlasts a command at work."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    return take(data / DATA_LOCK, wait=wait)


def _in_use(path: Path, descriptor: int) -> InUse:
    """Read what the holder says of itself. It may be writing just now: a torn text is read again."""
    content: dict[str, object] = {}
    for _ in range(5):
        try:
            parsed = json.loads(os.pread(descriptor, _READ_BYTES, 0))
            content = parsed if isinstance(parsed, dict) else {}
            break
        except ValueError:
            time.sleep(0.01)
    pid = content.get("pid")
    pid = pid if isinstance(pid, int) else None
    control = content.get("control")
    address = None
    if isinstance(control, dict) and {"url", "token"} <= control.keys():
        address = ControlAddress(str(control["url"]), str(control["token"]))
    who = f"process {pid}" if pid else "another process"
    return InUse(
        f"The data folder {path.parent} is in use by {who}: one imagegate runs on a data folder. Stop it "
        "first, or give this one a folder of its own with --data.",
        pid=pid,
        control=address,
    )
