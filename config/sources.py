"""What a configuration was read from, and whether that has changed since.

Files are looked at through links: a ConfigMap, a Secret and whatever writes in their manner change all their
files at once, by putting one link in another's place. Looking is a few microseconds a file, needs nothing of
the file system (network volumes tell of no events), and finds files that come to fit a pattern.
"""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass

Signature = tuple[tuple[str, tuple[int, ...] | None], ...]
"""Each path with what tells its content from another's; None where nothing is there."""


@dataclass(frozen=True, slots=True)
class Sources:
    """``files`` are absolute, those of secrets included; ``patterns`` as ``glob`` takes them."""

    files: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()

    def __or__(self, other: Sources) -> Sources:
        return Sources(self.files | other.files, self.patterns | other.patterns)

    def signature(self) -> Signature:
        """Another one as soon as any of it may read differently. It blocks for as long as the file system
        takes."""
        found = set(self.files)
        for pattern in self.patterns:
            found.update(glob.glob(pattern))
        return tuple((path, _stamp(path)) for path in sorted(found))


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        state = os.stat(path)
    except (OSError, ValueError):
        return None
    # The time of the inode as well: a file that was moved into place may be older than the one before.
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
