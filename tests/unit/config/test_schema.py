"""Units, money and identities, as settings."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.organization import ProjectSettings
from config.schema import Settings
from config.units import parse_bytes, parse_dollars, parse_seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("64MiB", 64 * 2**20), ("50MB", 50 * 10**6), ("1 kb", 1000), (12, 12), ("0", 0)]
)
def test_sizes_are_bytes(text: object, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5MiB", "1 XB", True, None])
def test_a_size_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("280s", 280.0), ("10m", 600.0), ("1500ms", 1.5), (5, 5.0), (Decimal("0.25"), 0.25)],
)
def test_durations_are_seconds(text: object, expected: float) -> None:
    assert parse_seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "-1s", "1y", "1e3", True, None])
def test_a_duration_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_seconds(text)


@given(st.decimals(min_value=0, max_value=Decimal("9999999.999999999"), places=9))
def test_dollars_are_exact_to_the_nano_dollar(amount: Decimal) -> None:
    assert parse_dollars(f"{amount:f}") == amount


def test_a_project_without_an_id_has_a_slug_of_its_name() -> None:
    assert ProjectSettings(name="Growth.Team").project_id == "growth-team"
    assert ProjectSettings(name="growth", id="proj_1").project_id == "proj_1"


def test_settings_survive_a_round_trip() -> None:
    settings = Settings.model_validate(
        {
            "providers": {"o": {"type": "openai", "api_key": "env:A"}},
            "organization": {
                "limits": [
                    {"spend_usd": "0.1", "per": "day", "alert_at": ["50%", "99.5%"]},
                    {"images": 5, "per": "day", "temporary": {"to": 9, "until": "2026-12-24"}},
                    {"tokens": 5, "per": "week", "temporary": {"to": 9, "until": "2026-12-24T18:00+01:00"}},
                ]
            },
        }
    )
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
