"""``imagegate estimate``: what a call would be sent as and what it would cost, offline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import rich_click as click
from rich.markup import escape
from rich.table import Table

from gateway.api.preferences import Preferences
from gateway.api.understanding import Understanding
from gateway.cli.asking import FILE, PROMPT, call_options, raw_request
from gateway.cli.keys import console
from gateway.cli.offline import Offline, caller_of, open_offline, planning_of
from gateway.engine.answer import RequestFacts
from gateway.engine.dry_run import DryRuns
from gateway.errors import GatewayError
from gateway.images.raw import RawRequest
from gateway.quota.of_settings import LimitBook


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file; default: the embedded one.")
@click.option("--model", required=True, help="The public name, as clients send it.")
@call_options
@click.option("--background", help="transparent, opaque, auto or a colour.")
@click.option("--field", "fields", multiple=True, metavar="NAME=VALUE", help="Any other field; repeatable.")
@click.option("--prompt", default=PROMPT, help="Its length is part of the price.")
@click.option("--mask", type=FILE, help="With --image.")
@click.option("--strict", is_flag=True, help="As with the header x-imagegate-size-mode: strict.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as ?dryRun=true answers.")
def estimate(
    config: Path | None,
    model: str,
    fields: Sequence[str],
    images: Sequence[Path],
    mask: Path | None,
    project: str | None,
    strict: bool,
    as_json: bool,
    **words: str | None,
) -> None:
    """Say what a call would be sent as, to whom, and what it would cost. Nothing is called.

    Works offline: how much of each limit is left is not known here, only what the call would take of it.
    """
    offline = open_offline(config)
    asked = {"model": model, **words}
    for each in fields:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.ClickException(f"--field takes NAME=VALUE, not '{each}'.")
        asked[name] = value
    raw = raw_request(asked, images, mask)
    wishes = Preferences(mode="strict" if strict else None)
    try:
        document = asyncio.run(_told(offline, raw, wishes, project))
    except GatewayError as refused:
        raise click.ClickException(refused.message) from None
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for table in (_plan(document), _limits(document)):
        if table.row_count:
            console().print(table)
    for excluded in document["excluded"]:
        console().print(f"not {excluded['provider']}/{excluded['model']}: {excluded['reason']}", markup=False)


async def _told(
    offline: Offline, raw: RawRequest, wishes: Preferences, project: str | None
) -> dict[str, Any]:
    settings, now = offline.settings, datetime.now(UTC)
    caller = caller_of(settings, project)
    reading = Understanding(settings.normalization, offline.directory, offline.catalog, now.date)
    call, model = reading.call(raw, caller, wishes)
    book = LimitBook(settings, offline.catalog)
    async with planning_of(offline, book) as planning:
        facts = RequestFacts("", now, perf_counter())
        return await DryRuns(planning, book, None).tell(call, model, caller, facts)


def _plan(document: Mapping[str, Any]) -> Table:
    table = Table("target", "calls", "size", "rule", "changed", "low", "expected", "held", box=None)
    for candidate in document["plan"]:
        size, cost = candidate["size"], candidate["cost"]
        table.add_row(
            escape(f"{candidate['provider']}/{candidate['model']}"),
            "+".join(map(str, candidate["calls"])),
            size["sent"],
            size["rule"],
            escape(", ".join(map(_changed, candidate["adjustments"]))),
            *(_dollars(cost[name]) for name in ("low", "expected", "high")),
        )
    return table


def _changed(adjustment: Mapping[str, Any]) -> str:
    """``quality hd → high``."""
    now = "left out" if adjustment["to"] is None else adjustment["to"]
    return f"{adjustment['field']} {adjustment['from'] or ''} → {now}".replace("  ", " ")


def _dollars(amount: Mapping[str, Any] | None) -> str:
    return "not known" if amount is None else f"${amount['usd']}"


def _limits(document: Mapping[str, Any]) -> Table:
    table = Table("limit of", "measure", "per", "amount", "needed", box=None)
    for limit in document["limits"]["applying"]:
        words = (limit["scope"], limit["measure"], limit["per"] or "at once", limit["limit"], limit["needed"])
        table.add_row(*map(str, words))
    return table
