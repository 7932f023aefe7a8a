"""What would lose money, keys or requests is refused, with its reason, before anything is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.rendered import template, values_file

SHARED: dict[str, Any] = {
    "serverSecret": {"existingSecret": {"name": "s"}},
    "database": {"kind": "postgres", "existingSecret": {"name": "d"}},
    "redis": {"existingSecret": {"name": "r"}},
    "media": {"bucket": "s3://pictures"},
    "networkPolicy": {"stores": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [5432]}]},
}
"""What several replicas need; each case below takes something away or adds it."""

INGRESS = {"ingress": {"enabled": True, "hosts": ["images.example.com"]}}

BY_SCHEMA: dict[str, tuple[dict[str, Any], str]] = {
    "a name that is none": ({"replica": 2}, "replica"),
    "a name that is none, further in": ({"database": {"url": "postgresql://x"}}, "url"),
    "a port as text": ({"service": {"port": "80"}}, "port"),
    "no replica": ({"replicas": 0}, "replicas"),
    "an image that changes under its name": ({"image": {"tag": "latest"}}, "tag"),
    "half a digest": ({"image": {"digest": "sha256:abc"}}, "digest"),
    "a deadline above the gateway's own": ({"requestDeadlineSeconds": 3600}, "requestDeadline"),
    "a provider's key in the values": (
        {"config": {"providers": {"openai": {"type": "openai", "api_key": "sk-123"}}}}, "api_key",
    ),
    "one of several keys in the values": (
        {"config": {"providers": {"openai": {"type": "openai", "api_keys": ["sk-123"]}}}}, "api_keys",
    ),
    "a secret as a plain variable": ({"extraEnv": [{"name": "OPENAI_API_KEY", "value": "sk-1"}]}, "extraEnv"),
    "the chart's own part of the configuration": ({"config": {"storage": {"quota": "local"}}}, "config"),
    "a deadline past the chart": ({"config": {"routing": {"deadline": "500s"}}}, "routing"),
    "a drain past the chart": ({"config": {"server": {"drain": {"grace": "30s"}}}}, "server"),
    "a writable root": ({"containerSecurityContext": {"readOnlyRootFilesystem": False}}, "readOnlyRoot"),
    "root": ({"podSecurityContext": {"runAsUser": 0}}, "runAsUser"),
    "root, if the image says so": ({"podSecurityContext": {"runAsNonRoot": False}}, "runAsNonRoot"),
    "a privileged container": ({"containerSecurityContext": {"privileged": True}}, "privileged"),
    "the metadata service in reach": ({"networkPolicy": {"privateRanges": ["10.0.0.0/8"]}}, "privateRanges"),
    "metrics without a token": ({"metrics": {"serviceMonitor": {"enabled": True}}}, "tokenSecret"),
    "metrics for the whole internet": ({"edge": {"paths": ["/v1", "/metrics"]}}, "paths"),
    "everything for the whole internet": ({"edge": {"paths": ["/"]}}, "paths"),
    "an ingress for any host": ({"ingress": {"enabled": True}}, "hosts"),
    "a route without a gateway": ({"httpRoute": {"enabled": True, "hostnames": ["a.example"]}}, "parentRefs"),
    "KEDA without Prometheus": ({**SHARED, "autoscaling": {"kind": "keda"}}, "serverAddress"),
    "PostgreSQL behind a closed policy": ({**SHARED, "networkPolicy": {}}, "networkPolicy"),
    "a volume for several": ({"persistence": {"accessModes": ["ReadWriteMany"]}}, "accessModes"),
    "a file over the main one": ({"configFiles": {"imagegate.yaml": "x"}}, "imagegate.yaml"),
}  # fmt: skip

BY_BOTH: dict[str, tuple[dict[str, Any], str]] = {
    "SQLite with two replicas": ({"replicas": 2}, "SQLite has one writer"),
    "SQLite with all but PostgreSQL for two": (
        {**SHARED, "database": {"kind": "sqlite"}, "replicas": 2}, "SQLite has one writer",
    ),
    "SQLite that scales": ({"autoscaling": {"kind": "hpa"}}, "SQLite has one writer"),
    "SQLite on nothing": ({"persistence": {"enabled": False}}, "loses keys and books"),
    "PostgreSQL without its address": ({**SHARED, "database": {"kind": "postgres"}}, "needs the address"),
    "replicas with secrets of their own": ({**SHARED, "serverSecret": {}}, "be the same in all"),
    "replicas that count apart": ({**SHARED, "replicas": 2, "redis": {}}, "exceed every limit together"),
    "two pods of one rollout that count apart": ({**SHARED, "redis": {}}, "exceed every limit together"),
    "links that work at one replica": ({**SHARED, "replicas": 2, "media": {}}, "work at every replica"),
    "links that end with the pod": ({**SHARED, "media": {}}, "outlive the pod"),
    "links, scaled": ({**SHARED, "autoscaling": {"kind": "hpa"}, "media": {}}, "work at every replica"),
    "a grace shorter than a call": ({"drain": {"graceSeconds": 60}}, "shorter than the longest call"),
    "killed before any call can end": ({"terminationGracePeriodSeconds": 30}, "at least 420"),
    "a Secret among the objects": (
        {"extraObjects": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}]},
        "holds a Secret",
    ),
}  # fmt: skip

BY_TEMPLATE: dict[str, tuple[dict[str, Any], str]] = {
    "a grace below the sum": ({"drain": {"graceSeconds": 414}}, "280 + 120 + 15 = 415"),
    "a grace below the sum of a longer deadline": (
        {"requestDeadlineSeconds": 400, "drain": {"graceSeconds": 500}}, "400 + 120 + 15 = 535",
    ),
    "killed in the last seconds of the drain": ({"terminationGracePeriodSeconds": 419}, "at least 420"),
    "killed before a longer deadline": (
        {"requestDeadlineSeconds": 400, "terminationGracePeriodSeconds": 420}, "at least 540",
    ),
    "killed before a short grace that is meant": (
        {"drain": {"graceSeconds": 100, "acceptUnknown": True}, "terminationGracePeriodSeconds": 102},
        "at least 105",
    ),
    "all delay and no drain": (
        {"drain": {"graceSeconds": 30, "delaySeconds": 20, "acceptUnknown": True}}, "longer than drain.delay",
    ),
    "a proxy that gives up first": ({**INGRESS, "edge": {"timeoutSeconds": 60}}, "at least requestDeadline"),
    "a proxy that gives up before a longer deadline": (
        {**INGRESS, "requestDeadlineSeconds": 500}, "for the upload = 620",
    ),
    "fewer at most than at least": (
        {**SHARED, "autoscaling": {"kind": "hpa", "minReplicas": 5, "maxReplicas": 3}}, "less than min",
    ),
    "two configurations": ({"existingConfigMap": "a", "config": {"media": {}}}, "one or the other"),
}  # fmt: skip


def _refused(values: dict[str, Any], folder: Path, *words: str) -> str:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = template("--values", str(file), *words)
    assert done.returncode != 0, "it was rendered"
    return done.stderr


@pytest.mark.parametrize("case", [*BY_SCHEMA, *BY_BOTH])
def test_the_schema_refuses(case: str, tmp_path: Path) -> None:
    values, word = {**BY_SCHEMA, **BY_BOTH}[case]
    said = _refused(values, tmp_path)
    assert "values don't meet the specifications of the schema" in said
    if case in BY_SCHEMA:
        assert word in said


@pytest.mark.parametrize("case", BY_BOTH)
def test_the_templates_refuse_it_too_where_the_schema_is_switched_off(case: str, tmp_path: Path) -> None:
    values, words = BY_BOTH[case]
    assert words in _refused(values, tmp_path, "--skip-schema-validation")


@pytest.mark.parametrize("case", BY_TEMPLATE)
def test_the_templates_compare_what_a_schema_cannot(case: str, tmp_path: Path) -> None:
    values, words = BY_TEMPLATE[case]
    said = _refused(values, tmp_path)
    assert words in said
    assert "specifications of the schema" not in said


def test_what_the_cases_start_from_is_taken(tmp_path: Path) -> None:
    """Else they would be refused for something else."""
    for number, values in enumerate(({**SHARED, "replicas": 3}, SHARED, INGRESS, {})):
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        done = template("--values", str(file))
        assert done.returncode == 0, done.stderr


def test_the_shipped_value_sets_need_no_switch() -> None:
    assert template("--values", str(values_file("production"))).returncode == 0
