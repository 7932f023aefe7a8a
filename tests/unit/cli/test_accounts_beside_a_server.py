"""The accounts' commands reach a running server's ledger and read as without one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.gateway_process import Gateway
from tests.unit.cli.books import fill, month_of, order
from tests.unit.cli.conftest import CONFIG, parsed

Start = Callable[..., Gateway]


def test_a_month_is_closed_exported_credited_and_compared_beside_a_server(
    start_gateway: Start, config: Path
) -> None:
    gateway = start_gateway(CONFIG)
    where = ("--data", str(gateway.data))
    given = parsed(
        order(config, "credit", "--scope", "project:growth", "--usd", "5", "--reason", "r", *where, "--json")
    )
    listed = order(config, "credit", "--list", *where)
    assert listed.exit_code == 0, listed.output
    assert given["id"] in listed.stdout
    told = parsed(order(config, "export", "--month", month_of(given["entered_at"]), "--json", *where))
    assert [line["line_id"] for line in told["lines"]] == [given["id"]]
    refused = order(config, "close", "--month", month_of(given["entered_at"]), *where)
    assert (refused.exit_code, "can be closed from" in refused.stderr) == (1, True)
    assert parsed(order(config, "close", "--list", "--json", *where)) == {"months": [], "next": None}
    bill = config.parent / "bill.csv"
    day = (datetime.now(UTC) - timedelta(days=3)).date()
    bill.write_text(f"day,model,cost\n{day},gpt-image-2,1\n")
    words = ("--provider", "openai", "--month", f"{day:%Y-%m}", "--csv", str(bill), "--resolve", *where)
    result = order(config, "reconcile", *words)
    assert result.exit_code == 1
    assert "differs" in result.stdout


def test_what_was_closed_without_a_server_is_the_same_beside_one(start_gateway: Start, config: Path) -> None:
    fill(config.parent)
    order(config, "close", "--month", "2024-08")
    alone = order(config, "export", "--month", "2024-08")
    data = config.parent / "data"
    start_gateway(CONFIG, data=data)
    words = ("--month", "2024-08", "--data", str(data))
    assert order(config, "export", *words).stdout_bytes == alone.stdout_bytes
    assert "was closed" in order(config, "close", *words).stdout
    september = ("--month", "2024-09", "--data", str(data))
    assert order(config, "close", *september).stdout.startswith("2024-09 is closed: 1 lines")
