"""A real Prometheus reads a real gateway that works and fails; dashboards and alert rules are asked of it."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import yaml

from tests import gateway_process, servers
from tests.conftest import NOT_TESTED
from tests.monitoring import documented
from tests.monitoring.expressions import RULES, alerts, at, expressions, labels_in, names_in, panels
from tests.simulators.otlp_collector import Collector
from tests.simulators.process import UpstreamProcess

pytestmark = pytest.mark.xdist_group("prometheus")

TOKEN = "token of the scraper"
OF_PROMETHEUS = {"instance", "job", "namespace"}
RARE = {
    ("imagegate_lease_reaped_total", "to"): "a replica must die with calls in flight",
    ("imagegate_plan_trimmed_by_budget_total", "model"): "a budget must be all but used",
}
"""Labels that a metric has only then; docs/telemetry.md is held against them."""

FAMILY = re.compile(r"(?<!cooldown)(_seconds)?(_bucket|_count|_sum|_total)?$")
"""What Prometheus's names have more than ours."""

USUAL = [
    ("gpt-image-2", "a red kite"),
    ("sick", "[upstream: reset]"),
    ("sick", "[upstream: error invalid_key]"),
]
FIRST = [("gpt-image-2", "a red kite")] * 10 + [("well", "a kite")] * 2 + USUAL
"""Ten attempts from one provider to another are free in ten minutes, the eleventh is one too many. What went
well is asked for twice, with the same idempotency key."""

THEN = [*USUAL, ("well", "another kite"), ("sick", "[upstream: error rate_limit]"), ("sick", "a red kite")]
"""The last finds that nobody can be called."""


def config(upstream: UpstreamProcess, collector: Collector) -> str:
    """``gpt-image-2`` goes to an account that cannot be reached and then to one that works, ``sick`` to one
    that does as its prompts say. Nobody waits the 12 s for which it asks for rest."""
    reached = {"type": "openai", "base_url": upstream.base_url, "api_key": "file:key"}
    unreachable = f"http://127.0.0.1:{servers.free_port()}/v1"
    of_a_model = {"spend_usd": 2, "per": "day", "model": "gpt-image-2"}
    document = {
        "server": {"metrics_token": "file:token"},
        "providers": {
            "up": reached,
            "down": {**reached, "base_url": unreachable},
            "sick": reached,
        },
        "models": {
            "gpt-image-2": {"targets": [{"provider": "down"}, {"provider": "up"}]},
            "well": {"targets": [{"provider": "up", "model": "gpt-image-2"}]},
            "sick": {"targets": [{"provider": "sick", "model": "gpt-image-2"}]},
        },
        "routing": {"deadline": "15s", "breaker": {"consecutive_failures": 100, "min_success_rate": 0}},
        "telemetry": {"otlp": {"endpoint": collector.url, "every": 1}, "keys": ["tests/suite"]},
        "organization": {
            "limits": [{"spend_usd": 50, "per": "day"}, {"images": 900, "per": "minute"}],
            "projects": [
                {
                    "name": "tests",
                    "limits": [{"spend_usd": 1, "per": "day", "alert_at": ["1%"]}],
                    "keys": [{"name": "suite", "key": "file:suite", "limits": [of_a_model]}],
                }
            ],
        },
    }
    return yaml.safe_dump(document)


def calls(gateway: gateway_process.Gateway, asked: Sequence[tuple[str, str]]) -> set[str | int]:
    """Ask for a picture by model and prompt; the codes of the refusals, the statuses of the other answers."""
    told: set[str | int] = set()
    with httpx.Client(
        base_url=gateway.api, headers={"authorization": f"Bearer {gateway.key}"}, trust_env=False, timeout=30
    ) as client:
        for model, prompt in asked:
            body = {"model": model, "prompt": prompt, "quality": "low", "size": "1024x1024"}
            key = {"idempotency-key": prompt} if model == "well" else {}
            answer = client.post("/images/generations", json=body, headers=key)
            told.add((answer.json().get("error") or {}).get("code") or answer.status_code)
        assert client.get("/models").status_code == 200
        assert client.get("/models/none").status_code == 404
    return told


