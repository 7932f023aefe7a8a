"""Which settings a running gateway takes over, and which wait for a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.findings import Location
from config.lasting import LASTING, Lasting, lasting_secrets, waiting, with_lasting
from config.schema import Settings

FOLLOWED = {
    "include", "upstream", "providers", "models", "catalog", "routing", "normalization",
    "server.public_url", "server.trusted_proxies", "server.cors_origins", "server.upload",
    "server.read_stall", "server.metrics_token", "server.drain", "server.watch",
    "organization.name", "organization.limits", "organization.tags", "organization.alerts",
    "organization.webhook_origins", "organization.unknown", "organization.projects",
    "media.results", "media.fetch", "telemetry.keys",
}  # fmt: skip
"""Settings that the parts of each version are built from anew, or that ``Lasting.follow`` hands on."""


def test_every_setting_is_followed_or_lasts() -> None:
    """A new one must be put into one of the two tables."""
    sections = {"server", "organization", "media", "telemetry"}
    names = {
        f"{name}.{inner}" if name in sections else name
        for name in Settings.model_fields
        for inner in (type(getattr(Settings(), name)).model_fields if name in sections else [""])
    }
    lasting = {".".join(map(str, location)) for location in LASTING}
    assert FOLLOWED | lasting == names
    assert not FOLLOWED & lasting


def test_what_lasts_stays_and_the_rest_is_taken_over() -> None:
    running = Settings.model_validate({"server": {"port": 1}, "storage": {"data": "here"}})
    new = Settings.model_validate(
        {"server": {"port": 2, "read_stall": "9s"}, "storage": {"data": "there"}, "media": {"keep": "3h"}}
    )
    made = with_lasting(new, running)
    assert (made.server.port, made.server.read_stall, made.storage.data) == (1, 9.0, "here")
    assert made.media.keep == running.media.keep
    assert waiting(new, running, {}, {}) == ["media.keep", "server.port", "storage.data"]
    assert waiting(made, running, {}, {}) == []


def test_a_secret_that_lasts_waits_when_what_it_leads_to_has_changed(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "server": {"secret": "file:secret"},
            "storage": {"database": "file:database"},
            "providers": {"up": {"type": "openai", "api_key": "file:key"}},
        }
    )

    def write(secret: str, database: str) -> Lasting:
        for name, text in (("secret", secret), ("database", database), ("key", secret)):
            (tmp_path / name).write_text(text)
        return lasting_secrets(settings, tmp_path)

    first = write("one", "postgresql://user:password@host/ledger")
    assert waiting(settings, settings, first, first) == []
    second = write("two", "postgresql://user:password@elsewhere/ledger")
    assert waiting(settings, settings, second, first) == ["server.secret", "storage.database"]
    # A login is asked for at each connection.
    third = write("one", "postgresql://other:p%40ss@host/ledger")
    assert waiting(settings, settings, third, first) == []
    (tmp_path / "database").unlink()
    assert waiting(settings, settings, lasting_secrets(settings, tmp_path), first) == []


@pytest.mark.parametrize("location", LASTING, ids=lambda location: ".".join(location))
def test_what_lasts_is_there(location: Location) -> None:
    *sections, name = location
    model: Any = Settings()
    for step in sections:
        model = getattr(model, str(step))
    assert name in type(model).model_fields
