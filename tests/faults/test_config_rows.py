"""A configuration that changes under a gateway that serves, as operators change it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway_process import KEY, ORGANIZATION, Gateway, clean_environment, launch
from tests.servers import ROOT
from tests.simulators.process import UpstreamProcess

PATIENCE = 30.0
"""Seconds; a change takes two or three."""


def sandbox(*models: str, latency: str = "0", server: str = "") -> str:
    targets = "targets: [{provider: sandbox, model: sandbox}]"
    names = ", ".join(f"{name}: {{catalog: sandbox, {targets}}}" for name in models)
    return f"providers: {{sandbox: {{type: sandbox, latency: {latency}}}}}\nmodels: {{{names}}}\n{server}\n"


@contextmanager
def serving(text: str, folder: Path, **options: Any) -> Iterator[Gateway]:
    gateway = launch(text, folder=folder, **options)
    try:
        yield gateway
    finally:
        gateway.stop()


def get(gateway: Gateway, path: str) -> httpx.Response:
    return httpx.get(gateway.base_url + path, headers={"authorization": f"Bearer {KEY}"}, trust_env=False)


def models(gateway: Gateway) -> list[str]:
    return [model["id"] for model in get(gateway, "/v1/models").json()["data"]]


def stands(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = get(gateway, "/readyz").json()["config"]
    return found


def draw(gateway: Gateway, model: str) -> int:
    body = {"model": model, "prompt": "a red kite", "size": "1024x1024"}
    headers = {"authorization": f"Bearer {KEY}"}
    answer = httpx.post(
        f"{gateway.api}/images/generations", json=body, headers=headers, timeout=30, trust_env=False
    )
    return answer.status_code


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def written(folder: Path, text: str) -> None:
    """As editors do: another file in its place."""
    (folder / "new.yaml").write_text(text + ORGANIZATION)
    os.replace(folder / "new.yaml", folder / "gateway.yaml")


def reload(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-P",
        "-m",
        "gateway.cli.main",
        "reload",
        "--config",
        str(folder / "gateway.yaml"),
    ]
    return subprocess.run(
        [*command, *options],
        cwd=ROOT,
        env=clean_environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_f59_a_file_that_is_invalid_on_reload_changes_nothing(tmp_path: Path) -> None:
    """Old config stays, readiness unchanged, ``config_rejected`` is an error in the log; and the next valid
    one is taken."""
    with serving(sandbox("draw"), tmp_path) as gateway:
        before = stands(gateway)
        written(tmp_path, sandbox("paint") + "routing: {deadline: never}\nserver: {prot: 1}\n")
        until(lambda: stands(gateway)["refused"] is not None)
        told = stands(gateway)
        assert (told["version"], told["digest"]) == (before["version"], before["digest"])
        assert get(gateway, "/readyz").status_code == 200
        assert (models(gateway), draw(gateway, "draw")) == (["draw"], 200)
        events = [json.loads(line) for line in gateway.log_text().splitlines() if line.startswith("{")]
        assert [event["level"] for event in events if event["event"] == "config_rejected"] == ["error"]
        assert any("routing.deadline" in problem for problem in told["refused"]["problems"])
        assert any("prot" in problem for problem in told["refused"]["problems"])
        metrics = get(gateway, "/metrics").text
        assert "imagegate_config_refused 1.0" in metrics
        assert 'imagegate_config_reloads_total{outcome="refused"} 1.0' in metrics

        asked = reload(tmp_path, "--status", "--data", str(gateway.data))
        assert asked.returncode == 1
        assert "gateway.yaml" in asked.stderr
        assert "server.prot" in asked.stderr

        written(tmp_path, sandbox("paint"))
        until(lambda: models(gateway) == ["paint"])
        assert stands(gateway)["refused"] is None
        assert "imagegate_config_refused 0.0" in get(gateway, "/metrics").text


def test_links_that_are_put_in_another_s_place_are_followed(tmp_path: Path) -> None:
    """A ConfigMap's files and a Secret's change by one link, all at once; nothing that is watched by its name
    is ever written to."""
    with UpstreamProcess() as upstream:
        volume = tmp_path / "volume"

        def put(number: int, key: str) -> None:
            (volume / f"..{number}").mkdir(parents=True)
            (volume / f"..{number}" / "teams.yaml").write_text(ORGANIZATION)
            (volume / f"..{number}" / "key").write_text(key)
            (volume / "..next").symlink_to(f"..{number}")
            os.replace(volume / "..next", volume / "..data")

        put(1, "sk-wrong")
        for name in ("teams.yaml", "key"):
            (volume / name).symlink_to(f"..data/{name}")
        account = f'{{type: openai, base_url: "{upstream.base_url}", api_key: "file:{volume}/key"}}'
        main = (
            f"providers: {{up: {account}}}\ninclude: ['{volume}/teams.yaml']\norganization: {{}}\n"
            "models: {draw: {targets: [{provider: up, model: gpt-image-2}]}}\n"
        )
        with serving(main, tmp_path) as gateway:
            assert draw(gateway, "draw") == 502

            put(2, upstream.key)
            until(lambda: stands(gateway)["version"] == 2)
            assert draw(gateway, "draw") == 200


def test_a_file_that_comes_to_fit_an_include_is_taken_in(tmp_path: Path) -> None:
    (tmp_path / "models.d").mkdir()
    with serving(sandbox("draw") + "include: [models.d/*.yaml]\n", tmp_path) as gateway:
        target = "targets: [{provider: sandbox, model: sandbox}]"
        (tmp_path / "models.d" / "more.yaml").write_text(f"models: {{paint: {{catalog: sandbox, {target}}}}}")
        until(lambda: models(gateway) == ["draw", "paint"])
        (tmp_path / "models.d" / "more.yaml").unlink()
        until(lambda: models(gateway) == ["draw"])


@pytest.mark.parametrize("how", ["signal", "command"])
def test_without_watching_only_a_signal_or_a_command_has_it_read(tmp_path: Path, how: str) -> None:
    with serving(sandbox("draw", server="server: {watch: false}"), tmp_path) as gateway:
        written(tmp_path, sandbox("paint", server="server: {watch: false}"))
        time.sleep(3)  # as long as one that watches needs
        assert models(gateway) == ["draw"]
        if how == "signal":
            gateway.process.send_signal(signal.SIGHUP)
            until(lambda: models(gateway) == ["paint"])
        else:
            told = reload(tmp_path, "--json", "--data", str(gateway.data))
            assert told.returncode == 0, told.stderr
            assert json.loads(told.stdout)["version"] == 2
            assert models(gateway) == ["paint"]
        assert stands(gateway)["because"] == how


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc whether the process is past its first line")
def test_a_signal_that_comes_before_it_serves_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(sandbox("draw") + ORGANIZATION)
    command = [sys.executable, "-P", "-m", "gateway.cli.main", "serve", "--port", "0"]
    with (tmp_path / "log").open("w+") as told:
        process = subprocess.Popen(
            [*command, "--config", str(tmp_path / "gateway.yaml")],
            cwd=ROOT,
            env=clean_environment(tmp_path),
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        try:
            until(lambda: _waits_with_hangups(process.pid))
            process.send_signal(signal.SIGHUP)
            until(lambda: "listening on" in (tmp_path / "log").read_text())
            assert not _waits_with_hangups(process.pid)
            assert process.poll() is None
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _waits_with_hangups(pid: int) -> bool:
    blocked = next(
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigBlk" in line
    )
    return bool(int(blocked, 16) & 1 << (signal.SIGHUP - 1))


def test_who_asks_where_nobody_serves_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("a: [")
    for options in (["--status"], ["--data", str(tmp_path / "none")]):
        told = reload(tmp_path, *options)
        assert told.returncode == 1
        assert "No imagegate serves" in told.stderr
        assert "--data" in told.stderr
