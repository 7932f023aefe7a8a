"""``imagegate route``: which rule fits a request, which targets would be tried in which order, and why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import rich_click as click
from rich.markup import escape
from rich.table import Table

from config.units import parse_share
from gateway.cli.asking import call_options, raw_request
from gateway.cli.keys import console
from gateway.cli.offline import caller_of, open_offline
from gateway.cli.routed import Circumstances, routed
from gateway.errors import GatewayError
from gateway.routing.explanation import in_words
from gateway.routing.selection import Order


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file; default: the embedded one.")
@click.option("--model", help="The public name, as clients send it; default: normalization.default_model.")
@call_options
@click.option("--key", metavar="NAME", help="As this key asks.")
@click.option("--end-user", metavar="NAME", help="As this end user asks.")
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="As x-imagegate-tags; repeatable.")
@click.option("--at", metavar="MOMENT", help="2026-12-24T18:00 by the organization's clock; default: now.")
@click.option("--spent", metavar="SHARE", help="As if 80% of the fullest dollar limit were used.")
@click.option("--providers", metavar="LIST", help="As x-imagegate-providers: google, -azure.")
@click.option("--down", multiple=True, metavar="PROVIDER", help="As if it had failed; repeatable.")
@click.option("--seed", type=int, default=0, show_default=True, help="For the dice of select: weighted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def route(
    config: Path | None,
    images: Sequence[Path],
    project: str | None,
    key: str | None,
    end_user: str | None,
    tags: Sequence[str],
    at: str | None,
    spent: str | None,
    providers: str | None,
    down: Sequence[str],
    seed: int,
    as_json: bool,
    **words: str | None,
) -> None:
    """Explain where a request would go: the rule, the targets in their order, and why. Nothing is called.

    Works offline: but for those that are named with --down every provider counts as well, and no picture was
    ever timed, so that select: fastest is as declared.
    """
    offline = open_offline(config)
    caller = caller_of(offline.settings, project)
    unknown = [name for name in down if name not in offline.settings.providers]
    if unknown:
        raise click.ClickException(f"The configuration declares no provider '{unknown[0]}'.")
    try:
        when = Circumstances(
            moment=_moment(at, offline.settings.organization.timezone),
            end_user=end_user,
            tags=_tags(tags),
            spent=parse_share(spent) if spent is not None else None,
            providers=providers,
            down=down,
            seed=seed,
        )
        asking = replace(caller, key_name=key or caller.key_name)
        document, found = asyncio.run(routed(offline, raw_request(words, images), asking, when))
    except (GatewayError, ValueError) as refused:
        raise click.ClickException(str(refused)) from None
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _show(document, found)


def _moment(text: str | None, zone: str) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--at takes a moment such as 2026-12-24T18:00, not '{text}'") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone))


def _tags(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    if any(not equals for _, equals, _ in pairs):
        raise ValueError("--tag takes NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _show(document: Mapping[str, Any], found: Order | None) -> None:
    out = console()
    for passed in document["passed"]:
        out.print(f"not {passed['rule']}: {', '.join(passed['unmet'])}", markup=False)
    out.print(f"rule: {document['rule'] or 'none fits'}", markup=False)
    if found is None:
        out.print(f"denied: {document['denied']}", markup=False)
        return
    out.print(f"model: {document['model']}", markup=False)
    table = Table("", "target", "size", "expected", "why", box=None)
    for number, (entry, ranked) in enumerate(zip(document["order"], found.ranked, strict=True), 1):
        price = f"${entry['expected_usd']}" if entry["expected_usd"] is not None else "unknown"
        name = f"{entry['provider']}/{entry['model']}"
        cells = (str(number), name, entry["size"], price, in_words(ranked, found))
        table.add_row(*(escape(cell) for cell in cells))
    out.print(table)
    for left in document["left_out"]:
        back = left.get("back_in_seconds")
        reason = " ".join(filter(None, [left["because"], left["detail"]]))
        later = f", back in {back} s" if back is not None else ""
        out.print(f"not {left['provider']}/{left['model']}: {reason}{later}", markup=False)
