"""How long a gateway that was told to stop goes on, and when ``check`` warns of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.drain import DrainSettings, grace_of
from config.loader import load
from config.routing import RoutingSettings


def test_by_default_every_call_comes_to_its_end_within_the_grace() -> None:
    routing = RoutingSettings(deadline=280)
    assert routing.longest_call == 400
    assert grace_of(DrainSettings(), routing) == 415
    assert grace_of(DrainSettings(), RoutingSettings(deadline=60)) == 195
    assert grace_of(DrainSettings(grace=30), routing) == 30


@pytest.mark.parametrize(("delay", "grace"), [(5, 15), (0, 10), (60, 30)])
def test_a_grace_that_leaves_no_time_after_the_delay_is_refused(delay: float, grace: float) -> None:
    with pytest.raises(ValidationError, match="longer than delay by more than 10 s"):
        DrainSettings(delay=delay, grace=grace)


@pytest.mark.parametrize(("grace", "warned"), [("409s", True), ("410s", False), ("25s", True), (None, False)])
def test_a_grace_that_breaks_calls_off_is_warned_of(tmp_path: Path, grace: str | None, warned: bool) -> None:
    file = tmp_path / "gateway.yaml"
    drain = f"server: {{drain: {{grace: {grace}}}}}\n" if grace else ""
    file.write_text(f"{drain}providers: {{sandbox: {{type: sandbox}}}}\n")
    warnings = [str(warning) for warning in load(file).warnings if "grace" in str(warning)]
    assert bool(warnings) == warned
    if warned:
        assert "gateway.yaml:1:" in warnings[0]
        assert "410s or more" in warnings[0]
