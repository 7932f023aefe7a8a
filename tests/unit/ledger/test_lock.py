from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.ledger.lock import take, take_data_folder
from gateway.ledger.refusals import ControlAddress, InUse
from tests.servers import ROOT

ADDRESS = ControlAddress("http://127.0.0.1:9", "a token")


def test_one_holder_at_a_time_and_the_other_learns_whom_to_ask(tmp_path: Path) -> None:
    held = take_data_folder(tmp_path / "data")
    with pytest.raises(InUse) as starting:
        take_data_folder(tmp_path / "data", wait=0)
    assert (starting.value.pid, starting.value.control) == (os.getpid(), None)
    held.publish(ADDRESS)
    with pytest.raises(InUse, match=f"process {os.getpid()}") as busy:
        take_data_folder(tmp_path / "data", wait=0)
    assert busy.value.control == ADDRESS
    held.release()
    take_data_folder(tmp_path / "data", wait=0).release()


def test_the_file_and_its_token_are_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch(mode=0o644)
    held = take(path)
    held.publish(ADDRESS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["control"] == {"url": ADDRESS.url, "token": ADDRESS.token}
    assert "a token" not in repr(ADDRESS)
    held.release()
    held.release()
    assert path.read_text() == ""


def test_what_a_killed_process_left_is_ignored(tmp_path: Path) -> None:
    program = """
import sys, time, pathlib
from gateway.ledger.lock import take
from gateway.ledger.refusals import ControlAddress
held = take(pathlib.Path(sys.argv[1]))
held.publish(ControlAddress("http://127.0.0.1:9", "stale"))
print("held", flush=True)
time.sleep(60)
"""
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InUse) as busy:
            take(path)
        assert busy.value.pid == holder.pid
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    assert "stale" in path.read_text()
    held = take(path)
    assert json.loads(path.read_text()) == {"pid": os.getpid()}
    held.release()


def test_it_waits_for_a_short_holder(tmp_path: Path) -> None:
    from threading import Timer

    held = take(tmp_path / "lock")
    timer = Timer(0.2, held.release)
    timer.start()
    began = time.monotonic()
    take(tmp_path / "lock", wait=60).release()
    assert time.monotonic() - began < 30
    timer.join()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x", "control": 7}'])
def test_a_text_that_says_nothing_is_a_holder_without_a_name(content: str, tmp_path: Path) -> None:
    held = take(tmp_path / "lock")
    (tmp_path / "lock").write_text(content)
    with pytest.raises(InUse, match="another process") as busy:
        take(tmp_path / "lock")
    assert (busy.value.pid, busy.value.control) == (None, None)
    held.release()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        take(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
