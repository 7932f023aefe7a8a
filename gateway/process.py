"""What this process asks of its host before it serves: the allocator's settings and enough open files."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MMAP_THRESHOLD = 4 << 20
_TRIM_THRESHOLD = 64 << 20
_COLLECT_AFTER = (5_000, 10, 10)
WANTED_FILES = 4096


def tune_allocator() -> bool:
    """Keep glibc from serving 64-256 KB read buffers by mmap, which made uploads about half as fast, and from
    giving each thread an arena of its own, which kept 40 MiB of freed spool chunks (bench/slow_readers.py).
    False where the C library has no ``mallopt`` (musl, macOS)."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_THRESHOLD, _MMAP_THRESHOLD), (_M_TRIM_THRESHOLD, _TRIM_THRESHOLD), (_M_ARENA_MAX, 1))
    accepted = [bool(mallopt(name, value)) for name, value in settings]
    return all(accepted)


def settle() -> None:
    """What the start has made stays, some 160,000 objects: the garbage collector need not look at them again,
    which stopped the event loop for 60 ms and more each time. Nor need it come several times a request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def raise_file_limit() -> int:
    """Raise the soft limit of open files towards ``WANTED_FILES``; the limit now in force. A held request
    needs two sockets, and a spooled one a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft
