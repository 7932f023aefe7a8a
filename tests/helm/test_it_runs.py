"""The files, arguments and Secrets of the chart, laid out as in the pods, start real gateways."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fresh.user import Run
from tests.gateway_process import clean_environment
from tests.helm.rendered import CHART, VALUES, Object, Rendered, rendered
from tests.servers import ROOT

COMMAND = [sys.executable, "-P", "-m", "gateway.cli.main"]

SEVERAL = ("keda", "--set", "drain.delaySeconds=0,metrics.tokenSecret.name=metrics")
"""Replicas on PostgreSQL and Redis, with a volume for media."""
TOKEN = "what Prometheus sends"


class Cluster:
    """One folder in place of the file systems of the pods; each replica has a data folder of its own."""

    def __init__(self, chart: Rendered, folder: Path, secrets: dict[str, str]) -> None:
        self._folder = folder
        for place, files in (("/etc/imagegate", chart.files()), ("/run/secrets/imagegate", secrets)):
            inside = self._place(place)
            inside.mkdir(parents=True)
            for name, text in files.items():
                (inside / name).write_text(self.moved(text), encoding="utf-8")

    def _place(self, path: str) -> Path:
        return self._folder / path.lstrip("/")

    def moved(self, text: str, replica: str = "") -> str:
        """With the pods' absolute paths put below our folder, and any free port of this machine."""
        for path in ("/etc/imagegate", "/run/secrets/imagegate", "/var/lib/imagegate-media"):
            text = text.replace(path, str(self._place(path)))
        text = text.replace("=/var/lib/imagegate", f"={self.data(replica)}")
        text = self.data(replica).as_posix() if text == "/var/lib/imagegate" else text
        return text.replace("=0.0.0.0", "=127.0.0.1").replace("=8080", "=0")

    def data(self, replica: str) -> Path:
        return self._place("/var/lib/imagegate") / replica

    def words(self, container: Object, replica: str) -> list[str]:
        return [*COMMAND, *(self.moved(word, replica) for word in container["args"])]

    def run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=ROOT, env=clean_environment(self._folder), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path, postgres_database: str, redis_server: str) -> Cluster:
    secrets = {"database-url": postgres_database, "redis-url": redis_server, "server-secret": "s" * 48}
    secrets["metrics-token"] = TOKEN
    return Cluster(rendered(*SEVERAL), tmp_path, secrets)


def test_the_job_migrates_and_two_replicas_serve(cluster: Cluster, tmp_path: Path) -> None:
    chart = rendered(*SEVERAL)
    (job,) = chart.one("Job")["spec"]["template"]["spec"]["containers"]
    for said in ("was none and is", "is ready: its schema is"):
        done = cluster.run(cluster.words(job, "job"))
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    with ExitStack() as stack:
        keys = []
        for replica in ("one", "two"):
            folder = tmp_path / replica
            folder.mkdir()
            words = cluster.words(chart.gateway, replica)
            gateway = stack.enter_context(Run(words, cwd=folder, env={"PYTHONPATH": str(ROOT)}))
            if not keys:
                keys.append(gateway.first_key(cluster.data(replica)))
            _helm_test(gateway.base_url, keys[0], tmp_path)
            _is_scraped(gateway.base_url)


def _helm_test(base_url: str, key: str, home: Path) -> None:
    variables = clean_environment(home, {"GATEWAY": base_url, "MODEL": "sandbox", "GATEWAY_KEY": key})
    script = (CHART / "files" / "picture.py").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        env=variables, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "a picture of" in done.stdout, done.stderr


def _is_scraped(base_url: str) -> None:
    """With the token, and with what the chart scales on."""
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{base_url}/metrics", timeout=10)
    request = urllib.request.Request(f"{base_url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    assert re.search(rf"^{VALUES['autoscaling']['metric']}(\{{.*\}})? \d", text, re.MULTILINE), text


def test_a_job_that_cannot_reach_the_database_ends_the_upgrade(tmp_path: Path) -> None:
    nobody = "postgresql+asyncpg://imagegate:hush@127.0.0.1:9/none"
    cluster = Cluster(
        rendered("keda"), tmp_path, {"database-url": nobody, "redis-url": "x", "server-secret": "s"}
    )
    (job,) = rendered("keda").one("Job")["spec"]["template"]["spec"]["containers"]
    done = cluster.run(cluster.words(job, "job"))
    assert done.returncode != 0
    assert "cannot be reached" in " ".join(done.stderr.replace("│", " ").split())
    assert "hush" not in done.stdout + done.stderr


def test_a_job_ends_the_upgrade_where_the_configuration_cannot_be_used(tmp_path: Path) -> None:
    chart = rendered("keda", "--set", "config.providers.openai.type=opnai")
    cluster = Cluster(chart, tmp_path, {})
    (job,) = chart.one("Job")["spec"]["template"]["spec"]["containers"]
    done = cluster.run(cluster.words(job, "job"))
    assert done.returncode == 1
    assert "providers.openai" in done.stderr
