"""What a configuration says of models and limits, without a server, a ledger or a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random

import rich_click as click

from config.catalog import Catalog
from config.loader import ConfigErrors, load
from config.organization import ProjectSettings
from config.own_catalog import catalog_of
from config.schema import Settings
from gateway.caller import Caller
from gateway.engine.planning import Planning
from gateway.quota.of_settings import LimitBook
from gateway.routing import directory
from gateway.routing.directory import ModelDirectory
from gateway.routing.policy import compiled
from gateway.routing.watch import Watch
from providers.guarded import GuardedFetch

NOBODY = "(no key)"


@dataclass(frozen=True, slots=True)
class Offline:
    """Every declared provider counts as usable: its secret may exist where the gateway will run."""

    settings: Settings
    base: Path
    catalog: Catalog
    directory: ModelDirectory


def open_offline(config: Path | None) -> Offline:
    """The configuration, or the end of the command where it is wrong."""
    try:
        loaded = load(config)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)  # as it is: a frame would break its lines
        raise SystemExit(1) from None
    settings, catalog = loaded.settings, catalog_of(loaded.settings)
    return Offline(settings, loaded.base, catalog, directory.build(settings, catalog, {}))


@asynccontextmanager
async def planning_of(
    offline: Offline,
    book: LimitBook,
    *,
    watch: Watch | None = None,
    spent: Decimal | None = None,
    seed: int = 0,
) -> AsyncIterator[Planning]:
    """The planning of a gateway that has just been started: nothing is known of any target but what ``watch``
    has seen. ``spent`` stands for the share used of the fullest dollar limit, ``seed`` is for the dice."""

    async def share(limits: object) -> Decimal | None:
        return spent

    settings = offline.settings
    fetch = GuardedFetch(settings.media.fetch, settings.upstream, base=offline.base)
    try:
        yield Planning(
            offline.directory,
            book,
            fetch,
            compiled(settings),
            watch or Watch(settings.routing.breaker),
            spent=share,
            dice=Random(seed).random,
        )
    finally:
        await fetch.aclose()


def caller_of(settings: Settings, project: str | None) -> Caller:
    """A key of that project (its name or id) that has no limits and no narrower list of its own; without a
    project, one that is under the organization's limits alone and may choose providers."""
    if project is None:
        return Caller(NOBODY, NOBODY, "", NOBODY, providers_header=("prefer", "exclude"))
    found = _project(settings, project)
    models = None if found.models is None else frozenset(found.models)
    return Caller(
        NOBODY,
        NOBODY,
        found.project_id,
        found.name,
        models,
        normalization=found.normalization,
        providers_header=tuple(found.providers_header),
    )


def _project(settings: Settings, wanted: str) -> ProjectSettings:
    projects = settings.organization.projects
    for project in projects:
        if wanted in (project.name, project.project_id):
            return project
    names = ", ".join(project.name for project in projects) or "none"
    raise click.ClickException(f"The configuration declares no project '{wanted}'. It declares: {names}.")
