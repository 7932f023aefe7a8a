"""``?dryRun=true`` at the HTTP face: the same door, and nothing stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.api.serving import PNG, FakeEngine, face, file, form, settings_with, text, uploads_left
from tests.unit.api.test_images import eventually

BODY = {"model": "gpt-image-2", "prompt": "a dot"}
FORM = {"content-type": "multipart/form-data; boundary=b"}


def test_the_engine_is_not_asked() -> None:
    with face() as server:
        reply = server.post_json("/v1/images/generations?dryRun=true", BODY)
        assert (reply.status, reply.json) == (200, {"estimated": True, "model": "gpt-image-2"})
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["cache-control"] == "no-store"
        assert server.engine.calls == []


def test_the_files_of_an_edit_are_given_back(tmp_path: Path) -> None:
    large = file("image", PNG + b"\0" * 2_000_000)
    body = form(text("model", "gpt-image-2"), text("prompt", "a dot"), large)
    with face(settings_with(tmp_path)) as server:
        reply = server.request("POST", "/v1/images/edits?dryRun=true", body, FORM)
        assert reply.status == 200, reply.body
        assert eventually(lambda: not uploads_left(tmp_path))


@pytest.mark.parametrize("query", ["dryRun=yes", "dry_run=on", "dryRun=true&dryRun=false"])
def test_a_value_that_cannot_be_read_makes_no_call(query: str) -> None:
    engine = FakeEngine()
    with face(engine=engine) as server:
        error = server.post_json(f"/v1/images/generations?{query}", BODY).error
        assert (error["param"], error["code"]) == ("dryRun", "invalid_value")
        assert "dryRun=true" in error["message"]
    assert engine.calls == []


def test_a_key_is_needed_and_the_body_is_judged() -> None:
    with face() as server:
        assert server.post_json("/v1/images/generations?dryRun=true", BODY, key=None).status == 401
        wrong = server.post_json("/v1/images/generations?dryRun=true", {**BODY, "n": 11}).error
        assert wrong["code"] == "integer_above_max_value"
