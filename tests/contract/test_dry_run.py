"""``?dryRun=true``: what the call would be, told without making it, and told truly."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from PIL import Image

from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.noon import ZONE
from tests.property.test_served import dictionary, listing
from tests.servers import ROOT
from tests.simulators.openai_upstream import Upstream

SMALL = {"id": "small", "extends": "gpt-image-2", "max_n": 1, "backgrounds": ["opaque", "auto"]}
BODY = {"model": "gpt-image-2", "prompt": "a red kite", "size": "1024x1024", "quality": "low"}


def gateway(
    upstream: Upstream, folder: Path, *limits: Mapping[str, Any]
) -> AbstractAsyncContextManager[Here]:
    """``gpt-image-2`` falls back on a model of three sizes; ``small`` makes one opaque picture a call;
    ``unpriced`` is one that nobody knows the price of."""
    (folder / "key").write_text(upstream.key)
    account = {"type": "openai", "base_url": upstream.base_url, "api_key": "file:key"}
    elsewhere = {"type": "openai-compatible", "base_url": upstream.base_url, "api_key": "file:key"}
    key = {"name": "suite", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
    names = ["gpt-image-2", "small", "unpriced", "picky"]
    image_2 = {"provider": "up1", "model": "gpt-image-2"}
    small = {**image_2, "catalog": "small"}
    document = {
        "providers": {"up1": account, "up2": account, "up3": elsewhere},
        "catalog": [SMALL],
        "models": {
            "gpt-image-2": {"targets": [{"provider": "up1"}, {"provider": "up2", "model": "gpt-image-1.5"}]},
            "small": {"targets": [small]},
            "unpriced": {"targets": [{"provider": "up3", "model": "x"}, image_2]},
            "picky": {"targets": [small, {**image_2, "provider": "up2"}]},
            "reserved": {"targets": [image_2]},
        },
        "normalization": {"legacy_models": "gpt-image-2"},
        "organization": {
            "timezone": ZONE,
            "limits": list(limits),
            "projects": [{"name": "tests", "models": names, "keys": [key]}],
        },
    }
    config = "\n".join(f"{name}: {json.dumps(value)}" for name, value in document.items())
    return gateway_here(config, folder)


@pytest_asyncio.fixture
async def here(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Here]:
    async with gateway(upstream, tmp_path) as running:
        yield running


async def asked(
    here: Here, *, dry: bool = True, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    path = "/v1/images/generations" + ("?dryRun=true" if dry else "")
    return await here.client.post(path, json={**BODY, **fields}, headers=headers or {})


async def test_nothing_is_called_held_or_written(upstream: Upstream, tmp_path: Path) -> None:
    limits = [{"spend_usd": 1, "per": "day"}, {"images": 3, "per": "minute"}, {"concurrent": 1}]
    async with gateway(upstream, tmp_path, *limits) as here:
        for _ in range(5):
            response = await asked(here, n=3, response_format="url")
            assert (response.status_code, response.json()["limits"]["admitted"]) == (200, True)
            assert response.headers["cache-control"] == "no-store"
        assert list(upstream.calls) == []
        stands = (await here.client.get("/v1/usage")).json()["limits"]
        assert {(limit["used"], limit["held"]) for limit in stands} == {("0", "0"), (0, 0)}
        assert await here.rows("requests") == await here.rows("attempts") == []
        assert [path for path in (tmp_path / "data" / "media").rglob("*") if path.is_file()] == []


async def test_the_first_keys_are_lumenfalls(here: Here) -> None:
    document = (await asked(here, n=2)).json()
    assert list(document)[:6] == [
        "estimated",
        "model",
        "provider",
        "total_cost_micros",
        "currency",
        "components",
    ]
    assert (document["estimated"], document["currency"]) == (True, "USD")
    assert (document["model"], document["provider"]) == ("gpt-image-2", "up1")
    assert [set(part) for part in document["components"]] == 2 * [
        {"type", "metric", "quantity", "billable_quantity", "unit_price", "total_cost"}
    ]
    made = document["components"][1]
    assert (made["type"], made["quantity"], made["unit_price"]) == ("output", 2 * 196, "0.00003")
    assert sum(part["total_cost"] for part in document["components"]) == document["total_cost_micros"]
    assert document["cost_range"]["expected"]["micros"] == document["total_cost_micros"]


async def test_money_is_text_or_whole_and_never_a_float(here: Here) -> None:
    floats: list[str] = []
    text = (await asked(here, n=3, output_format="avif")).text
    json.loads(text, parse_float=floats.append)
    assert floats == []


async def test_each_candidate_is_told_with_its_own_size_and_cost(here: Here) -> None:
    document = (await asked(here, size="1920x1080", quality="hd")).json()
    first, second = document["plan"]
    assert [candidate["provider"] for candidate in (first, second)] == ["up1", "up2"]
    assert first["request"] == {"model": "gpt-image-2", "size": "1920x1088", "quality": "high"}
    assert (first["size"]["rule"], second["size"]["rule"]) == ("step", "nearest")
    assert second["request"]["size"] == "1536x1024"
    assert first["adjustments"] == [{"field": "quality", "from": "hd", "to": "high", "how": "mapped"}]
    assert first["cost"]["source"]["mark"] == "read"
    assert first["cost"]["high"] != second["cost"]["high"]


async def test_prompts_and_private_words_are_not_repeated(here: Here) -> None:
    secret = "a very private wish"
    response = await asked(here, prompt=secret, user=secret, negative_prompt=secret)
    assert secret not in response.text
    assert response.json()["plan"][0]["unshown"] == ["prompt", "user"]
    assert {"field": "negative_prompt", "from": None, "to": None, "how": "dropped"} in response.json()[
        "plan"
    ][0]["adjustments"]


async def test_a_target_that_cannot_serve_the_call_is_named_with_the_reason(here: Here) -> None:
    document = (await asked(here, model="picky", background="transparent")).json()
    assert document["provider"] == "up2"
    (excluded,) = document["excluded"]
    assert (excluded["provider"], excluded["capability"], excluded["param"]) == (
        "up1",
        "transparent",
        "background",
    )
    assert excluded["valid"] == ["opaque", "auto"]


async def test_calls_side_by_side_are_each_priced(here: Here) -> None:
    one, three = [(await asked(here, model="small", n=n)).json() for n in (1, 3)]
    assert three["plan"][0]["calls"] == [1, 1, 1]
    assert three["held"]["tokens"] == 3 * one["held"]["tokens"]
    assert Decimal(three["held"]["usd"]) == 3 * Decimal(one["held"]["usd"])


async def test_an_unknown_price_is_null_and_never_nothing(here: Here) -> None:
    document = (await asked(here, model="unpriced")).json()
    assert document["provider"] == "up3"
    assert document["total_cost_micros"] is document["cost_range"] is document["held"] is None
    assert document["components"] == []
    assert document["plan"][0]["cost"]["unknown"] == "unpriced"
    assert document["plan"][0]["cost"]["explanation"]
    assert document["limits"]["admitted"] is True


async def test_under_a_dollar_limit_the_first_with_a_price_is_the_one(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with gateway(upstream, tmp_path, {"spend_usd": 1, "per": "day"}) as here:
        document = (await asked(here, model="unpriced")).json()
        assert (document["provider"], document["limits"]["admitted"]) == ("up1", True)
        response = await asked(here, dry=False, model="unpriced")
        assert response.headers["x-imagegate-provider"] == "up1"


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "0x0"},
        {"model": "nope"},
        {"model": "reserved"},
        {"prompt": ""},
        {"qualty": "low"},
        {"model": "small", "background": "transparent"},
        {"n": 11},
    ],
)
async def test_what_the_call_would_be_refused_for_is_refused(here: Here, fields: dict[str, Any]) -> None:
    dry, real = await asked(here, **fields), await asked(here, dry=False, **fields)
    assert (dry.status_code, dry.json()) == (real.status_code, real.json())
    assert real.status_code in (400, 403)


async def test_a_wrong_key_is_told_nothing(here: Here) -> None:
    response = await asked(here, headers={"authorization": "Bearer wrong"})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("limits", "fields"),
    [
        ([{"spend_usd": "0.01", "per": "day"}], {"n": 2}),
        ([{"spend_usd": "0.01", "per": "day"}, {"images": 1, "per": "day"}], {"n": 2, "quality": "high"}),
        ([{"images": 1, "per": "minute"}], {"n": 2}),
        ([{"concurrent": 1}], {"model": "small", "n": 2}),
        ([{"tokens": 100, "per": "day", "model": "gpt-image-2"}], {}),
        ([{"spend_usd": 1, "per": "day"}], {"output_format": "webp", "svg": None, "model": "gpt-image-2"}),
    ],
)
async def test_whether_it_would_be_admitted_is_what_then_happens(
    upstream: Upstream, tmp_path: Path, limits: list[dict[str, Any]], fields: dict[str, Any]
) -> None:
    async with gateway(upstream, tmp_path, *limits) as here:
        told = (await asked(here, **fields)).json()["limits"]
        real = await asked(here, dry=False, **fields)
        assert told["admitted"] is (real.status_code == 200)
        if real.status_code != 200:
            error = real.json()["error"]
            assert told["error"]["status"] == real.status_code == 429
            assert {name: told["error"][name] for name in ("message", "type", "code")} == {
                name: error[name] for name in ("message", "type", "code")
            }


@pytest.mark.parametrize("word", ["dryrun=true", "dry_run=1", "DryRun"])
async def test_a_near_miss_of_the_word_makes_no_bill(here: Here, upstream: Upstream, word: str) -> None:
    response = await here.client.post(f"/v1/images/generations?{word}", json=BODY)
    assert response.json()["estimated"] is True
    assert list(upstream.calls) == []


async def test_a_value_that_is_neither_yes_nor_no_makes_no_bill(here: Here, upstream: Upstream) -> None:
    response = await here.client.post("/v1/images/generations?dryRun=yes", json=BODY)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "dryRun")
    assert list(upstream.calls) == []


async def test_other_query_words_are_ignored_as_openai_does(here: Here, upstream: Upstream) -> None:
    response = await here.client.post("/v1/images/generations?dryRun=false&beta=1", json=BODY)
    assert len(response.json()["data"]) == 1
    assert len(upstream.images) == 1


async def test_azures_and_lumenfalls_paths_have_it_too(here: Here, upstream: Upstream) -> None:
    for path in ("/openai/v1/images/generations", "/openai/deployments/gpt-image-2/images/generations"):
        response = await here.client.post(f"{path}?api-version=preview&dryRun=true", json=BODY)
        assert response.json()["model"] == "gpt-image-2"
    assert list(upstream.calls) == []


async def test_every_key_is_documented(here: Here) -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    document = (await asked(here, model="picky", background="transparent")).json()
    told = [
        document,
        document["plan"][0],
        document["excluded"][0],
        *document["components"],
        document["limits"],
    ]
    told += [document["cost_range"], document["held"], document["plan"][0]["cost"]]
    model = (await here.client.get("/v1/models/gpt-image-2?schema=true")).json()
    keys = {key for part in told for key in part} | set(model) - {"id", "object", "created", "owned_by"}
    assert {key for key in keys if not re.search(rf"`(targets\[\]\.)?{key}`", text)} == set()


async def test_the_document_is_as_openapi_says(here: Here) -> None:
    openapi = (await here.client.get("/openapi.json")).json()
    schema = {"$ref": "#/components/schemas/DryRun", "components": openapi["components"]}
    for fields in ({}, {"model": "unpriced"}, {"model": "picky", "background": "transparent", "n": 3}):
        document = (await asked(here, **fields)).json()
        assert list(Draft202012Validator(schema).iter_errors(document)) == []


# -- dry run, request, header, body and ledger say the same

CHOICES: dict[str, list[Any]] = {
    "model": ["gpt-image-2", "small", "picky", "dall-e-3"],
    "n": [1, 2, 4],
    "size": ["1024x1024", "16:9", "2K", "1920x1080", "512x512", "4000x500", "auto"],
    "aspect_ratio": ["21:9", "1.85:1", "auto"],
    "resolution": ["1K", "4K", "512"],
    "fit": ["cover", "contain", "none"],
    "quality": ["low", "medium", "hd", "max", "auto", "standard"],
    "background": ["opaque", "transparent", "#ff8800", "auto"],
    "output_format": ["png", "webp", "jpeg", "gif"],
    "output_compression": [100, 60],
    "moderation": ["low", "auto"],
    "seed": [7],
    "style": ["vivid"],
    "negative_prompt": ["rain"],
    "user": ["somebody"],
    "stream": [False],
}


@pytest.mark.parametrize("seed", range(8))
async def test_dry_run_header_body_and_ledger_say_the_same(here: Here, upstream: Upstream, seed: int) -> None:
    dice, served = random.Random(seed), 0
    for _ in range(6):
        names = dice.sample(sorted(CHOICES), dice.randint(1, 6))
        fields = {name: dice.choice(CHOICES[name]) for name in names}
        base = {"model": "gpt-image-2", "prompt": "a red kite", "size": "1024x1024", "quality": "low"}
        asking = Asking({**base, **fields}, edits=dice.random() < 0.4, strict=dice.random() < 0.2)
        dry, real = await asking.sent(here, dry=True), await asking.sent(here, dry=False)
        assert dry.status_code == real.status_code, (asking, dry.text, real.text[:500])
        if real.status_code == 200:
            served += 1
            await compare(here, upstream, asking.body, dry.json(), real)
        else:
            assert dry.json() == real.json()
            assert list(upstream.images) == [], "what the gateway could not serve, it refused itself"
        upstream.reset()
    assert served >= 2


@dataclass(frozen=True, slots=True)
class Asking:
    """One request, to be sent twice."""

    body: dict[str, Any]
    edits: bool
    strict: bool

    async def sent(self, here: Here, *, dry: bool) -> httpx.Response:
        path = f"/v1/images/{'edits' if self.edits else 'generations'}" + ("?dryRun=true" if dry else "")
        headers = {
            "x-imagegate-report": "body",
            "x-imagegate-size-mode": "strict" if self.strict else "snap",
        }
        if not self.edits:
            return await here.client.post(path, json=self.body, headers=headers)
        data = {name: as_text(value) for name, value in self.body.items()}
        return await here.client.post(path, data=data, files={"image": ("a.png", SOURCE)}, headers=headers)


async def compare(
    here: Here, upstream: Upstream, body: dict[str, Any], dry: dict[str, Any], real: httpx.Response
) -> None:
    candidate, report = dry["plan"][0], real.json()["imagegate"]
    header = {"requested": None, **dictionary(real.headers["x-imagegate-size"])}
    request = (await here.rows("requests"))[-1]
    attempts = [row for row in await here.rows("attempts") if row["request_id"] == request["request_id"]]
    row = {name: request[f"size_{name}"] for name in ("requested", "sent", "received", "rule")}
    assert header == report["size"] == row
    assert candidate["size"] == {**row, "received": None}, body
    listed = listing(real.headers.get("x-imagegate-adjustments", ""))
    assert (
        candidate["adjustments"]
        == report["adjustments"]
        == listed
        == json.loads(request["adjustments"] or "[]")
    )
    assert dry["provider"] == report["provider"] == request["provider"]
    assert sorted(candidate["calls"]) == sorted(int(call.fields.get("n") or 1) for call in upstream.images)
    hidden = {"n", "image", "images", *candidate["unshown"]}
    shown = {name: as_text(value) for name, value in candidate["request"].items() if name not in hidden}
    for call in upstream.images:
        fields = {name: as_text(value) for name, value in call.fields.items() if name not in hidden}
        assert fields == shown
    nano = Decimal(10) ** 9
    assert sum(row["hold_amount"] for row in attempts) == Decimal(dry["held"]["usd"]) * nano
    assert sum(row["expected"] for row in attempts) == Decimal(dry["cost_range"]["expected"]["usd"]) * nano
    cost = Decimal(real.headers["x-imagegate-cost-usd"])
    assert cost == Decimal(report["cost_usd"]) == Decimal(request["cost"]) / nano
    low, high = (Decimal(dry["cost_range"][end]["usd"]) for end in ("low", "high"))
    assert low <= cost <= high


def as_text(value: Any) -> str:
    """As a form writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 160)).save(out, "PNG")
    return out.getvalue()


SOURCE = png(1200, 800)
