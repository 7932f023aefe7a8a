"""What the process asks of its host and of Python before it serves."""

from __future__ import annotations

import subprocess
import sys

_SETTLED = """
import gc
from gateway import process

made = [[n] for n in range(1000)]
process.settle()
assert not any(each is made for each in gc.get_objects())
later = [made]
assert any(each is later for each in gc.get_objects())
"""


def test_what_the_start_has_made_is_not_collected_again() -> None:
    done = subprocess.run([sys.executable, "-c", _SETTLED], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
