"""``/v1/models`` with ``?schema=true``: what a key may use, what it may ask of it, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from config.catalog import load_catalog
from gateway.images.model_facts import facts
from gateway.routing.directory import ModelDirectory, PublicModel, Target
from tests.unit.api.serving import MODELS, NARROW_KEY, TODAY, Face, directory_of, face

CATALOG = load_catalog()


@pytest.fixture(scope="module")
def server() -> Iterator[Face]:
    with face() as running:
        yield running


def described(server: Face, name: str = "gpt-image-2", query: str = "?schema=true") -> dict[str, Any]:
    reply = server.request("GET", f"/v1/models/{name}{query}")
    assert reply.status == 200
    document: dict[str, Any] = reply.json
    return document


def test_without_the_word_a_model_is_told_as_openai_tells_it(server: Face) -> None:
    assert list(described(server, query="")) == ["id", "object", "created", "owned_by", "shutdown_date"]


def test_with_it_the_same_and_what_helps_to_choose(server: Face) -> None:
    short, long = described(server, query=""), described(server)
    assert {name: long[name] for name in short} == short
    (target,) = long["targets"]
    assert (target["provider"], target["model"]) == ("somewhere", "gpt-image-2")
    assert target["sizing"]["max_pixels"] == 8_294_400
    assert target["capabilities"]["qualities"] == ["low", "medium", "high", "auto"]
    (price,) = target["prices"]
    assert price["tokens"]["image_out"] == "30.00"
    assert (price["source"]["mark"], price["source"]["verified_on"]) == ("read", "2026-11-20")


def test_each_operation_has_its_schema(server: Face) -> None:
    schemas = described(server)["schema"]
    assert list(schemas) == ["generations", "edits"]
    good = {
        "model": "gpt-image-2",
        "prompt": "a dot",
        "size": "16:9",
        "quality": "hd",
        "output_format": "avif",
    }
    assert Draft202012Validator(schemas["generations"]).is_valid(good)
    for wrong in ({"size": "huge"}, {"qualty": "low"}, {"n": 11}, {"model": "other"}):
        assert not Draft202012Validator(schemas["generations"]).is_valid({**good, **wrong})
    assert not Draft202012Validator(schemas["edits"]).is_valid(good)
    assert Draft202012Validator(schemas["edits"]).is_valid({**good, "images": ["https://a.example/b.png"]})


def test_the_schema_says_what_the_gateway_does(server: Face) -> None:
    schema = Draft202012Validator(described(server)["schema"]["generations"])
    for fields in ({"size": "2k"}, {"size": "2kk"}, {"background": "#fff"}, {"seed": 1.5}, {"stream": None}):
        served = server.generate(**fields).status == 200
        assert schema.is_valid({"model": "gpt-image-2", "prompt": "a dot", **fields}) is served


def test_what_a_key_may_not_use_is_not_described_to_it(server: Face) -> None:
    reply = server.request("GET", "/v1/models/gpt-image-2?schema=true", key=NARROW_KEY)
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


def test_a_model_nobody_knows_has_a_schema_and_no_price(server: Face) -> None:
    document = described(server, "anything")
    assert document["targets"][0]["prices"] == []
    assert document["schema"]["generations"]["properties"]["quality"]["type"] == ["string", "null"]


def test_a_value_that_is_neither_yes_nor_no_is_refused(server: Face) -> None:
    error = server.request("GET", "/v1/models/gpt-image-2?schema=maybe").error
    assert (error["param"], error["code"]) == ("schema", "invalid_value")


def test_a_target_without_its_key_is_not_told(server: Face) -> None:
    assert server.request("GET", "/v1/models/keyless?schema=true").status == 404


def test_a_model_that_was_shut_down_everywhere_is_no_more() -> None:
    entry = CATALOG.get("gpt-image-1.5")
    assert entry is not None
    gone = entry.model_copy(update={"shutdown": TODAY})
    both = PublicModel("both", (Target("a", "x", gone), Target("b", "y", entry)), gone)
    directory = ModelDirectory([PublicModel("gone", (Target("a", "x", gone),), gone), both])
    with face(directory=directory) as server:
        assert [model["id"] for model in server.request("GET", "/v1/models").json["data"]] == ["both"]
        assert server.request("GET", "/v1/models/gone").status == 404


def test_prices_to_come_are_told_and_old_ones_are_not() -> None:
    entry = CATALOG.get("gpt-image-2")
    assert entry is not None
    (price,) = entry.prices
    later = price.model_copy(update={"since": date(2027, 1, 1)})
    older = price.model_copy(update={"since": date(2025, 1, 1)})
    priced = entry.model_copy(update={"prices": [older, price, later]})
    assert [each["version"] for each in _prices(facts(priced, TODAY))] == [price.version, "2027-01-01"]
    assert _prices(facts(entry.model_copy(update={"prices": []}), TODAY)) == []


def _prices(document: dict[str, object]) -> list[dict[str, Any]]:
    found = document["prices"]
    assert isinstance(found, list)
    return found


def test_the_documents_are_as_openapi_says(server: Face) -> None:
    openapi = server.request("GET", "/openapi.json", key=None).json
    listing = server.request("GET", "/v1/models").json
    for name, document in (("ModelList", listing), ("Model", described(server))):
        schema = {"$ref": f"#/components/schemas/{name}", "components": openapi["components"]}
        assert list(Draft202012Validator(schema).iter_errors(document)) == []
    assert [model["id"] for model in listing["data"]] == [*MODELS, "anything"]
    assert directory_of(*MODELS).get("keyless") is not None
