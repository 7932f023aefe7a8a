"""Why a ledger is not opened. Raised at start and by the command line only; the message is for the operator.

::

    LedgerRefused            the database cannot be opened as it is
      SchemaTooNew           a newer imagegate has written it
      InUse                  another process has it open (``pid``, ``control`` where they are known)
"""

from __future__ import annotations

from dataclasses import dataclass


class LedgerRefused(Exception):
    """``str()`` says what is wrong and what to do."""


class SchemaTooNew(LedgerRefused):
    pass


@dataclass(frozen=True, slots=True)
class ControlAddress:
    """Where a running server takes the command line's calls: a loopback URL and its bearer token."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"ControlAddress(url={self.url!r}, token=…)"


class InUse(LedgerRefused):
    """``control`` None: the holder is not a server, or has not come up far enough to take calls."""

    def __init__(
        self, message: str, *, pid: int | None = None, control: ControlAddress | None = None
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.control = control