class Prometheus:
    """``gateway`` is what it reads."""

    def __init__(self, url: str, gateway: gateway_process.Gateway) -> None:
        self.gateway = gateway
        self._client = httpx.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=30)

    def get(self, path: str, **params: str) -> Any:
        answer = self._client.get(path, params=params)
        told = answer.json()
        assert told["status"] == "success", (params, told)
        assert not told.get("warnings"), (params, told)
        return told["data"]

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series of the answer, as they stand now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def has_read(self, times: int) -> None:
        """Wait until everything has been read so many times from now on."""
        since = time.time()
        until = since + 60
        while time.time() < until:
            found = self.ask(f"count_over_time(up[{max(int(1000 * (time.time() - since)), 1)}ms])")
            if found and float(found[0]["value"][1]) >= times:
                return
            time.sleep(0.1)
        raise AssertionError(f"the gateway was not read: {self.get('targets')}")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has read a gateway before, between and after its calls."""
    try:
        servers.prometheus_tool("prometheus")
    except servers.NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}what dashboards and alert rules show: {missing}")
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        upstream = stack.enter_context(UpstreamProcess())
        collector = stack.enter_context(Collector(status=500))
        for name, secret in (("token", TOKEN), ("key", upstream.key), ("suite", "a key of the suite")):
            (folder / name).write_text(secret)
        gateway = gateway_process.launch(config(upstream, collector), folder=folder, key="a key of the suite")
        stack.callback(gateway.stop)
        scrape = {
            "job_name": "imagegate",
            "authorization": {"credentials": TOKEN},
            "static_configs": [{"targets": [gateway.base_url.removeprefix("http://")]}],
        }
        reads = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [scrape],
        }
        url = stack.enter_context(servers.prometheus(yaml.safe_dump(reads)))
        running = Prometheus(url, gateway)
        failed = {"upstream_unreachable", "upstream_unknown", "upstream_auth_failed"}
        assert calls(gateway, FIRST) == {200, *failed}
        running.has_read(1)
        told = calls(gateway, THEN)  # a rate is of what comes between two readings
        assert told == {200, *failed, "rate_limit_exceeded", "no_healthy_provider"}
        collector.wait_for("/v1/traces")  # ... and is refused
        running.has_read(2)
        yield running


def test_every_panel_of_a_dashboard_shows_something(prometheus: Prometheus) -> None:
    empty = []
    for where, expression in panels().items():
        values = [float(each["value"][1]) for each in prometheus.ask(at("1m", expression))]
        if not any(math.isfinite(value) for value in values):
            empty.append(where)
    assert empty == [], empty


def test_every_metric_and_label_that_is_asked_for_is_there(prometheus: Prometheus) -> None:
    told = set(prometheus.get("label/__name__/values"))
    missing = {where: names_in(each) - told for where, each in expressions().items()}
    assert {where: names for where, names in missing.items() if names} == {}
    asked = {pair for each in expressions().values() for pair in labels_in(each)}
    strange = [
        (name, label)
        for name, label in sorted(asked - RARE.keys())
        if label not in OF_PROMETHEUS and not prometheus.ask(f'{name}{{{label}!=""}}')
    ]
    assert strange == [], strange


def test_every_metric_is_documented_with_its_labels(prometheus: Prometheus) -> None:
    told: dict[str, set[str]] = {}
    for labels in prometheus.get("series", **{"match[]": '{job="imagegate", __name__!~"up|scrape_.+"}'}):
        family = FAMILY.sub("", labels.pop("__name__"))
        told.setdefault(family, set()).update(labels.keys() - OF_PROMETHEUS - {"le"})
    page = {name.replace(".", "_"): labels for name, labels in documented.metrics().items()}
    assert told.keys() - {"target_info"} == page.keys()
    for name, labels in page.items():
        here = {label.replace(".", "_") for label in labels}
        assert told[name] <= here, name
        assert told[name] == here or not told[name], f"{name}: some labels, and not all of them"


def test_every_histogram_of_seconds_reaches_to_ten_minutes(prometheus: Prometheus) -> None:
    def names(selector: str) -> set[str]:
        return {each["__name__"] for each in prometheus.get("series", **{"match[]": selector})}

    every = names('{job="imagegate", __name__=~".+_seconds_bucket"}')
    assert len(every) == 4
    assert names('{job="imagegate", __name__=~".+_seconds_bucket", le="600.0"}') == every


def test_every_alert_rule_is_evaluated_and_tells_what_happened(prometheus: Prometheus) -> None:
    wanted = {
        "ImagegateFailing",
        "ImagegateNoHealthyProvider",
        "ImagegateProviderKeyRefused",
        "ImagegateTelemetryLost",
    }
    until, active = time.monotonic() + 30, set[str]()
    while not wanted <= active and time.monotonic() < until:
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        active = {rule["name"] for rule in rules if rule["state"] != "inactive"}
        time.sleep(0.1)
    assert wanted <= active
    assert active - wanted <= {"ImagegateTargetOut"}, "whose time has not come yet, but it may be on its way"
    assert {rule["name"]: (rule["health"], rule.get("lastError")) for rule in rules} == {
        rule["alert"]: ("ok", None) for rule in alerts()
    }


def test_buckets_lead_to_traces_and_traces_to_the_log(prometheus: Prometheus) -> None:
    lines = [json.loads(line) for line in prometheus.gateway.log_text().splitlines() if line[:1] == "{"]
    logged = {line["trace_id"] for line in lines if line["event"] == "request"}
    for name in ("imagegate_request_duration", "imagegate_attempt_duration", "http_server_request_duration"):
        found = prometheus.get(
            "query_exemplars",
            query=f"{name}_seconds_bucket",
            start=str(time.time() - 600),
            end=str(time.time() + 60),
        )
        traces = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
        assert traces & logged, name
