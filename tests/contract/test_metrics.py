"""/metrics and what a collector is sent, over real HTTP. What a real Prometheus makes of them is in
``tests/monitoring``."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.contract.upstreams_here import Start, config
from tests.monitoring.expressions import expressions, names_in
from tests.noon import ZONE
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream
from tests.simulators.otlp_collector import Collector

OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
PROMPT = "a word that nobody may read in a metric"
SHA = hashlib.sha256(KEY.encode()).hexdigest()
BUDGETS = f"""
organization:
  timezone: {ZONE}
  limits: [{{spend_usd: 50, per: day}}, {{images: 900, per: minute}}]
  projects:
    - name: tests
      limits: [{{spend_usd: 5, per: month}}]
      keys: [{{name: suite, limits: [{{spend_usd: 2, per: day}}], sha256: "{SHA}"}}]
"""


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in open_metrics(text)
        for sample in family.samples
    }


async def scraped(here: Here, **headers: str) -> str:
    response = await here.client.get("/metrics", headers={"accept": OPEN_METRICS, **headers})
    assert response.status_code == 200, response.text
    return response.text


async def test_every_metric_of_dashboards_and_rules_is_in_a_scrape(
    upstream: Upstream, start_upstream: Start, tmp_path: Path
) -> None:
    second = await start_upstream()
    for number in (1, 2):
        (tmp_path / f"key{number}").write_text(upstream.key)
    upstream.plan(on.error("overloaded"))
    async with gateway_here(config(upstream, second) + BUDGETS, tmp_path) as here:
        assert (await here.generate(prompt=PROMPT)).status_code == 200
        await here.gateway.engine.running.drained(10)
        text = await scraped(here)
    told = {name for name, _ in samples(text)}
    asked = expressions()
    assert len(asked) > 40
    missing = {where: names_in(each) - told for where, each in asked.items() if names_in(each) - told}
    assert missing == {}
    assert all(names_in(each) for each in asked.values()), "an expression without a metric asks for nothing"
    for word in (PROMPT, KEY, upstream.key, "kite"):
        assert word not in text


async def test_metrics_say_what_the_ledger_says(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    keys = "\ntelemetry: {keys: [tests/suite]}"
    async with gateway_here(config(upstream) + BUDGETS + keys, tmp_path) as here:
        for _ in range(3):
            assert (await here.generate()).status_code == 200
        rows = await here.rows("attempts")
        found = samples(await scraped(here))
    cost = sum(row["cost"] for row in rows) / 1e9
    by = {"project": "tests", "model": "gpt-image-2", "provider": "up1"}
    assert found["imagegate_cost_usd_total", frozenset(by.items())] == pytest.approx(cost)
    assert found["imagegate_images_total", frozenset(by.items())] == 3
    where = {"scope": "project", "project": "tests", "key": "", "model": "", "per": "month", "trial": "no"}
    assert found["imagegate_budget_settled_usd", frozenset(where.items())] == pytest.approx(cost)
    assert found["imagegate_budget_limit_usd", frozenset(where.items())] == 5
    assert found["imagegate_budget_held_usd", frozenset(where.items())] == 0
    assert found["imagegate_limit_usage", frozenset({**where, "measure": "spend"}.items())] == pytest.approx(
        cost / 5
    )
    listed = {
        "scope": "key",
        "project": "tests",
        "key": "tests/suite",
        "model": "",
        "per": "day",
        "trial": "no",
    }
    assert found["imagegate_budget_limit_usd", frozenset(listed.items())] == 2
    asked = {"route": "generations", "model": "gpt-image-2", "provider": "up1", "outcome": "ok"}
    assert found["imagegate_request_duration_seconds_count", frozenset(asked.items())] == 3
    assert (
        found["imagegate_request_duration_seconds_bucket", frozenset({**asked, "le": "600.0"}.items())] == 3
    )
    assert found["imagegate_requests_in_flight", frozenset()] == 0


async def test_keys_that_are_not_listed_make_no_series(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream) + BUDGETS, tmp_path) as here:
        text = await scraped(here)
    assert 'scope="project"' in text
    assert 'scope="key"' not in text


async def test_calls_in_flight_are_counted_while_they_run(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    upstream.plan(on.ok(delay=1.0))
    async with gateway_here(config(upstream), tmp_path) as here:
        call = asyncio.create_task(here.generate())
        await upstream.wait_for(1)
        during = samples(await scraped(here))
        await call
        after = samples(await scraped(here))
    at = frozenset({"provider": "up1"}.items())
    assert during["imagegate_requests_in_flight", frozenset()] == 1
    assert during["imagegate_provider_inflight", at] == 1
    assert after["imagegate_requests_in_flight", frozenset()] == 0
    assert after["imagegate_provider_inflight", at] == 0


async def test_labels_have_routes_and_never_a_clients_own_words(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        await here.client.get("/v1/models/my-secret-model")
        await here.client.get("/my/secret/path")
        await here.client.request("SECRETIVE", "/v1/models")
        await here.generate(model="secret-model-of-mine")
        text = await scraped(here)
    assert 'http_route="/v1/models/{id}"' in text
    assert "secret" not in text.lower()


async def test_who_asks_for_open_metrics_gets_them(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        new = await here.client.get("/metrics", headers={"accept": OPEN_METRICS})
        old = await here.client.get("/metrics", headers={"accept": "text/plain"})
        head = await here.client.head("/metrics")
        posted = await here.client.post("/metrics")
    assert new.headers["content-type"].startswith("application/openmetrics-text")
    assert new.text.endswith("# EOF\n")
    assert old.headers["content-type"].startswith("text/plain")
    assert "imagegate_cost_usd_total" in {s.name for family in plain(old.text) for s in family.samples}
    assert (head.status_code, head.content) == (200, b"")
    assert posted.status_code == 405


async def test_beyond_loopback_metrics_take_their_own_token(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    (tmp_path / "token").write_text("token of the scraper")
    for server, wanted in (
        ("host: 0.0.0.0", None),
        ("trusted_proxies: [127.0.0.1]", None),
        ("public_url: 'https://images.example'", None),
        ("host: 0.0.0.0, metrics_token: 'file:token'", 200),
        ("metrics_token: 'file:token'", 200),
    ):
        async with gateway_here(f"{config(upstream)}\nserver: {{{server}}}", tmp_path) as here:
            with_key = await here.client.get("/metrics")
            with_token = await here.client.get(
                "/metrics", headers={"authorization": "Bearer token of the scraper"}
            )
        if wanted is None:
            for response in (with_key, with_token):
                assert response.status_code == 404
                assert "server.metrics_token" in response.json()["error"]["message"]
        else:
            assert with_key.status_code == 401
            assert with_key.json()["error"]["code"] == "invalid_metrics_token"
            assert with_token.status_code == 200


async def test_a_collector_gets_metrics_and_traces(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    (tmp_path / "header").write_text("Bearer collector")
    with Collector() as collector:
        otlp = (
            f"\ntelemetry: {{otlp: {{endpoint: '{collector.url}/', every: 1, "
            "headers: {authorization: 'file:header'}}}"
        )
        async with gateway_here(config(upstream) + BUDGETS + otlp, tmp_path) as here:
            assert (await here.generate(prompt=PROMPT)).status_code == 200
            await here.gateway.engine.running.drained(10)
    # What waited went out when the gateway ended.
    assert set(collector.spans()) == {"POST /v1/images/generations", "generate_content gpt-image-2"}
    assert {
        "imagegate.cost_usd",
        "imagegate.request.duration",
        "imagegate.budget.limit_usd",
    } <= collector.metrics()
    assert {each["authorization"] for each in collector.headers} == {"Bearer collector"}
    everything = b"".join(body for bodies in collector.bodies.values() for body in bodies)
    for word in (PROMPT, KEY, upstream.key):
        assert word.encode() not in everything
