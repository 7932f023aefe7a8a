"""``GET /v1/usage``: what a key is told of its limits, and what it is not told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest

from config.catalog import load_catalog
from config.schema import Settings
from gateway.api.openapi import document
from gateway.quota.clock import wall_clock
from gateway.quota.errors import StoreAway
from gateway.quota.holds import Amounts
from gateway.quota.local import LocalQuotaStore
from gateway.quota.of_settings import LimitBook
from gateway.quota.outcomes import Admitted, Epoch, Reservation, Standing
from gateway.quota.terms import Limit, Measure
from gateway.quota.windows import from_ms
from tests.servers import ROOT
from tests.unit.api.serving import KEY, NARROW_KEY, FakeKeys, Reply, face

NANO = 10**9
ORGANIZATION: Mapping[str, Any] = {
    "limits": [
        {"spend_usd": 5000, "per": "month", "alert_at": ["50%", "0.01%"]},
        {"images": 9, "per": "day", "model": "gpt-image-2"},
    ],
    "projects": [
        {
            "name": "growth",
            "end_user_header": "X-App-User",
            "limits": [
                {"spend_usd": "0.50", "per": "total", "temporary": {"to": 2, "until": "2999-12-31"}},
                {"concurrent": 20},
            ],
            "end_user_limits": [{"images": 4, "per": "day"}],
            "keys": [
                {
                    "name": "ci",
                    "sha256": sha256(KEY.encode()).hexdigest(),
                    "limits": [
                        {"requests": 60, "per": "minute"},
                        {"tokens": 5, "per": "day", "shadow": True},
                    ],
                },
                {
                    "name": "narrow",
                    "sha256": sha256(NARROW_KEY.encode()).hexdigest(),
                    "models": ["sandbox"],
                    "limits": [{"images": 1, "per": "year"}],
                },
            ],
        },
        {"name": "brand", "limits": [{"spend_usd": 7, "per": "day"}]},
    ],
}
CI = "growth/ci"


def settings() -> Settings:
    return Settings.model_validate({"organization": ORGANIZATION})


@dataclass
class Quota:
    """A local store, and what its route asked it."""

    store: LocalQuotaStore = field(default_factory=LocalQuotaStore)
    away: bool = False

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]:
        if self.away:
            raise StoreAway("refused")
        return await self.store.standing(limits)

    async def take(self, number: int, amounts: Amounts, end_user: str | None = None) -> Admitted:
        limits = LimitBook(settings(), load_catalog()).limits_for(
            "growth", CI, model="gpt-image-2", end_user=end_user, now=from_ms(wall_clock())
        )
        outcome = await self.store.reserve([Reservation(f"r{number}/1", amounts, limits)])
        assert isinstance(outcome, Admitted)
        return outcome

    async def some_calls(self) -> None:
        """One settled at 0.3 of 0.5 held, one of unknown outcome, one running, for an end user of two."""
        await self.store.rebuild(Epoch(1), (), ())
        call = {Measure.SPEND: NANO // 2, Measure.IMAGES: 1, Measure.REQUESTS: 1, Measure.TOKENS: 9}
        (first,) = (await self.take(1, call, "ann")).holds
        await self.store.dispatch(first)
        await self.store.settle(first, {Measure.SPEND: 3 * NANO // 10})
        (second,) = (await self.take(2, call, "bob")).holds
        await self.store.dispatch(second)
        await self.store.unknown(second)
        await self.take(3, call, "ann")


@pytest.fixture
def quota() -> Quota:
    made = Quota()
    asyncio.run(made.some_calls())
    return made


def asked(quota: Quota, path: str = "/v1/usage", key: str = KEY, **headers: str) -> Reply:
    with face(settings(), quota=quota, keys=FakeKeys()) as server:
        return server.request("GET", path, key=key, headers=headers)


def limits_of(reply: Reply) -> list[tuple[str, str]]:
    return [(limit["scope"], limit["measure"]) for limit in reply.json["limits"]]


def test_a_key_is_told_where_all_its_limits_stand(quota: Quota) -> None:
    reply = asked(quota)
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    told = reply.json
    assert (told["object"], told["project"], told["key"], told["end_user"]) == (
        "usage",
        {"id": "growth", "name": "growth"},
        {"id": "growth/ci", "name": "ci"},
        None,
    )
    assert limits_of(reply) == [
        ("organization", "spend_usd"),
        ("organization", "images"),
        ("project", "spend_usd"),
        ("project", "concurrent"),
        ("key", "requests"),
        ("key", "tokens"),
    ]
    organization, images, project, concurrent, requests, tokens = told["limits"]
    assert {name: organization[name] for name in ("limit", "used", "held", "unknown", "remaining")} == {
        "limit": "5000",
        "used": "0.3",
        "held": "0.5",
        "unknown": "0.5",
        "remaining": "4998.7",
    }
    assert organization["resets_at"].endswith("-01T00:00:00Z")
    assert organization["alerts"] == [
        {"at": "0.01%", "amount": "0.5", "reached": True},
        {"at": "50%", "amount": "2500", "reached": False},
    ]
    assert (images["model"], images["used"], images["held"], images["remaining"]) == ("gpt-image-2", 2, 1, 6)
    assert (project["limit"], project["remaining"], project["resets_at"]) == ("2", "0.7", None)
    assert project["raised_until"] == "3000-01-01T00:00:00Z"
    assert (concurrent["limit"], concurrent["held"], concurrent["per"]) == (20, 1, None)
    assert (requests["limit"], requests["used"], requests["when_away"]) == (60, 3, "open")
    assert (tokens["shadow"], tokens["remaining"]) == (True, 0)


def test_a_key_is_told_nothing_of_other_keys_and_projects(quota: Quota) -> None:
    reply = asked(quota, key=NARROW_KEY)
    assert limits_of(reply) == [
        ("organization", "spend_usd"),
        ("project", "spend_usd"),
        ("project", "concurrent"),
        ("key", "images"),
    ]
    assert reply.json["limits"][-1]["used"] == 0
    assert b"ci" not in reply.body
    assert b"brand" not in reply.body
    assert b"ann" not in reply.body


@pytest.mark.parametrize("way", ["query", "header"])
def test_an_end_user_of_the_key_can_be_asked_for(quota: Quota, way: str) -> None:
    if way == "query":
        reply = asked(quota, "/v1/usage?end_user=ann")
    else:
        reply = asked(quota, **{"x-app-user": "ann"})
    assert reply.json["end_user"] == "ann"
    user = reply.json["limits"][-1]
    assert (user["scope"], user["measure"], user["used"], user["held"]) == ("end_user", "images", 1, 1)


def test_an_end_user_that_nobody_has_seen_has_used_nothing(quota: Quota) -> None:
    user = asked(quota, f"/v1/usage?end_user={quote('Zoë & co')}").json["limits"][-1]
    assert (user["used"], user["remaining"]) == (0, 4)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("user=ann", "unknown query parameter 'user'; there is end_user"),
        ("end_user=a&end_user=b", "'end_user' is one name"),
        (f"end_user={'x' * 513}", "'end_user' is one name of at most 512 characters"),
        ("end_user=%ff", "the query string is not well-formed"),
        ("&".join(f"a{i}=1" for i in range(50)), "the query string is not well-formed"),
    ],
)
def test_a_query_that_is_misspelt_is_told(quota: Quota, query: str, said: str) -> None:
    reply = asked(quota, f"/v1/usage?{query}")
    assert (reply.status, reply.error["code"]) == (400, "invalid_value")
    assert said in reply.error["message"]


def test_it_takes_a_key_and_nothing_but_reading(quota: Quota) -> None:
    with face(settings(), quota=quota) as server:
        assert server.request("GET", "/v1/usage", key=None).status == 401
        assert server.request("GET", "/v1/usage", key="sk-wrong").status == 401
        reply = server.request("POST", "/v1/usage", b"{}")
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
        assert server.request("GET", "/openai/v1/usage").status == 200
        assert server.request("GET", "/usage").error["code"] == "unknown_url"


def test_without_the_store_it_says_so(quota: Quota) -> None:
    quota.away = True
    reply = asked(quota)
    assert (reply.status, reply.error["code"]) == (503, "budget_store_unavailable")
    assert reply.headers["x-should-retry"] == "true"


def test_a_project_without_limits_has_an_empty_list() -> None:
    quota = Quota()
    asyncio.run(quota.store.rebuild(Epoch(1), (), ()))
    with face(quota=quota) as server:
        assert server.request("GET", "/v1/usage").json["limits"] == []


def test_the_answer_is_what_openapi_says(quota: Quota) -> None:
    described = document("1", None)
    components = described["components"]
    assert isinstance(components, dict)
    schema = {"$ref": "#/components/schemas/Usage", "components": components}
    told = asked(quota, "/v1/usage?end_user=ann").json
    jsonschema.validate(told, schema)
    schemas = components["schemas"]
    assert set(told) == set(schemas["Usage"]["properties"])
    assert set(told["limits"][0]) == set(schemas["Limit"]["properties"])


def test_the_documented_answer_is_one() -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    answers = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    (usage,) = [each for each in answers if each.get("object") == "usage"]
    components = document("1", None)["components"]
    jsonschema.validate(usage, {"$ref": "#/components/schemas/Usage", "components": components})
