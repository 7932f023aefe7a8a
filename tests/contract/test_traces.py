"""Traces as a collector gets them, of calls over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.contract.upstreams_here import Start, config
from tests.monitoring import documented
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

PROMPT = "a word that nobody may read in a trace"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "theirs=1", "baggage": "theirs=2"}


@asynccontextmanager
async def traced(
    folder: Path, *upstreams: Upstream, more: str = ""
) -> AsyncIterator[tuple[Here, InMemorySpanExporter]]:
    for number, upstream in enumerate(upstreams, 1):
        (folder / f"key{number}").write_text(upstream.key)
    spans = InMemorySpanExporter()
    async with gateway_here(config(*upstreams) + more, folder, spans=SimpleSpanProcessor(spans)) as here:
        yield here, spans


async def ended(here: Here, spans: InMemorySpanExporter) -> tuple[ReadableSpan, list[ReadableSpan]]:
    """The request's span and its attempts', in order."""
    await here.gateway.engine.running.drained(10)
    found = spans.get_finished_spans()
    (server,) = [span for span in found if span.kind is SpanKind.SERVER]
    attempts = [span for span in found if span.kind is SpanKind.CLIENT]
    assert len(found) == 1 + len(attempts), "no other spans, such as one for each chunk"
    return server, attempts


async def test_a_request_is_one_span_with_one_for_each_upstream_call(
    upstream: Upstream, start_upstream: Start, tmp_path: Path
) -> None:
    second = await start_upstream()
    upstream.plan(on.error("overloaded"))
    async with traced(tmp_path, upstream, second) as (here, spans):
        response = await here.generate(prompt=PROMPT)
        assert response.status_code == 200
        server, (first, other) = await ended(here, spans)
    assert server.name == "POST /v1/images/generations"
    assert server.attributes is not None
    assert server.attributes["http.route"] == "/v1/images/generations"
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["imagegate.request.id"] == response.headers["x-request-id"]
    assert server.context is not None
    for span in (first, other):
        assert span.parent is not None
        assert (span.parent.span_id, span.name) == (server.context.span_id, "generate_content gpt-image-2")
    assert first.attributes is not None
    assert other.attributes is not None
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes["error.type"] == first.attributes["imagegate.outcome"] == "overloaded"
    assert first.attributes["imagegate.commit_certainty"] == "rejected"
    assert other.attributes["imagegate.outcome"] == "ok"
    assert other.attributes["imagegate.provider"] == "up2"
    assert (other.attributes["imagegate.attempt"], other.attributes["http.request.resend_count"]) == (2, 1)
    assert server.attributes.keys() | {"error.type"} == documented.attributes("a request")
    told = first.attributes.keys() | other.attributes.keys() | {"imagegate.image.format"}
    assert told == documented.attributes("an upstream call")
    assert server.attributes["http.response.body.size"] == len(response.content)
    assert server.attributes["http.request.body.size"] == len(response.request.content)
    assert server.instrumentation_scope is not None
    assert server.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.44.0"
    usage = response.json()["usage"]
    wanted = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.output.type": "image",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-image-2",
        "gen_ai.usage.input_tokens": usage["input_tokens"],
        "gen_ai.usage.output_tokens": usage["output_tokens"],
        "imagegate.image.count": 1,
        "imagegate.image.size": "1024x1024",
        "imagegate.cost_usd": pytest.approx(float(response.headers["x-imagegate-cost-usd"])),
    }
    assert {name: other.attributes[name] for name in wanted} == wanted


async def test_no_attribute_holds_a_prompt_a_key_or_a_path_of_the_clients(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.plan(on.error("moderation"))
    async with traced(tmp_path, upstream) as (here, spans):
        await here.generate(prompt=PROMPT, user="somebody in person")
        await here.generate(prompt=PROMPT)
        await here.client.get(f"/v1/models/{KEY}")
        await here.client.get("/somewhere/private?with=words")
        await here.gateway.engine.running.drained(10)
        told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "/v1/models/{id}" in told
    for word in (PROMPT, KEY, upstream.key, "somebody", "private", "words", "Bearer"):
        assert word not in told


async def test_a_stream_has_no_span_for_each_of_its_events(upstream: Upstream, tmp_path: Path) -> None:
    async with traced(tmp_path, upstream) as (here, spans):
        response = await here.generate(stream=True, partial_images=2, prompt=PROMPT)
        assert response.text.count("event:") == 3
        server, (attempt,) = await ended(here, spans)
    assert attempt.attributes is not None
    assert attempt.attributes["gen_ai.request.stream"] is True
    assert server.status.status_code is StatusCode.UNSET


async def test_a_clients_trace_is_linked_and_no_provider_hears_of_it(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with traced(tmp_path, upstream) as (here, spans):
        response = await here.client.get("/v1/models", headers=TRACEPARENT)
        assert response.status_code == 200
        (listing,) = spans.get_finished_spans()
        spans.clear()
        await here.client.post(
            "/v1/images/generations", json={"model": "gpt-image-2", "prompt": "x"}, headers=TRACEPARENT
        )
        server, (attempt,) = await ended(here, spans)
    for span in (listing, server):
        assert span.parent is None
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" != TRACE
        (link,) = span.links
        assert f"{link.context.trace_id:032x}" == TRACE
    assert attempt.context is not None
    assert server.context is not None
    assert attempt.context.trace_id == server.context.trace_id
    sent = {name.lower() for name, _ in upstream.images[0].header_list}
    assert not sent & {"traceparent", "tracestate", "baggage", "b3"}


async def test_a_trusted_clients_trace_goes_on_here(upstream: Upstream, tmp_path: Path) -> None:
    trusting = "\ntelemetry: {trust_traceparent: true}"
    async with traced(tmp_path, upstream, more=trusting) as (here, spans):
        await here.client.post(
            "/v1/images/generations", json={"model": "gpt-image-2", "prompt": "x"}, headers=TRACEPARENT
        )
        server, (attempt,) = await ended(here, spans)
    for span in (server, attempt):
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" == TRACE
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == PARENT
    assert not {name.lower() for name, _ in upstream.images[0].header_list} & {"traceparent", "tracestate"}
