"""A call whose row comes as late as its hold's lease ends: refused, not sent, and nothing of it stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.ledger import lapsed
from tests.contract.gateway_here import PROJECT, gateway_here
from tests.contract.upstreams_here import config
from tests.noon import ZONE
from tests.simulators.openai_upstream import Upstream

LIMITED = PROJECT.replace(
    "{projects",
    f"{{timezone: {ZONE}, limits: [{{spend_usd: 1, per: day}}, {{images: 5, per: day}}], projects",
    1,
)


async def test_nothing_is_held_counted_or_sent_for_it(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    text = f"{config(upstream, max_attempts=1)}\n{LIMITED}"
    async with gateway_here(text, tmp_path) as here:
        with monkeypatch.context() as patch:
            # As if the ledger had taken the row 45 seconds after the store had taken the hold.
            patch.setattr(lapsed, "MARGIN", timedelta(seconds=46))
            refused = await here.generate()
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (503, "hold_lost")
        assert refused.headers["x-should-retry"] == "true"
        assert (list(upstream.images), await here.rows("attempts")) == ([], [])
        for limit in (await here.client.get("/v1/usage")).json()["limits"]:
            assert (str(limit["used"]), str(limit["held"]), str(limit["unknown"])) == ("0", "0", "0"), limit
        assert (await here.generate()).status_code == 200
