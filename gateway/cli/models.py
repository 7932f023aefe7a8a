"""``imagegate models``: the models of a configuration, what each takes and what it costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import rich_click as click
from rich.markup import escape
from rich.table import Table

from config.catalog import CatalogModel
from config.prices import PriceVersion
from config.sizing import FreeSizing, InputSizing, ListedSizing, RatioSizing, Sizing
from gateway.api.models import described, in_service, model_object
from gateway.cli.keys import console
from gateway.cli.offline import caller_of, open_offline
from gateway.images.fields import is_lenient, known_names
from gateway.routing.directory import PublicModel, Target


@click.command()
@click.argument("name", required=False)
@click.option("--config", type=click.Path(path_type=Path), help="YAML file; default: the embedded one.")
@click.option("--key-project", "project", metavar="NAME", help="Only what keys of this project may use.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as GET /v1/models does.")
def models(name: str | None, config: Path | None, project: str | None, as_json: bool) -> None:
    """List the models that a configuration serves, or everything that is known of the model NAME.

    With NAME and --json: what GET /v1/models/NAME?schema=true answers, with the JSON Schema of its requests.
    Works offline; whether a provider's key exists does not matter here.
    """
    offline = open_offline(config)
    today = datetime.now(UTC).date()
    caller = caller_of(offline.settings, project)
    found = in_service(offline.directory.visible(caller), today)
    if name is None:
        _list(found, today, as_json)
        return
    model = next((model for model in found if model.name == name), None)
    if model is None:
        raise click.ClickException(f"No model '{name}'. There are: {', '.join(m.name for m in found)}.")
    known = known_names(offline.catalog.entries)
    document = described(model, offline.settings.normalization, known, today)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    for table in (_targets(model.targets, today), _sources(model.targets, today)):
        console().print(table)


def _list(found: Sequence[PublicModel], today: date, as_json: bool) -> None:
    if as_json:
        data = [model_object(model) for model in found]
        click.echo(json.dumps({"object": "list", "data": data}, indent=2))
        return
    table = Table("model", "served by", "does", "sizes", "price", "until", box=None)
    for model in found:
        first = model.targets[0].entry
        table.add_row(
            escape(model.name),
            escape(", ".join(dict.fromkeys(target.provider for target in model.targets))),
            ", ".join(model.entry.operations),
            sizes(first),
            price(first.price_on(today)),
            str(model.entry.shutdown or ""),
        )
    console().print(table)


def _targets(targets: Sequence[Target], today: date) -> Table:
    table = Table("target", "does", "sizes", "qualities", "formats", "n", "inputs", "price", box=None)
    for target in targets:
        entry = target.entry
        table.add_row(
            escape(f"{target.provider}/{target.model}"),
            ", ".join(entry.operations),
            sizes(entry),
            _choice(entry, "quality", entry.qualities),
            _choice(entry, "output_format", entry.output_formats),
            str(entry.max_n),
            str(entry.inputs.max_images) if "edits" in entry.operations else "-",
            price(entry.price_on(today)),
        )
    return table


def _choice(entry: CatalogModel, field: str, listed: Sequence[str]) -> str:
    """What callers may choose from; a model that does not take the field offers nothing."""
    return ", ".join(listed) or ("any" if is_lenient(entry) or field in entry.fields else "-")


def _sources(targets: Sequence[Target], today: date) -> Table:
    """Where the prices come from, each once."""
    table = Table("seen", "on", "source of the price", box=None)
    prices = [target.entry.price_on(today) for target in targets]
    for source in {found.source.text: found.source for found in prices if found is not None}.values():
        table.add_row(source.mark, str(source.verified_on), escape(source.text))
    return table


def sizes(entry: CatalogModel) -> str:
    """In a few words, those of edits where they differ."""
    words = _sizes(entry.sizing)
    if entry.edit_sizing is not None:
        words += f"; edits: {_sizes(entry.edit_sizing)}"
    if entry.single_edit_sizing is not None:
        words += f"; edits of one picture: {_sizes(entry.single_edit_sizing)}"
    return words


def _sizes(sizing: Sizing) -> str:
    if isinstance(sizing, FreeSizing):
        return f"free, up to {sizing.max_pixels:,} pixels in steps of {sizing.step}"
    if isinstance(sizing, ListedSizing):
        return ", ".join(sizing.sizes)
    if isinstance(sizing, RatioSizing):
        return " ".join([*sizing.ratios, *(["at", *sizing.tiers] if sizing.tiers else [])])
    return "the input picture's" if isinstance(sizing, InputSizing) else "as asked"


def price(version: PriceVersion | None) -> str:
    """The rate that counts most, in a few words."""
    if version is None or not version.is_known:
        return "not known"
    words: list[str] = []
    if version.free:
        words.append("free")
    if version.tokens is not None:
        words.append(f"${version.tokens.image_out} per million tokens out")
    if version.per_image is not None:
        words.append(f"${version.per_image} a picture")
    if version.image_table is not None:
        cells = [cell for row in version.image_table.values() for cell in row.values()]
        words.append(f"${min(cells)} to ${max(cells)} a picture")
    if version.per_input is not None:
        words.append(f"${version.per_input} a picture sent along")
    if version.per_megapixel is not None:
        unit = "tile of 512x512" if version.per_megapixel.pixels == 262_144 else "megapixel"
        words.append(f"${version.per_megapixel.output} a {unit}")
    if version.credits is not None:
        words.append(f"${version.credits.dollars} a credit")
    return " + ".join(words)
