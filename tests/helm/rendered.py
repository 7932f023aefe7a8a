"""The chart as Helm renders it. ``python -m tests.helm.rendered`` writes the golden files anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from config.loader import Loaded, load
from tests.servers import ROOT, NotObtainable

CHART = ROOT / "helm" / "imagegate"
GOLDEN = Path(__file__).parent / "golden"
KUBERNETES = "1.37"
VALUE_SETS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))

Object = dict[str, Any]
VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
"""The defaults."""


@cache
def helm() -> str:
    """The package's binary, else the one on PATH. Helm 3 and 4 both render the chart."""
    packaged = Path(sysconfig.get_path("scripts")) / "helm"
    found = str(packaged) if os.access(packaged, os.X_OK) else shutil.which("helm")
    if found is None:
        raise NotObtainable("helm: neither as the package helm-binary nor on PATH")
    return found


def run_helm(*words: str) -> subprocess.CompletedProcess[str]:
    # None of the tester's own repositories and plugins.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"}
    return subprocess.run(
        [helm(), *words], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def values_file(name: str) -> Path:
    return CHART / "ci" / f"{name}-values.yaml"


def template(*words: str) -> subprocess.CompletedProcess[str]:
    return run_helm(
        "template", "imagegate", str(CHART), "--namespace", "images", "--kube-version", KUBERNETES, *words
    )


@dataclass(frozen=True, slots=True)
class Rendered:
    """All objects of one set of values."""

    text: str
    objects: Sequence[Object]

    def all(self, kind: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str) -> Object:
        (found,) = self.all(kind)
        return found

    @property
    def pod(self) -> Object:
        """The pod template of the gateway."""
        found: Object = self.one("Deployment")["spec"]["template"]
        return found

    @property
    def gateway(self) -> Object:
        """The gateway's container."""
        (found,) = self.pod["spec"]["containers"]
        return dict(found)

    def files(self) -> dict[str, str]:
        """What lies in /etc/imagegate."""
        (volume,) = (found for found in self.pod["spec"]["volumes"] if found["name"] == "config")
        name = volume["configMap"]["name"]
        (found,) = (found for found in self.all("ConfigMap") if found["metadata"]["name"] == name)
        return dict(found["data"])


@cache
def rendered(name: str, *words: str) -> Rendered:
    """With one of the chart's own value sets; ``words`` are further options of helm."""
    done = template("--values", str(values_file(name)), *words)
    assert done.returncode == 0, done.stderr
    return Rendered(done.stdout, [found for found in yaml.safe_load_all(done.stdout) if found])


def configuration(chart: Rendered, folder: Path) -> Loaded:
    """What the gateway makes of the files that the chart writes."""
    for name, text in chart.files().items():
        (folder / name).write_text(text, encoding="utf-8")
    return load(folder / "imagegate.yaml")


def golden(name: str) -> str:
    """Without dashboards and rules, which are data of their own."""
    off = [f"metrics.{each}.enabled=false" for each in ("dashboards", "rules")]
    return rendered(name, "--set", ",".join(off)).text


if __name__ == "__main__":
    for old in GOLDEN.glob("*.yaml"):
        old.unlink()
    for each in VALUE_SETS:
        (GOLDEN / f"{each}.yaml").write_text(golden(each), encoding="utf-8")
    sys.stdout.write(f"{len(VALUE_SETS)} golden files in {GOLDEN.relative_to(ROOT)}\n")
