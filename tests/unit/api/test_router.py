"""Every route, every answer's headers, and what is said of paths that are not here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from gateway.api.unsupported import NOT_SERVED, explain
from tests.unit.api.serving import KEY, NARROW_KEY, Face, face, settings_with

ASKED = {"model": "gpt-image-2", "prompt": "a dot"}


@pytest.fixture(scope="module")
def server() -> Iterator[Face]:
    with face() as running:
        yield running


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/images/generations"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/unknown"),
        ("GET", "/livez"),
        ("GET", "/nowhere"),
        ("DELETE", "/v1/models"),
    ],
)
def test_every_answer_says_who_it_is(server: Face, method: str, path: str) -> None:
    first, second = (server.request(method, path) for _ in range(2))
    assert re.fullmatch(r"req_[0-9a-f]{32}", first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["openai-version"] == "2020-10-01"
    assert first.headers["openai-processing-ms"].isdigit()
    assert first.headers["x-content-type-options"] == "nosniff"
    assert "X-Request-ID" in first.headers["access-control-expose-headers"]
    assert first.body


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/v1/"])
def test_a_generation_is_served_under_each_prefix(server: Face, prefix: str) -> None:
    reply = server.post_json(f"{prefix}/images/generations", ASKED)
    assert (reply.status, reply.body) == (200, b"{}")
    assert reply.headers["x-imagegate-model"] == "gpt-image-2"


def test_azures_deployment_in_the_path_is_the_model(server: Face) -> None:
    path = "/openai/deployments/gpt-image-1.5/images/generations?api-version=2025-04-01-preview"
    body = json.dumps({**ASKED, "model": 7}).encode()
    reply = server.request("POST", path, body, {"api-key": KEY, "content-type": "application/json"}, key=None)
    assert reply.status == 200
    assert server.engine.calls[-1].model == "gpt-image-1.5"
    unknown = server.post_json("/openai/deployments/nobody/images/generations", ASKED)
    assert unknown.error["param"] == "model"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/images/edits"])
def test_the_picture_routes_take_post_only(server: Face, method: str, path: str) -> None:
    reply = server.request(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_the_models_are_those_that_the_key_may_use(server: Face) -> None:
    document = server.request("GET", "/v1/models").json
    assert document["object"] == "list"
    names = [model["id"] for model in document["data"]]
    assert "gpt-image-2" in names
    assert "keyless" not in names
    assert document["data"][1] == {
        "id": "gpt-image-1.5",
        "object": "model",
        "created": document["data"][1]["created"],
        "owned_by": "openai",
        "shutdown_date": "2026-12-01",
    }
    narrow = server.request("GET", "/openai/v1/models", key=NARROW_KEY).json
    assert [model["id"] for model in narrow["data"]] == ["sandbox"]


def test_one_model_or_openais_404(server: Face) -> None:
    assert server.request("GET", "/v1/models/gpt-image-2").json["shutdown_date"] is None
    for name in ("nobody", "some/long/name", "nobody%2Felse"):
        reply = server.request("GET", f"/v1/models/{name}")
        assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "model_not_found", "model")
        assert reply.error["message"] == f"The model '{name.replace('%2F', '/')}' does not exist"
    assert server.request("GET", "/v1/models", key=None).status == 401
    assert server.request("GET", "/v1/modelsx").error["code"] == "unknown_url"


@pytest.mark.parametrize("name", NOT_SERVED)
def test_known_paths_that_are_not_served_say_what_to_use(server: Face, name: str) -> None:
    reply = server.post_json(f"/v1/{name}", {})
    assert (reply.status, reply.error["code"]) == (404, "unsupported_endpoint")
    assert reply.headers["x-should-retry"] == "false"
    assert reply.error["message"].endswith(NOT_SERVED[name])


@pytest.mark.parametrize(
    "path",
    ["/images/generations", "/v1/v1/images/generations", "/models", "/models/gpt-image-2", "/images/edits/"],
)
def test_a_forgotten_or_doubled_v1_is_named(server: Face, path: str) -> None:
    error = server.post_json(path, {}).error
    assert error["code"] == "unknown_url"
    assert "must end in one /v1" in error["message"]
    assert "serves it as /v1/" in error["message"]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/picture", "/v1/chatty", "/%00", "/v1/../etc/passwd", "//"])
def test_no_path_is_answered_with_an_empty_body(server: Face, path: str) -> None:
    reply = server.request("POST", path)
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")


def test_azures_prefix_does_not_hide_a_known_path() -> None:
    assert explain("POST", "/openai/deployments/x/chat/completions").code == "unsupported_endpoint"
    assert explain("POST", "/openai/v1/responses").code == "unsupported_endpoint"


def test_liveness_needs_nothing_and_readiness_the_store() -> None:
    good = [False]

    async def ready() -> bool:
        return good[0]

    with face(ready=ready) as server:
        assert server.request("GET", "/livez", key=None).json == {"status": "ok"}
        assert server.request("GET", "/readyz", key=None).status == 503
        good[0] = True
        assert server.request("GET", "/readyz", key=None).json == {"status": "ok"}
        assert server.request("HEAD", "/readyz", key=None).status == 200
        assert server.request("POST", "/readyz", key=None).headers["allow"] == "GET, HEAD"


def test_openapi_describes_the_routes_and_loads_nothing_from_elsewhere(server: Face) -> None:
    document = server.request("GET", "/openapi.json", key=None).json
    generation = document["paths"]["/v1/images/generations"]["post"]
    fields = generation["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert fields["n"] == {"type": "integer", "minimum": 1, "maximum": 10}
    assert fields["svg"]["properties"]["reasoning"]["properties"]["effort"]["enum"][0] == "none"
    edit = document["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]
    assert set(edit) == {"application/json", "multipart/form-data"}
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert names == set(document["components"]["schemas"])
    for path in ("/docs", "/schema", "/schema/swagger"):
        assert server.request("GET", path).status == 404


def test_cross_origin_pages_are_let_in_where_the_operator_names_them() -> None:
    page = "https://app.example.com"
    preflight = {"origin": page, "access-control-request-method": "POST"}
    preflight["access-control-request-headers"] = "authorization, content-type, x-stainless-lang"
    with face(settings_with(cors_origins=[page])) as server:
        reply = server.request("OPTIONS", "/v1/images/generations", headers=preflight, key=None)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, page)
        assert "authorization" in reply.headers["access-control-allow-headers"].lower()
        reply = server.request("GET", "/v1/models", headers={"origin": page})
        assert reply.headers["access-control-allow-origin"] == page
        refused = server.request("GET", "/v1/models", headers={"origin": page}, key="sk-wrong")
        assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, page)
        stranger = server.request("GET", "/v1/models", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers
