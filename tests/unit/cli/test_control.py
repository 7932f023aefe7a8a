"""Beside a running server the command line asks it, and never opens the database."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from litestar.testing import AsyncTestClient

from config.schema import Settings
from gateway.api.control import build_control_app
from gateway.ledger.administration import Administration
from gateway.ledger.ledger import Ledger
from gateway.ledger.lock import take_data_folder
from gateway.ledger.refusals import ControlAddress
from tests.gateway_process import Gateway, clean_environment
from tests.servers import ROOT
from tests.unit.cli.conftest import CONFIG, Run, parsed

Start = Callable[..., Gateway]


def control_of(gateway: Gateway) -> dict[str, str]:
    found: dict[str, str] = json.loads((gateway.data / "lock").read_text())["control"]
    return found


def post(url: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, object]]:
    where = urlsplit(url)
    link = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        link.request("POST", path, body, {"Content-Type": "application/json", **headers})
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        link.close()


def ask(gateway: Gateway, key: str) -> int:
    """The status of GET /v1/models under ``key``."""
    where = urlsplit(gateway.base_url)
    link = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        link.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
        return link.getresponse().status
    finally:
        link.close()


def test_a_key_made_beside_a_running_server_works_at_once_and_ends_when_revoked(
    start_gateway: Start, run: Run
) -> None:
    gateway = start_gateway(CONFIG)
    where = ("--data", str(gateway.data))
    made = parsed(run("keys", "create", "--name", "x", "--project", "growth", *where, "--json"))
    assert ask(gateway, made["key"]) == 200
    assert made["id"] in {key["id"] for key in parsed(run("keys", "list", *where, "--json"))["keys"]}
    assert parsed(run("keys", "revoke", made["id"], *where, "--json"))["revoked_at"] is not None
    until = time.monotonic() + 15  # a server may believe a look-up for some seconds
    while ask(gateway, made["key"]) == 200 and time.monotonic() < until:
        time.sleep(0.2)
    assert ask(gateway, made["key"]) == 401
    report = parsed(run("usage", *where, "--json"))
    assert report["timezone"] == "Europe/Vienna"


def test_refusals_of_the_server_read_like_those_of_the_command(start_gateway: Start, run: Run) -> None:
    gateway = start_gateway(CONFIG)
    result = run("keys", "revoke", "key_none", "--data", str(gateway.data))
    assert result.exit_code == 1
    assert "no key 'key_none'" in result.stderr
    assert (
        "no project 'x'"
        in run("keys", "create", "--name", "x", "--project", "x", "--data", str(gateway.data)).stderr
    )


def test_nobody_controls_the_server_without_the_token(start_gateway: Start) -> None:
    gateway = start_gateway(CONFIG)
    control = control_of(gateway)
    assert urlsplit(control["url"]).hostname == "127.0.0.1"
    right = {"Authorization": f"Bearer {control['token']}"}
    assert post(control["url"], "/status", b"{}", right)[1]["pid"] == gateway.process.pid
    for wrong in (
        {},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {control['token']}x"},
        {"Authorization": control["token"]},
        {"Authorization": f"Bearer {gateway.key}"},
    ):
        for path in ("/status", "/keys/create", "/keys/list", "/usage"):
            status, body = post(control["url"], path, b'{"name": "x"}', wrong)
            assert (status, "key" in body) == (401, False)
    assert post(control["url"], "/none", b"{}", right)[0] == 404
    assert post(control["url"], "/keys/list", b"not json", right)[0] == 400
    assert post(control["url"], "/keys/create", json.dumps({"name": 7}).encode(), right)[0] == 400
    assert post(control["url"], "/keys/create", b" " * 100_000, right)[0] == 413
    # The same routes are nowhere on the public address.
    assert post(gateway.base_url, "/keys/list", b"{}", right)[0] == 404
    assert control["token"] not in gateway.log_text()


def test_a_second_server_on_the_same_data_folder_is_refused_by_the_pid_of_the_first(
    start_gateway: Start, tmp_path: Path
) -> None:
    gateway = start_gateway(CONFIG)
    second = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "serve", "--port", "0", "--data", str(gateway.data)],
        cwd=ROOT,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode != 0
    assert f"process {gateway.process.pid}" in second.stdout + second.stderr


def test_after_a_killed_server_the_command_opens_the_ledger_itself(start_gateway: Start, run: Run) -> None:
    gateway = start_gateway(CONFIG)
    where = ("--data", str(gateway.data))
    made = parsed(run("keys", "create", "--name", "x", "--project", "growth", *where, "--json"))
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.wait(10)
    assert json.loads((gateway.data / "lock").read_text())["control"]["url"]
    assert made["id"] in {key["id"] for key in parsed(run("keys", "list", *where, "--json"))["keys"]}


def test_a_stopped_server_leaves_no_token_behind(start_gateway: Start) -> None:
    gateway = start_gateway(CONFIG)
    assert control_of(gateway)["token"]
    assert gateway.stop() == 0
    assert (gateway.data / "lock").read_text() == ""


def test_a_command_waits_for_another_command(run: Run, tmp_path: Path) -> None:
    held = take_data_folder(tmp_path / "data")
    timer = threading.Timer(0.5, held.release)
    began = time.monotonic()
    timer.start()
    assert parsed(run("keys", "list", "--json")) == {"keys": []}
    assert time.monotonic() - began >= 0.4
    timer.join()


def test_a_server_that_does_not_answer_is_named(run: Run, tmp_path: Path) -> None:
    held = take_data_folder(tmp_path / "data")
    held.publish(ControlAddress("http://127.0.0.1:9", "t"))
    result = run("keys", "list")
    held.release()
    assert result.exit_code == 1
    assert f"process {os.getpid()}" in result.stderr


def test_the_command_holds_the_lock_while_it_works(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def look(self: Administration, operation: str, body: object) -> dict[str, object]:
        with (tmp_path / "data" / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                seen.append("free")
            except BlockingIOError:
                seen.append("held")
        return {"keys": []}

    monkeypatch.setattr(Administration, "perform", look)
    assert run("keys", "list", "--json").exit_code == 0
    assert seen == ["held"]
    take_data_folder(tmp_path / "data", wait=0).release()


async def test_a_failure_inside_the_server_is_an_error_with_words(tmp_path: Path) -> None:
    ledger = await Ledger.open("sqlite:///imagegate.db", tmp_path)
    # An empty pepper cannot digest a key.
    app = build_control_app(Administration(ledger, Settings(), lambda: b"").perform, "t")
    async with AsyncTestClient(app, raise_server_exceptions=False) as client:
        answer = await client.post("/keys/create", json={"name": "x"}, headers={"Authorization": "Bearer t"})
    await ledger.close()
    assert answer.status_code == 500
    assert "its log says why" in answer.json()["error"]["message"]
