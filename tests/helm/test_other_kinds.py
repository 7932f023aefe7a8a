"""Kinds that bring their own schemas to a cluster: what must hold of them is said here.

Fields and their forms are those of Gateway API v1 (gateway.networking.k8s.io), KEDA 2 (keda.sh/v1alpha1), the
Prometheus operator (monitoring.coreos.com/v1) and GKE's policies (networking.gke.io/v1).
"""

from __future__ import annotations

import re

import pytest
import yaml

from tests.helm.rendered import VALUE_SETS, Object, Rendered, rendered

GATEWAY_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
"""GEP-2257."""

ROUTED = [name for name in VALUE_SETS if rendered(name).all("HTTPRoute")]


def _service_port(chart: Rendered) -> int:
    (port,) = chart.one("Service")["spec"]["ports"]
    return int(port["port"])


@pytest.mark.parametrize("name", ROUTED)
def test_a_route_leads_to_the_service_and_waits_as_long_as_a_picture_takes(name: str) -> None:
    chart = rendered(name)
    route = chart.one("HTTPRoute")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    spec = route["spec"]
    assert spec.keys() == {"parentRefs", "hostnames", "rules"}
    assert all(
        parent.keys() <= {"group", "kind", "namespace", "name", "sectionName", "port"}
        for parent in spec["parentRefs"]
    )
    (rule,) = spec["rules"]
    assert rule.keys() == {"matches", "timeouts", "backendRefs"}, "a `retry` would be paid for twice"
    assert rule["timeouts"].keys() == {"request", "backendRequest"}
    for wait in rule["timeouts"].values():
        assert GATEWAY_DURATION.fullmatch(wait)
        assert int(wait.removesuffix("s")) >= _deadline(chart) + 120
    assert [match["path"]["type"] for match in rule["matches"]] == ["PathPrefix"] * len(rule["matches"])
    (backend,) = rule["backendRefs"]
    assert backend == {"name": chart.one("Service")["metadata"]["name"], "port": _service_port(chart)}


def _deadline(chart: Rendered) -> int:
    return int(yaml.safe_load(chart.files()["imagegate.yaml"])["routing"]["deadline"].removesuffix("s"))


def test_keda_scales_the_deployment_on_requests_in_flight() -> None:
    chart = rendered("keda")
    scaled = chart.one("ScaledObject")
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    spec = scaled["spec"]
    assert spec.keys() == {
        "scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "fallback", "advanced",
        "triggers",
    }  # fmt: skip
    deployment = chart.one("Deployment")
    assert spec["scaleTargetRef"] == {"name": deployment["metadata"]["name"]}
    assert "replicas" not in deployment["spec"], "each upgrade would undo the scaling"
    assert 2 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]
    (trigger,) = spec["triggers"]
    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
    assert trigger["metadata"].keys() == {"serverAddress", "query", "threshold"}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert trigger["metadata"]["query"] == (
        'sum(imagegate_requests_in_flight{namespace="images",pod=~"imagegate-.*"})'
    )
    assert trigger["authenticationRef"] == {"name": "prometheus"}
    _leaves_slowly(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])


def test_an_hpa_does_the_same() -> None:
    chart = rendered("hpa")
    spec = chart.one("HorizontalPodAutoscaler")["spec"]
    deployment = chart.one("Deployment")
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    (metric,) = spec["metrics"]
    assert metric["pods"]["metric"]["name"] == "imagegate_requests_in_flight"
    _leaves_slowly(spec["behavior"])


def _leaves_slowly(behavior: Object) -> None:
    """A pod that is told to go works for minutes more; a shrinking fleet must not drain all at once."""
    down = behavior["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 600
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0


@pytest.mark.parametrize(
    ("name", "kind", "field"),
    [("production", "ServiceMonitor", "endpoints"), ("hpa", "PodMonitor", "podMetricsEndpoints")],
)
def test_a_monitor_finds_what_it_scrapes_and_has_the_token(name: str, kind: str, field: str) -> None:
    chart = rendered(name)
    monitor = chart.one(kind)
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["spec"].keys() == {"selector", field}
    found = chart.one("Service") if kind == "ServiceMonitor" else chart.pod
    assert monitor["spec"]["selector"]["matchLabels"].items() <= found["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"][field]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in {port["name"] for port in chart.gateway["ports"]}
    token = endpoint["authorization"]["credentials"]
    mounted = [
        (source["secret"]["name"], item["key"])
        for volume in chart.pod["spec"]["volumes"] if volume["name"] == "secrets"
        for source in volume["projected"]["sources"]
        for item in source["secret"].get("items", []) if item["path"] == "metrics-token"
    ]  # fmt: skip
    assert mounted == [(token["name"], token["key"])], (
        "Prometheus would send another token than the gateway's"
    )


def test_rules_of_one_s_own_come_along() -> None:
    rule = rendered("existing-config").one("PrometheusRule")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    own = rule["spec"]["groups"][-1]
    assert own == {"name": "own", "rules": [{"alert": "Own", "expr": "vector(1)"}]}
    names = [group["name"] for group in rule["spec"]["groups"]]
    assert len(set(names)) == len(names)


def test_google_s_load_balancer_is_told_to_wait() -> None:
    chart = rendered("gke")
    policy = chart.one("GCPBackendPolicy")
    assert policy["spec"]["default"]["timeoutSec"] >= _deadline(chart) + 120
    assert policy["spec"]["targetRef"]["name"] == chart.one("Service")["metadata"]["name"]


def test_ingress_nginx_waits_takes_large_bodies_and_tries_nothing_twice() -> None:
    chart = rendered("hpa")
    ingress = chart.one("Ingress")
    notes = ingress["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/"
    said = {name.removeprefix(prefix): value for name, value in notes.items() if name.startswith(prefix)}
    assert said == {
        "proxy-body-size": "210m", "proxy-read-timeout": "600", "proxy-send-timeout": "600",
        "proxy-buffering": "off", "proxy-request-buffering": "off", "proxy-next-upstream": "off",
    }  # fmt: skip
    assert notes["cert-manager.io/cluster-issuer"] == "letsencrypt"
    for rule in ingress["spec"]["rules"]:
        assert [path["path"] for path in rule["http"]["paths"]] == ["/v1", "/openai", "/media"]
    assert ingress["spec"]["tls"] == [
        {"secretName": "images-tls", "hosts": ["images.example.com", "bilder.example.com"]}
    ]


def test_an_application_load_balancer_is_not_idle_while_a_picture_is_made() -> None:
    notes = rendered("keda").one("Ingress")["metadata"]["annotations"]
    assert notes["alb.ingress.kubernetes.io/load-balancer-attributes"] == "idle_timeout.timeout_seconds=660"
    assert notes["alb.ingress.kubernetes.io/scheme"] == "internal"
