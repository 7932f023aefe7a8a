"""The reviewer's checklist of docs/kubernetes.md: each line is checked on what production values render."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from config.loader import Loaded
from tests.helm.rendered import Object, Rendered, configuration, rendered
from tests.servers import ROOT

Check = Callable[[Rendered, Loaded], None]
CHECKS: dict[str, Check] = {}


def line(text: str) -> Callable[[Check], Check]:
    """The words of the checklist that a function holds true."""

    def keep(check: Check) -> Check:
        CHECKS[text] = check
        return check

    return keep


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return configuration(rendered("production"), tmp_path_factory.mktemp("production"))


def test_the_document_s_lines_are_these() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    assert re.findall(r"^\* \[x\] (.+)$", text, re.MULTILINE) == list(CHECKS)


@pytest.mark.parametrize("text", CHECKS)
def test_it_is_true(text: str, production: Loaded) -> None:
    CHECKS[text](rendered("production"), production)


def pods(chart: Rendered) -> Iterator[Object]:
    """Every pod that the chart can start, the job's and the test's too."""
    yield chart.pod["spec"]
    for job in chart.all("Job"):
        yield job["spec"]["template"]["spec"]
    for pod in chart.all("Pod"):
        yield pod["spec"]


def containers(chart: Rendered) -> Iterator[Object]:
    for pod in pods(chart):
        yield from [*pod["containers"], *pod.get("initContainers", [])]


@line("No container runs as root, can become root, has a capability or a writable root file system.")
def _rights(chart: Rendered, _: Loaded) -> None:
    for pod in pods(chart):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    for container in containers(chart):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["privileged"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}


@line("No pod gets a token of the Kubernetes API, a folder of its node or the addresses of services.")
def _no_api(chart: Rendered, _: Loaded) -> None:
    for pod in pods(chart):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume]
    assert chart.one("ServiceAccount")["automountServiceAccountToken"] is False


@line("No secret is in the chart's output: existing ones are named, and mounted as files for the gateway.")
def _secrets(chart: Rendered, loaded: Loaded) -> None:
    assert chart.all("Secret") == []
    assert not {"env", "envFrom"} & chart.gateway.keys()
    for container in containers(chart):
        for variable in container.get("env", []):
            assert not re.search("key|token|secret|password", variable["name"], re.IGNORECASE) or (
                "secretKeyRef" in variable["valueFrom"]
            )
    settings = loaded.settings
    for reference in (settings.storage.database, settings.storage.quota, settings.server.secret.text):
        assert reference.startswith("file:")


@line("The image is named by its digest.")
def _digest(chart: Rendered, _: Loaded) -> None:
    assert {
        re.sub(r"^[\w./-]+@sha256:[0-9a-f]{64}$", "pinned", each["image"]) for each in containers(chart)
    } == {"pinned"}


@line("Requests come from named peers only.")
def _inward(chart: Rendered, _: Loaded) -> None:
    policy = chart.one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = policy["ingress"]
    assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
    assert rule["from"]
    assert all(set(peer) & {"namespaceSelector", "podSelector", "ipBlock"} for peer in rule["from"])
    assert {} not in [peer.get("namespaceSelector") for peer in rule["from"]]


@line("The gateway reaches DNS, its stores and public https; no private range, no metadata service.")
def _outward(chart: Rendered, _: Loaded) -> None:
    policy = chart.one("NetworkPolicy")["spec"]
    for rule in policy["egress"]:
        assert rule["ports"]
        for peer in rule["to"]:
            block = peer.get("ipBlock", {})
            if block.get("cidr") == "0.0.0.0/0":
                assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]
                assert {
                    "10.0.0.0/8",
                    "172.16.0.0/12",
                    "192.168.0.0/16",
                    "169.254.0.0/16",
                    "100.64.0.0/10",
                } <= set(block["except"])
            if block.get("cidr") == "::/0":
                assert {"fc00::/7", "fe80::/10"} <= set(block["except"])
    labels = chart.pod["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (choice,) = policy["podSelector"]["matchExpressions"]
    assert labels[choice["key"]] in choice["values"]


@line("From outside only /v1, /openai and /media are reached; /metrics takes a token.")
def _outside(chart: Rendered, _: Loaded) -> None:
    assert chart.one("Service")["spec"]["type"] == "ClusterIP"
    (rule,) = chart.one("HTTPRoute")["spec"]["rules"]
    assert [match["path"]["value"] for match in rule["matches"]] == ["/v1", "/openai", "/media"]
    assert "metrics_token: file:" in chart.files()["imagegate.yaml"]


@line("Every container has requests and a limit of memory, every temporary folder a limit of size.")
def _resources(chart: Rendered, _: Loaded) -> None:
    for container in containers(chart):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
    for pod in pods(chart):
        for volume in pod.get("volumes", []):
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]


@line("Replicas are two or more, on different nodes and zones, and a drain of nodes takes one at a time.")
def _spread(chart: Rendered, _: Loaded) -> None:
    assert chart.one("Deployment")["spec"]["replicas"] >= 2
    spread = {each["topologyKey"]: each for each in chart.pod["spec"]["topologySpreadConstraints"]}
    assert spread.keys() == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    for each in spread.values():
        assert each["maxSkew"] == 1
        assert each["labelSelector"]["matchLabels"].items() <= chart.pod["metadata"]["labels"].items()
    budget = chart.one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= chart.pod["metadata"]["labels"].items()


@line("A new pod is ready before an old one is told to go.")
def _rolling(chart: Rendered, _: Loaded) -> None:
    strategy = chart.one("Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}


@line("A pod that is told to go has longer than its own drain, and its drain is longer than any call.")
def _ending(chart: Rendered, loaded: Loaded) -> None:
    settings = loaded.settings
    grace = settings.server.drain.grace
    assert grace is not None
    assert grace >= settings.routing.longest_call + 15
    assert chart.pod["spec"]["terminationGracePeriodSeconds"] >= grace + 5
    assert settings.server.drain.delay > 0
    assert "lifecycle" not in chart.gateway, "the gateway waits by itself; a preStop would eat its time"


@line("Liveness asks the process alone, readiness its ledger too; a slow first start is no failure.")
def _probes(chart: Rendered, _: Loaded) -> None:
    probes = {name: chart.gateway[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}
    assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
        "startup": "/livez",
        "readiness": "/readyz",
        "liveness": "/livez",
    }
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 120
    assert probes["liveness"]["periodSeconds"] * probes["liveness"]["failureThreshold"] >= 60
    assert probes["readiness"]["periodSeconds"] * probes["readiness"]["failureThreshold"] <= 15


@line("A job of the new image migrates the schema and reads the configuration before any pod changes.")
def _migration(chart: Rendered, _: Loaded) -> None:
    job = chart.one("Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == "migrate"
    assert container["image"] == chart.gateway["image"]
    own = next(found for found in chart.all("ConfigMap") if found["metadata"]["name"] == "imagegate-migrate")
    weights = [int(found["metadata"]["annotations"]["helm.sh/hook-weight"]) for found in (own, job)]
    assert weights == sorted(weights), "the job would start before its configuration is there"


@line("Replicas share one ledger, one set of counters, one server secret and one place of media.")
def _shared(chart: Rendered, loaded: Loaded) -> None:
    storage = loaded.settings.storage
    assert storage.database.startswith("file:/run/secrets/")
    assert storage.quota.startswith("file:/run/secrets/")
    assert storage.media.startswith("s3://")
    assert loaded.settings.server.secret.text.startswith("file:/run/secrets/")
    assert chart.all("PersistentVolumeClaim") == []


@line("A change of the configuration reaches every pod; no file of it is mounted so that changes are hidden.")
def _changes(chart: Rendered, _: Loaded) -> None:
    assert re.fullmatch("[0-9a-f]{64}", chart.pod["metadata"]["annotations"]["checksum/config"])
    assert not [mount for mount in chart.gateway["volumeMounts"] if "subPath" in mount]


@line("The way in waits longer than an upload and the deadline together, and tries no call again.")
def _path(chart: Rendered, loaded: Loaded) -> None:
    (rule,) = chart.one("HTTPRoute")["spec"]["rules"]
    settings = loaded.settings
    for wait in rule["timeouts"].values():
        assert int(wait.removesuffix("s")) >= settings.server.upload.timeout + settings.routing.deadline
    assert "retry" not in rule


@line("Links begin with the public https address, and only the named proxies are believed about callers.")
def _addresses(chart: Rendered, loaded: Loaded) -> None:
    server = loaded.settings.server
    (host,) = chart.one("HTTPRoute")["spec"]["hostnames"]
    assert server.public_url == f"https://{host}"
    assert server.trusted_proxies


@line("The configuration has no error, and there is a limit on dollars.")
def _configuration(_: Rendered, loaded: Loaded) -> None:
    assert loaded.warnings == []
    limits = loaded.settings.organization.limits
    assert [limit for limit in limits if limit.spend_usd is not None and not limit.shadow]


@line("Metrics are scraped with the token; alert rules and dashboards come along.")
def _metrics(chart: Rendered, _: Loaded) -> None:
    (endpoint,) = chart.one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"]["name"] == "imagegate-metrics"
    assert chart.one("PrometheusRule")["spec"]["groups"]
    dashboards = [
        found for found in chart.all("ConfigMap") if "grafana_dashboard" in found["metadata"]["labels"]
    ]
    assert len(dashboards) == 3


@line("`helm test` asks for readiness, for a refusal without a key, and for a picture that costs nothing.")
def _test(chart: Rendered, loaded: Loaded) -> None:
    (container,) = chart.one("Pod")["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in container["env"]}
    models = loaded.settings.models
    assert models is not None
    targets = models[str(variables["MODEL"])].targets
    assert {loaded.settings.providers[target.provider].type for target in targets} == {"sandbox"}
    assert "GATEWAY_KEY" in variables
