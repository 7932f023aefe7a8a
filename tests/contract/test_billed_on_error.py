"""What a call that brings no picture costs, by the terms of its account."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.gateway_here import gateway_here
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream


def configured(upstream: Upstream, folder: Path, terms: str) -> str:
    (folder / "key").write_text(upstream.key)
    account = f'type: openai, base_url: "{upstream.base_url}", api_key: "file:key"{terms}'
    return (
        f"providers: {{up: {{{account}}}}}\nmodels: {{gpt-image-2: {{targets: [{{provider: up}}]}}}}\n"
        "routing: {max_attempts: 1}"
    )


@pytest.mark.parametrize(
    ("terms", "refusal", "state", "flags"),
    [
        ("", "moderation_output", "unknown", None),
        ("", "moderation", "released", None),
        ("", "server_error", "released", None),
        (", billed_on_error: {moderation: no}", "moderation_output", "released", None),
        (", billed_on_error: {moderation: yes}", "moderation_output", "settled", "estimated,billed_on_error"),
        (", billed_on_error: {moderation: yes}", "moderation", "released", None),
        (", billed_on_error: {moderation: yes}", "server_error", "released", None),
        (", billed_on_error: {failed: unknown}", "server_error", "unknown", None),
        (", billed_on_error: {failed: yes}", "server_error", "settled", "estimated,billed_on_error"),
        (", billed_on_error: {failed: yes, moderation: yes}", "bad_size", "released", None),
        (", billed_on_error: {failed: no, moderation: no}", "bad_gateway", "unknown", None),
    ],
)
async def test_a_failure_is_booked_by_the_accounts_terms(
    upstream: Upstream, tmp_path: Path, terms: str, refusal: str, state: str, flags: str | None
) -> None:
    async with gateway_here(configured(upstream, tmp_path, terms), tmp_path) as here:
        upstream.plan(on.error(refusal))
        assert (await here.generate()).status_code >= 400
        (attempt,) = await here.rows("attempts")
    assert (attempt["state"], attempt["flags"]) == (state, flags)
    if state == "settled":
        assert attempt["cost"] == attempt["expected"] > 0
        assert attempt["cost"] <= attempt["hold_amount"]
        assert attempt["images"] == 0
    else:
        assert attempt["cost"] in (None, 0)


async def test_one_that_costs_nothing_for_sure_may_be_tried_again_without_a_second_thought(
    upstream: Upstream, tmp_path: Path
) -> None:
    """The client's own retry is let through where nothing was paid, and warned off where something may be."""
    told = {}
    for number, terms in enumerate(("", ", billed_on_error: {failed: unknown}")):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with gateway_here(configured(upstream, folder, terms), folder) as here:
            upstream.plan(on.error("server_error"))
            response = await here.generate()
            told[terms] = response.headers.get("x-should-retry")
    assert list(told.values()) == [None, "false"]
