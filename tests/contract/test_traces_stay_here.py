"""Nothing of a client's trace or headers reaches a provider, of any kind, or a server that a client names."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.conformance.running import outliving, picture, target_of
from tests.conformance.stand import Stand, Upstream
from tests.conformance.stands import STANDS
from tests.conftest import NOT_TESTED
from tests.contract.gateway_here import Here, gateway_here
from tests.servers import NotObtainable
from tests.simulators.file_server import file_server, says, tls_for

WIRED = sorted(STANDS.keys() - {"sandbox"})
"""The sandbox draws here."""

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
THEIRS = {
    "traceparent": f"00-{TRACE}-{PARENT}-01",
    "tracestate": "theirs=1",
    "baggage": "theirs=2",
    "b3": f"{TRACE}-{PARENT}-1",
    "x-b3-traceid": TRACE,
    "x-amzn-trace-id": f"Root=1-{TRACE}",
    "x-cloud-trace-context": f"{TRACE}/1",
    "uber-trace-id": f"{TRACE}:{PARENT}:0:1",
    "x-client-request-id": "theirs-3",
}
HEADERS = THEIRS.keys() | {"sentry-trace", "x-datadog-trace-id"}
WORDS = (TRACE, PARENT, "theirs")
TRUSTING = "telemetry: {trust_traceparent: true}"
"""Then a client's trace goes on here, and must end here, too."""


def told(headers: Mapping[str, str], *spans: str) -> list[str]:
    """What of it somebody was told."""
    found = [f"{name}: {value}" for name, value in headers.items()]
    return [
        line
        for line in found
        if line.split(":")[0].lower() in HEADERS or any(word in line for word in (*WORDS, *spans))
    ]


def config(stand: Stand, upstream: Upstream) -> str:
    bench = stand.benches[0]
    account = (bench.account or stand.account)(upstream, "TRACED_KEY")
    return "\n".join(
        (
            f"providers: {{it: {{{account}}}}}",
            f"models: {{m: {{targets: [{target_of('it', bench, bench.model)}]}}}}",
            TRUSTING,
            outliving(stand),
        )
    )


@asynccontextmanager
async def traced(text: str, folder: Path) -> AsyncIterator[tuple[Here, list[str]]]:
    """The ids of all spans are in the list in the end."""
    spans, ours = InMemorySpanExporter(), list[str]()
    async with gateway_here(text, folder, spans=SimpleSpanProcessor(spans)) as here:
        here.client.headers.update(THEIRS)
        yield here, ours
        await here.gateway.engine.running.drained(10)
        ours += [f"{span.context.span_id:016x}" for span in spans.get_finished_spans() if span.context]


@pytest.mark.parametrize("kind", WIRED)
async def test_a_provider_of_this_kind_hears_nothing_of_the_clients_trace(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = STANDS[kind]
    async with stand.upstream() as upstream:
        monkeypatch.setenv("TRACED_KEY", stand.key(upstream))
        async with traced(config(stand, upstream), tmp_path) as (here, ours):
            body: dict[str, Any] = {"model": "m", "prompt": "a red kite"}
            data = f"data:image/png;base64,{base64.b64encode(picture((256, 256))).decode()}"
            made = await here.client.post("/v1/images/generations", json=body)
            edited = await here.client.post(
                "/v1/images/edits", json={**body, "images": [{"image_url": data}]}
            )
    assert 200 in (made.status_code, edited.status_code), (made.text[:300], edited.text[:300])
    assert upstream.calls
    assert len(ours) >= 3
    assert [line for call in upstream.calls for line in told(call.headers, *ours)] == []


async def test_a_server_that_a_client_names_hears_nothing_of_its_trace(tmp_path: Path) -> None:
    try:
        context, authority = tls_for("IP:127.0.0.1", tmp_path)
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    async with file_server({"/a.png": says(picture((64, 64)))}, tls=context) as files:
        text = (
            f"providers: {{sandbox: {{type: sandbox, latency: 0}}}}\n{TRUSTING}\n"
            f"upstream: {{ca_file: '{authority.name}'}}\n"
            f"media: {{fetch: {{private_origins: ['{files.origin}']}}}}\n"
        )
        async with traced(text, tmp_path) as (here, ours):
            body = {"model": "sandbox", "prompt": "a dot", "images": [{"image_url": f"{files.origin}/a.png"}]}
            edited = await here.client.post("/v1/images/edits", json=body)
    assert edited.status_code == 200, edited.text
    (visit,) = files.visits
    assert len(ours) == 2
    assert told(visit.headers, *ours) == []


async def test_a_server_that_a_provider_names_hears_nothing_of_it(tmp_path: Path) -> None:
    async with file_server({"/made.png": says(picture((64, 64)))}) as files:
        answer = {"created": 1, "data": [{"url": f"{files.origin}/made.png"}]}
        files.pages["/v1/images/generations"] = says(json.dumps(answer).encode(), kind="application/json")
        text = (
            f"providers: {{gpu: {{type: openai-compatible, base_url: '{files.origin}/v1'}}}}\n"
            f"models: {{flux: {{targets: [{{provider: gpu}}]}}}}\n{TRUSTING}\n"
        )
        async with traced(text, tmp_path) as (here, ours):
            made = await here.client.post("/v1/images/generations", json={"model": "flux", "prompt": "a dot"})
    assert made.status_code == 200, made.text
    assert [visit.target for visit in files.visits] == ["/v1/images/generations", "/made.png"]
    assert [line for visit in files.visits for line in told(visit.headers, *ours)] == []
