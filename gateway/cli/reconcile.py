"""``imagegate reconcile``: the ledger beside what a provider says that it charged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from gateway.cli.accounts import who_option
from gateway.cli.control import open_control, options
from gateway.cli.keys import console
from gateway.cli.openai_costs import KEY_NAME, fetch
from gateway.errors import InvalidRequest
from gateway.ledger.accounts.bills import (
    DEFAULT_COLUMNS,
    Bill,
    UnreadableBill,
    billed_until,
    from_costs,
    from_csv,
    of_pages,
)
from gateway.ledger.accounts.money import exact, nano
from gateway.ledger.accounts.months import Month

TOGETHER = 400
"""Rows of the bill in one call to the server, whose bodies are bounded."""

STEP_DAYS = 4
"""Days in one call, so that none takes long."""


@click.command()
@click.option("--provider", required=True, metavar="NAME", help="The account, as the config file names it.")
@click.option("--month", required=True, metavar="YYYY-MM", help="Such as 2026-11; days are those of UTC.")
@click.option(
    "--costs", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The answer of OpenAI's GET /v1/organization/costs, by line_item: a page, or a list of pages.",
)  # fmt: skip
@click.option(
    "--csv", "sheet", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A CSV of the provider's, with a header.",
)  # fmt: skip
@click.option("--map", "mapping", metavar="day=A,model=B,cost=C", help="Which columns of the CSV are which.")
@click.option("--from-openai", is_flag=True, help=f"Fetch the costs, with the admin key in {KEY_NAME}.")
@click.option("--resolve", is_flag=True, help="Settle or release the unknown attempts that it explains.")
@click.option(
    "--tolerance", default="0.01", show_default=True, metavar="USD", help="A difference up to this is none."
)
@click.option(
    "--tolerance-percent", default="0.5", show_default=True, metavar="PERCENT",
    help="Nor is one up to this share of the provider's figure.",
)  # fmt: skip
@who_option
@options
def reconcile(
    provider: str,
    month: str,
    costs: Path | None,
    sheet: Path | None,
    mapping: str | None,
    from_openai: bool,
    resolve: bool,
    tolerance: str,
    tolerance_percent: str,
    who: str,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Compare the ledger with a provider's bill, by day and model.

    Ends with status 1 where they differ by more than the tolerance.
    """
    if sum((costs is not None, sheet is not None, from_openai)) != 1:
        raise click.UsageError("Give --costs, --csv or --from-openai.")
    if mapping is not None and sheet is None:
        raise click.UsageError("--map is for --csv.")
    days = _days(month)
    if from_openai:
        bill = _read(lambda: of_pages(fetch(config, provider, days[0], days[-1] + timedelta(days=1))))
    elif costs is not None:
        bill = _read(lambda: from_costs(costs.read_text(encoding="utf-8")))
    elif sheet is not None:
        columns = _mapping(mapping)
        bill = _read(lambda: from_csv(sheet.read_text(encoding="utf-8"), columns))
    source = costs or sheet
    common = {
        "provider": provider,
        "by_model": bill.by_model,
        "resolve": resolve,
        "tolerance_usd": tolerance,
        "tolerance_share": _share(tolerance_percent),
        "source": "OpenAI's costs" if source is None else source.name,
        "who": who,
    }
    rows: list[dict[str, Any]] = []
    ignored: set[str] = set()
    with open_control(config, data) as control:
        for some in _steps(days, bill):
            theirs = [
                [day.isoformat(), model, amount]
                for (day, model), amount in bill.amounts.items()
                if day in some
            ]
            billed = [day.isoformat() for day in some if day in bill.days]
            body = {
                **common,
                "days": [day.isoformat() for day in some],
                "billed": billed,
                "theirs": theirs,
            }
            found = control.perform("accounts/reconcile", body)
            rows += found["rows"]
            ignored.update(found["ignored"])
    ignored -= {row["model"] for row in rows}
    outside = sum(1 for (day, _), amount in bill.amounts.items() if amount and day not in set(days))
    _show(rows, sorted(ignored), outside, month, as_json)
    if not all(row["within"] for row in rows):
        raise SystemExit(1)


def _read(work: Callable[[], Bill]) -> Bill:
    try:
        return work()
    except (UnreadableBill, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from None


def _mapping(text: str | None) -> dict[str, str]:
    columns = dict(DEFAULT_COLUMNS)
    for part in (text or "").split(",") if text else ():
        what, is_pair, column = part.partition("=")
        if not is_pair or what.strip() not in columns or not column.strip():
            raise click.UsageError("--map is like day=Date,model=Model,cost=Amount.")
        columns[what.strip()] = column.strip()
    return columns


def _share(percent: str) -> str:
    try:
        return exact(nano(percent) // 100)
    except ValueError:
        raise click.UsageError("--tolerance-percent is a number such as 0.5.") from None


def _days(month: str) -> list[date]:
    """The month's days whose bill can be complete, in UTC."""
    try:
        first = Month.parse(month)
    except InvalidRequest as error:
        raise click.UsageError(error.message) from None
    day, end = date(first.year, first.number, 1), date(first.next.year, first.next.number, 1)
    end = min(end, billed_until(datetime.now(UTC)))
    if day >= end:
        raise click.UsageError(f"{month} has no day whose bill can be complete by now.")
    return [day + timedelta(days=number) for number in range((end - day).days)]


def _steps(days: list[date], bill: Bill) -> Iterator[list[date]]:
    rows_of = {day: sum(1 for place in bill.amounts if place[0] == day) for day in days}
    step: list[date] = []
    for day in days:
        if step and (len(step) == STEP_DAYS or sum(rows_of[each] for each in [*step, day]) > TOGETHER):
            yield step
            step = []
        step.append(day)
    yield step


def _show(rows: list[dict[str, Any]], ignored: list[str], outside: int, month: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"month": month, "rows": rows, "ignored": ignored, "outside": outside}))
        return
    table = Table(box=None)
    for title in ("day", "model"):
        table.add_column(title, no_wrap=True)
    for title in ("ours", "theirs", "delta", "unknown", "lines"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        sums = [row[f"{name}_usd"] for name in ("ours", "theirs", "delta", "unknown")]
        verdict = row["verdict"]
        table.add_row(*map(escape, [row["day"], row["model"], *sums, str(row["unknown_lines"]), verdict]))
    console().print(table)
    resolved = sum(len(row["resolution"]) for row in rows if row["verdict"] == "resolved")
    explained = sum(len(row["resolution"]) for row in rows if row["verdict"] == "explained")
    if resolved:
        click.echo(f"{resolved} unknown attempts were resolved.")
    if explained:
        click.echo(f"{explained} unknown attempts are explained by it; --resolve settles or releases them.")
    if ignored:
        click.echo(f"Left out, as nothing of it went through the gateway: {', '.join(ignored)}.", err=True)
    if outside:
        click.echo(f"Left out, as it is not of {month}: {outside} rows.", err=True)
