"""What is logged of calls: one line for each request and one for each attempt, which lead to each other."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from gateway.images.amounts import dollars
from tests.contract.gateway_here import KEY, gateway_here
from tests.contract.upstreams_here import Start, config
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

PROMPT = "a word that nobody may read in a log"
BUDGET = """
organization:
  projects: [{name: tests, limits: [{spend_usd: 5, per: month}], keys: [{name: suite, key: "file:suite"}]}]
"""


async def test_each_attempt_has_a_line_that_says_what_its_row_says(
    upstream: Upstream, start_upstream: Start, tmp_path: Path
) -> None:
    second = await start_upstream()
    for name, secret in (("key1", upstream.key), ("key2", second.key), ("suite", KEY)):
        (tmp_path / name).write_text(secret)
    upstream.plan(on.error("overloaded"))
    with capture_logs() as logs:
        async with gateway_here(config(upstream, second) + BUDGET, tmp_path) as here:
            answer = await here.generate(prompt=PROMPT)
            failed, settled = await here.rows("attempts")
    assert answer.status_code == 200
    first, then = (line for line in logs if line["event"] == "attempt")
    (request,) = (line for line in logs if line["event"] == "request")
    for line, row in ((first, failed), (then, settled)):
        assert line["request_id"] == request["request_id"] == answer.headers["x-request-id"]
        assert (line["project"], line["key_id"], line["model"]) == ("tests", "tests/suite", "gpt-image-2")
        for name in ("attempt_id", "provider", "upstream_model", "state", "price_version"):
            assert line[name] == row[name]
        assert line["held_usd"] == dollars(row["hold_amount"])
        assert line["ms"] >= 0
    assert (first["state"], first["kind"], first["certainty"]) == ("released", "overloaded", "rejected")
    assert (first["step"], first["status"]) == (failed["step"], failed["http_status"])
    assert "cost_usd" not in first
    assert (then["state"], then["images"], then["status"]) == ("settled", 1, 200)
    assert then["cost_usd"] == dollars(settled["cost"]) == answer.headers["x-imagegate-cost-usd"]
    for word in (PROMPT, KEY, upstream.key):
        assert word not in str(logs)


async def test_what_only_the_operator_can_mend_has_a_warning_of_its_own(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "key1").write_text("sk-proj-of-nobody-abcdefgh12345678")
    with capture_logs() as logs:
        async with gateway_here(config(upstream), tmp_path) as here:
            assert (await here.generate(prompt=PROMPT)).status_code == 502
    (warning,) = (line for line in logs if line["event"] == "attempt_failed")
    assert (warning["log_level"], warning["kind"]) == ("warning", "auth")
    assert "of-nobody" not in str(logs)
    assert PROMPT not in str(logs)
