"""``imagegate doctor``: whether accounts, the bucket and the Redis are there, told free of charge."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import rich_click as click
from rich.markup import escape
from rich.table import Table

from gateway.cli.counters_examination import CountersExamined, examine_counters
from gateway.cli.examination import Examined, Finding, Level, examine
from gateway.cli.keys import console
from gateway.cli.media_examination import MediaExamined, examine_media
from gateway.cli.offline import Offline, open_offline

_STYLES = {Level.ERROR: "red", Level.WARNING: "yellow", Level.UNSET: "cyan", Level.NOTE: "cyan"}


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="YAML file; default: the embedded one.")
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--notes", is_flag=True, help="Show the notes too: what nobody has verified.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, notes included.")
def doctor(config: Path | None, strict: bool, notes: bool, as_json: bool) -> None:
    """Look at every configured provider: reachable, key accepted, models there, prices and dates known.

    Asks each account for its list of models, and never for a picture. Where storage.media is a bucket, a
    picture of one pixel is kept there, fetched as clients fetch theirs, and removed. Where storage.quota is
    a Redis, it is tried whether counters can be kept there. Exit status 0: all that are set up can be
    called; 1: there are errors (with --strict, or warnings). Without --config, an account of the built-in
    configuration whose key is not set counts as not set up.
    """
    offline = open_offline(config)
    today = datetime.now(UTC).date()
    found, bucket, counters = asyncio.run(_look(offline, today, built_in=config is None))
    told = [(one.name, finding) for one in found for finding in one.findings]
    told += [("storage.media", finding) for finding in (bucket.findings if bucket else ())]
    told += [("storage.quota", finding) for finding in (counters.findings if counters else ())]
    fatal = {Level.ERROR, Level.WARNING} if strict else {Level.ERROR}
    ok = not any(finding.level in fatal for _, finding in told)
    if as_json:
        document = {
            "ok": ok,
            "providers": [asdict(one) for one in found],
            "media": None if bucket is None else asdict(bucket),
            "counters": None if counters is None else asdict(counters),
        }
        click.echo(json.dumps(document, indent=2, default=str))
    else:
        _show(found, bucket, counters)
        _tell(told, notes)
    sys.exit(0 if ok else 1)


async def _look(
    offline: Offline, today: date, *, built_in: bool
) -> tuple[Sequence[Examined], MediaExamined | None, CountersExamined | None]:
    settings, base = offline.settings, offline.base
    return await asyncio.gather(
        examine(settings, offline.directory, base=base, today=today, built_in=built_in),
        examine_media(settings, base=base),
        examine_counters(settings, base=base),
    )


def _show(found: Sequence[Examined], bucket: MediaExamined | None, counters: CountersExamined | None) -> None:
    table = Table("provider", "type", "reachable", "key", "lists", "targets", box=None)
    for one in found:
        table.add_row(
            escape(one.name),
            one.type,
            _word(one.reachable, "yes", "no"),
            "not set" if _is_unset(one) else _word(one.key_accepted, "accepted", "refused"),
            f"{one.models} models" if one.models else "-",
            str(len(one.targets)),
        )
    console().print(table)
    if bucket is not None:
        links = _word(bucket.linked, "work", "do not work")
        keeps = _word(bucket.keeps, "yes", "no")
        click.echo(f"bucket {bucket.bucket}: keeps pictures: {keeps}, presigned links: {links}")
    if counters is not None:
        click.echo(f"counters ({counters.form or 'no address'}): {counters.server or 'not reached'}")


def _tell(told: Sequence[tuple[str, Finding]], notes: bool) -> None:
    table, hidden = Table(box=None, show_header=False), 0
    for name, finding in told:
        if finding.level is Level.NOTE and not notes:
            hidden += 1
            continue
        place = name if finding.model is None else f"{name}/{finding.model}"
        table.add_row(f"[{_STYLES[finding.level]}]{finding.level}[/]", escape(place), escape(finding.text))
    if table.row_count:
        console().print(table)
    if hidden:
        click.echo(f"{hidden} notes more; show them with --notes")


def _is_unset(one: Examined) -> bool:
    return any(finding.level is Level.UNSET for finding in one.findings)


def _word(answer: bool | None, yes: str, no: str) -> str:
    return "-" if answer is None else yes if answer else no
