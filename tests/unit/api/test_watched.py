"""Few names of routes come out, whatever clients ask for."""

from __future__ import annotations

import pytest

from gateway.api.watched import RouteNames

NAMES = RouteNames(
    {
        "/v1/images/generations": False,
        "/v1/models": True,
        "/v1/images/requests": True,
        "/openai/deployments": True,
        "/media": True,
        "/livez": False,
    }
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/images/generations", "/v1/images/generations"),
        ("/v1/images/generations/", "/v1/images/generations"),
        ("/v1/models", "/v1/models"),
        ("/v1/models/anything/at/all", "/v1/models/{id}"),
        ("/v1/images/requests/req_1", "/v1/images/requests/{id}"),
        ("/openai/deployments/mine/images/edits", "/openai/deployments/{id}/images/edits"),
        ("/openai/deployments/mine/chat", "/openai/deployments/{id}"),
        ("/media/a.png", "/media/{id}"),
        ("/v1/modelsandmore", None),
        ("/wp-admin", None),
        ("/", None),
    ],
)
def test_a_path_becomes_its_routes_name(path: str, name: str | None) -> None:
    assert NAMES.of(path) == name


def test_images_are_known_on_all_their_routes() -> None:
    asked = ("/v1/images/generations", "/openai/deployments/mine/images/edits")
    assert all(NAMES.is_images(NAMES.of(path)) for path in asked)
    assert not any(
        NAMES.is_images(NAMES.of(path)) for path in ("/v1/models", "/nowhere", "/v1/images/requests")
    )
