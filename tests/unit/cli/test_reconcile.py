from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import Result

from tests.unit.accounts.test_bills import bucket, page
from tests.unit.cli.books import fill, order
from tests.unit.cli.conftest import parsed

THIRD, FOURTH = date(2024, 8, 3), date(2024, 8, 4)


@pytest.fixture
def filled(config: Path) -> Path:
    fill(config.parent)
    return config


def costs(folder: Path, *days: tuple[date, float]) -> str:
    path = folder / "costs.json"
    others = [bucket(date(2024, 8, day)) for day in range(5, 32)]
    told = [
        bucket(day, ("gpt-image-2, image output tokens", value), ("gpt-6-astra, input", 9))
        for day, value in days
    ]
    path.write_text(json.dumps([page(*told, *others)]))
    return str(path)


def run(config: Path, *words: str) -> Result:
    return order(config, "reconcile", "--provider", "openai", "--month", "2024-08", *words)


def test_figures_that_agree_end_well(filled: Path) -> None:
    bill = costs(filled.parent, (THIRD, 0.21), (FOURTH, 0.1))
    result = run(filled, "--costs", bill)
    assert result.exit_code == 0, result.output
    assert "1 unknown attempts are explained" in result.stdout
    assert "gpt-6-astra" in result.stderr


def test_a_difference_ends_with_status_1_and_is_listed(filled: Path) -> None:
    bill = costs(filled.parent, (THIRD, 0.5), (FOURTH, 0.1))
    result = run(filled, "--costs", bill, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [(row["day"], row["delta_usd"], row["verdict"], row["within"]) for row in told["rows"]] == [
        ("2024-08-03", "0.289225000", "differs", False),
        ("2024-08-04", "0.000000000", "explained", True),
    ]
    assert run(filled, "--costs", bill, "--tolerance", "0.30").exit_code == 0
    assert run(filled, "--costs", bill, "--tolerance-percent", "60").exit_code == 0


def test_resolving_settles_what_the_bill_explains_and_then_all_agrees(filled: Path) -> None:
    bill = costs(filled.parent, (THIRD, 0.210775), (FOURTH, 0.31))
    assert run(filled, "--costs", bill).exit_code == 1
    result = run(filled, "--costs", bill, "--resolve")
    assert result.exit_code == 0, result.output
    assert "1 unknown attempts were resolved." in result.stdout
    told = parsed(order(filled, "export", "--month", "2024-08", "--json"))
    assert told["totals"]["cost_usd"] == "0.520775000"
    assert [line["flags"] for line in told["lines"]] == ["", "", "reconciled"]
    assert run(filled, "--costs", bill).exit_code == 0


def test_a_csv_of_other_words(filled: Path) -> None:
    path = filled.parent / "bill.csv"
    path.write_text(
        "Date,Sku,Amount\n2024-08-03,gpt-image-2,0.210775\n2024-08-04,gpt-image-2,0.1\n2024-09-01,x,3\n"
    )
    result = run(filled, "--csv", str(path), "--map", "day=Date,model=Sku,cost=Amount")
    assert result.exit_code == 0, result.output
    assert "not of 2024-08: 1 rows" in result.stderr


def test_a_day_that_the_bill_does_not_mention_is_a_difference_and_resolves_nothing(filled: Path) -> None:
    path = filled.parent / "bill.csv"
    path.write_text("day,model,cost\n2024-08-03,gpt-image-2,0.210775\n")
    result = run(filled, "--csv", str(path), "--resolve", "--json")
    assert result.exit_code == 1
    assert [row["verdict"] for row in json.loads(result.stdout)["rows"]] == ["agrees", "not_billed"]


class Costs:
    """OpenAI's endpoint on a free port: two pages, for the right key."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []
        costs = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                where = urlsplit(self.path)
                asked = parse_qs(where.query)
                costs.asked.append(asked)
                right = self.headers["authorization"] == "Bearer sk-admin-right"
                right = right and where.path == "/v1/organization/costs"
                days = [FOURTH] if "page" in asked else [THIRD]
                told = page(
                    *(
                        bucket(day, ("gpt-image-2, images", 0.210775 if day == THIRD else 0.1))
                        for day in days
                    ),
                    more="page" not in asked,
                )
                body = json.dumps(told if right else {"error": {"message": "no"}}).encode()
                self.send_response(200 if right else 401)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def endpoint() -> Iterator[Costs]:
    running = Costs()
    yield running
    running.close()


def test_openais_costs_are_fetched_page_by_page(
    filled: Path, endpoint: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = f"  openai: {{type: openai, api_key: 'env:NOT_USED', base_url: '{endpoint.url}'}}\n"
    filled.write_text(filled.read_text().replace("organization:", account + "organization:", 1))
    lacking = run(filled, "--from-openai")
    assert (lacking.exit_code, "OPENAI_ADMIN_KEY" in lacking.stderr) == (1, True)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-wrong")
    refused = run(filled, "--from-openai")
    assert (refused.exit_code, "401" in refused.stderr, "wrong" in refused.output) == (1, True, False)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-right")
    result = run(filled, "--from-openai")
    assert result.exit_code == 0, result.output
    assert "1 unknown attempts are explained" in result.stdout
    first, second = endpoint.asked[-2:]
    assert first["group_by[]"] == ["line_item"]
    assert first["start_time"] == [str(int(datetime(2024, 8, 1, tzinfo=UTC).timestamp()))]
    assert second["page"] == ["p2"]


def test_costs_are_fetched_for_an_account_at_openai_only(filled: Path) -> None:
    result = order(filled, "reconcile", "--provider", "sandbox", "--month", "2024-08", "--from-openai")
    assert (result.exit_code, "type openai" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ((), 2, "--costs, --csv or --from-openai"),
        (("--costs", "{bill}", "--csv", "{bill}"), 2, "--costs, --csv or --from-openai"),
        (("--costs", "{bill}", "--map", "day=x"), 2, "--map is for --csv"),
        (("--csv", "{bill}"), 1, "has no column 'day'"),
        (("--csv", "{bill}", "--map", "colour=x"), 2, "day=Date"),
        (("--costs", "{bill}", "--tolerance", "much"), 1, "tolerance"),
        (("--costs", "{bill}", "--tolerance-percent", "much"), 2, "number"),
        (("--costs", "{bill}", "--month", "8024-01"), 2, "complete by now"),
        (("--costs", "{bill}", "--month", "x"), 2, "2026-11"),
    ],
)
def test_what_cannot_be_compared_says_why(
    filled: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    bill = costs(filled.parent, (THIRD, 0.21))
    result = run(filled, *(word.replace("{bill}", bill) for word in words))
    assert result.exit_code == status
    assert said in " ".join(result.stderr.split())
