"""Every value set of the chart: linted, taken by Kubernetes, as before, and of use to the gateway."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from config.media import MediaSettings
from config.units import parse_bytes
from tests.helm.rendered import (
    CHART,
    GOLDEN,
    KUBERNETES,
    VALUE_SETS,
    VALUES,
    Rendered,
    configuration,
    golden,
    rendered,
    run_helm,
    values_file,
)
from tests.servers import ROOT

WITHOUT_SCHEMA = {
    "HTTPRoute", "ScaledObject", "ServiceMonitor", "PodMonitor", "PrometheusRule", "GCPBackendPolicy",
    "ExternalSecret",
}  # fmt: skip
"""Kinds that Kubernetes does not bring; test_other_kinds.py says what they must hold."""


def test_there_are_value_sets_for_what_the_chart_can_do() -> None:
    assert len(VALUE_SETS) >= 8
    kinds = {found["kind"] for name in VALUE_SETS for found in rendered(name).objects}
    assert kinds >= WITHOUT_SCHEMA | {
        "Deployment", "Service", "ServiceAccount", "ConfigMap", "Ingress", "Job", "NetworkPolicy", "Pod",
        "PersistentVolumeClaim", "PodDisruptionBudget", "HorizontalPodAutoscaler",
    }  # fmt: skip
    assert "Secret" not in kinds


@pytest.mark.parametrize("name", ["", *VALUE_SETS])
def test_helm_lint_finds_nothing(name: str) -> None:
    values = ["--values", str(values_file(name))] if name else []
    done = run_helm("lint", "--strict", str(CHART), *values)
    assert done.returncode == 0, done.stdout
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("name", VALUE_SETS)
@pytest.mark.parametrize("version", ["1.28", KUBERNETES])
def test_every_object_is_what_kubernetes_takes(name: str, version: str) -> None:
    """Strict: a name that no field has is refused."""
    for found in rendered(name).objects:
        try:
            kubernetes_validate.validate(found, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            assert found["kind"] in WITHOUT_SCHEMA


@pytest.mark.parametrize("name", VALUE_SETS)
def test_it_renders_as_before(name: str) -> None:
    """What changed is to be looked at; `python -m tests.helm.rendered` then takes it over."""
    assert _lines(golden(name)) == _lines((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))


def _lines(text: str) -> list[str]:
    """Without the empty ones, of which Helm 4 leaves more between objects."""
    return [each for each in text.splitlines() if each.strip()]


def test_no_golden_file_is_left_over() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.yaml")) == VALUE_SETS


@pytest.mark.parametrize("name", [name for name in VALUE_SETS if name != "existing-config"])
def test_the_gateway_takes_the_configuration_that_the_chart_writes(name: str, tmp_path: Path) -> None:
    chart = rendered(name)
    settings = configuration(chart, tmp_path).settings
    assert settings.server.drain.grace is not None
    kill = chart.pod["spec"]["terminationGracePeriodSeconds"]
    assert kill >= settings.server.drain.grace + 5
    if name != "spot":
        assert settings.server.drain.grace >= settings.routing.longest_call + 15


def test_migration_and_pods_read_one_configuration_and_one_database() -> None:
    chart = rendered("production")
    maps = {found["metadata"]["name"]: found["data"] for found in chart.all("ConfigMap")}
    assert maps["imagegate-migrate"] == maps["imagegate-config"]
    job = chart.one("Job")["spec"]["template"]["spec"]
    assert [volume for volume in job["volumes"] if volume["name"] == "secrets"] == [
        volume for volume in chart.pod["spec"]["volumes"] if volume["name"] == "secrets"
    ]
    assert job["containers"][0]["image"] == chart.gateway["image"]


def test_every_mounted_secret_is_a_file_under_a_name_of_its_own() -> None:
    (secrets,) = (
        v["projected"] for v in rendered("production").pod["spec"]["volumes"] if v["name"] == "secrets"
    )
    paths = [item["path"] for source in secrets["sources"] for item in source["secret"].get("items", [])]
    assert paths == ["database-url", "redis-url", "server-secret", "metrics-token"]
    assert secrets["defaultMode"] == 0o440


def test_what_the_configuration_refers_to_is_mounted(tmp_path: Path) -> None:
    chart = rendered("production")
    text = chart.files()["imagegate.yaml"]
    (mount,) = (m["mountPath"] for m in chart.gateway["volumeMounts"] if m["name"] == "secrets")
    references = [word for word in text.split() if word.startswith("file:")]
    assert references
    assert all(reference.startswith(f"file:{mount}/") for reference in references)


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_volume_is_mounted_and_every_mount_has_its_volume(name: str) -> None:
    chart = rendered(name)
    pods = [chart.pod["spec"], *(found["spec"]["template"]["spec"] for found in chart.all("Job"))]
    for pod in pods:
        containers = [*pod["containers"], *pod.get("initContainers", [])]
        mounted = {mount["name"] for each in containers for mount in each.get("volumeMounts", [])}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    folders = [mount["mountPath"] for mount in chart.gateway["volumeMounts"]]
    assert len(set(folders)) == len(folders)
    assert not [m for m in chart.gateway["volumeMounts"] if "subPath" in m], (
        "a subPath never follows a change"
    )


def test_pods_of_jobs_and_tests_get_no_requests() -> None:
    chart = rendered("production")
    selector = chart.one("Service")["spec"]["selector"].items()
    assert selector <= chart.pod["metadata"]["labels"].items()
    for labels in (
        chart.one("Job")["spec"]["template"]["metadata"]["labels"],
        chart.one("Pod")["metadata"]["labels"],
    ):
        assert not selector <= labels.items()


def test_pods_are_replaced_when_the_configuration_changes_and_only_then() -> None:
    before, same = rendered("production"), rendered("production", "--set", "service.port=81")
    after = rendered("production", "--set", "config.organization.timezone=UTC")

    def checksum(chart: Rendered) -> str:
        return str(chart.pod["metadata"]["annotations"]["checksum/config"])

    assert checksum(before) == checksum(same) != checksum(after)
    assert "checksum/config" not in rendered("existing-config").pod["metadata"]["annotations"]


def test_every_time_follows_the_deadline() -> None:
    chart = rendered("production", "--set", "requestDeadlineSeconds=400")
    assert chart.pod["spec"]["terminationGracePeriodSeconds"] == 400 + 120 + 15 + 5
    config = yaml.safe_load(chart.files()["imagegate.yaml"])
    assert config["routing"]["deadline"] == "400s"
    assert config["server"]["drain"]["grace"] == "535s"


def test_sqlite_has_one_writer_on_a_volume_that_outlives_the_release() -> None:
    chart = rendered("sqlite")
    spec = chart.one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    claim = chart.one("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert chart.all("Job") == []


def test_pictures_do_not_fill_the_ledger_s_volume() -> None:
    size = parse_bytes(VALUES["persistence"]["size"] + "B")
    assert size >= MediaSettings().max_total + 5 * 2**30


def test_with_a_vault_agent_secrets_are_files_of_its_making() -> None:
    chart = rendered("vault")
    config = yaml.safe_load(chart.files()["imagegate.yaml"])
    assert config["storage"]["database"] == "file:/vault/secrets/database"
    assert config["storage"]["quota"] == "file:/vault/secrets/redis"
    assert config["server"]["secret"] == "file:/vault/secrets/server"
    assert "secretRef" not in chart.text
    assert "secretKeyRef" not in chart.text
    assert [each["name"] for each in chart.pod["spec"]["initContainers"]] == ["migrate"]
    assert chart.all("Job") == [], "a job that waits for an agent would never end"


def test_dashboards_and_rules_come_from_the_chart_s_own_folders(tmp_path: Path) -> None:
    copy = tmp_path / "imagegate"
    shutil.copytree(CHART, copy)
    for folder in ("dashboards", "rules"):
        shutil.rmtree(copy / folder, ignore_errors=True)
    wanted = ["--set", "metrics.dashboards.enabled=true", "--set", "metrics.rules.enabled=true"]
    empty = run_helm("template", "x", str(copy), *wanted)
    assert empty.returncode == 0, empty.stderr
    assert "PrometheusRule" not in empty.stdout

    (copy / "dashboards").mkdir()
    (copy / "rules").mkdir()
    (copy / "dashboards" / "Ops_one.json").write_text('{"uid": "ops", "x": "{{ $labels.model }}"}')
    (copy / "rules" / "money.yaml").write_text(
        'groups: [{name: money, rules: [{alert: A, expr: up, annotations: {summary: "{{ $labels.x }}"}}]}]'
    )
    full = run_helm("template", "x", str(copy), *wanted)
    objects = {found["kind"]: found for found in yaml.safe_load_all(full.stdout) if found}
    (dashboard,) = (
        found
        for found in yaml.safe_load_all(full.stdout)
        if found and found["metadata"]["labels"].get("grafana_dashboard") == "1"
    )
    assert dashboard["metadata"]["name"] == "x-imagegate-ops-one"
    assert dashboard["data"]["Ops_one.json"].strip() == '{"uid": "ops", "x": "{{ $labels.model }}"}'
    (group,) = objects["PrometheusRule"]["spec"]["groups"]
    assert group["rules"][0]["annotations"]["summary"] == "{{ $labels.x }}"


def test_the_chart_is_of_the_version_that_it_starts() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert chart["appVersion"] == project["version"]
    assert f":{project['version']}" in chart["annotations"]["artifacthub.io/images"]


def test_helm_test_draws_nothing_that_costs() -> None:
    (pod,) = rendered("production").all("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    (model,) = (each["value"] for each in container["env"] if each["name"] == "MODEL")
    config = yaml.safe_load(rendered("production").files()["imagegate.yaml"])
    types = {config["providers"][target["provider"]]["type"] for target in config["models"][model]["targets"]}
    assert types == {"sandbox"}
    source = (CHART / "files" / "picture.py").read_text(encoding="utf-8")
    assert (
        hashlib.sha256(container["args"][0].strip().encode()).digest()
        == hashlib.sha256(source.strip().encode()).digest()
    )
