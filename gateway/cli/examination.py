"""A look at every configured account, free of charge: is it there, does it take the key, does it have the
models, and how far can be trusted what is known of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path

from config.accounts.kinds import ProviderSettings
from config.accounts.sandbox import SandboxProvider
from config.facts import unverified_facts
from config.outlook import OLD_AFTER_DAYS
from config.schema import Settings
from config.secrets import SecretMissing
from gateway.app.accounts import by_key
from gateway.routing.directory import ModelDirectory, Target
from providers import registry
from providers.base import Probe
from providers.extras import ExtraMissing
from providers.http import UpstreamClient

SOON = timedelta(days=90)
"""A model that is shut down within it is worth a warning."""

_OWN_NAMES = frozenset({"azure-openai", "azure-flux", "azure-mai"})
"""Types whose list names models and not deployments, which are what targets name."""

_INFERENCE_PROFILES = ("us.", "eu.", "apac.", "global.")
"""Bedrock's list names the model alone."""


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    UNSET = "not set up"
    """Nobody has asked for this account, and it has no key: nothing is broken."""
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """``model`` is the provider's own name, None where the account as a whole is meant."""

    level: Level
    text: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """One target. ``listed`` is None where the account's list says nothing of it; ``price`` says how far the
    catalog's can be trusted (``read``, ``secondary``, ``tested``, ``unverified``), None: there is none."""

    model: str
    entry: str
    listed: bool | None
    shutdown: date | None
    price: str | None
    price_verified_on: date | None
    unverified: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Examined:
    """One account. ``reachable`` is None where it could not be asked, ``key_accepted`` where it does not say;
    ``models`` is how many it lists."""

    name: str
    type: str
    reachable: bool | None = None
    key_accepted: bool | None = None
    models: int = 0
    targets: tuple[Known, ...] = ()
    findings: tuple[Finding, ...] = ()


async def examine(
    settings: Settings, directory: ModelDirectory, *, base: Path, today: date, built_in: bool = False
) -> list[Examined]:
    """All of them at once, in the order of the YAML. Only :meth:`providers.base.Provider.probe` is called,
    so that nothing is bought. ``built_in``: nobody wrote this configuration, so that an account in it without
    a key is one that nobody uses."""
    client = UpstreamClient(settings.upstream, base=base)
    try:
        looks = [
            _examined(name, account, settings, directory, client, base, today, built_in)
            for name, account in settings.providers.items()
        ]
        return list(await asyncio.gather(*looks))
    finally:
        await client.aclose()


async def _examined(
    name: str,
    account: ProviderSettings,
    settings: Settings,
    directory: ModelDirectory,
    client: UpstreamClient,
    base: Path,
    today: date,
    built_in: bool,
) -> Examined:
    targets = _targets(name, directory, declared=settings.models is not None)
    probes, findings = await _probed(name, account, client, base, built_in)
    listed = frozenset(model for probe in probes for model in probe.models)
    told = {model: day for probe in probes for model, day in probe.shutdowns.items()}
    known = [_known(target, account.type, listed, told, today) for target in targets]
    findings += [found for one in known for found in _of_target(one, today)]
    if settings.models is None:
        # Nobody has asked for any of these models by name.
        findings = [replace(found, level=Level.NOTE) if found.model else found for found in findings]
    return Examined(
        name,
        account.type,
        reachable=_together([probe.reachable for probe in probes]),
        key_accepted=_together([probe.key_accepted for probe in probes]),
        models=len(listed),
        targets=tuple(known),
        findings=tuple(findings),
    )


def _targets(provider: str, directory: ModelDirectory, *, declared: bool) -> list[Target]:
    """What is configured there, each of the provider's own names once; of models that are served because the
    catalog has them, one name each."""
    found: dict[str, Target] = {}
    for model in map(directory.get, directory.names()):
        for target in model.targets if model is not None else ():
            if target.provider == provider:
                found.setdefault(target.model if declared else target.entry.id, target)
    return list(found.values())


async def _probed(
    name: str, account: ProviderSettings, client: UpstreamClient, base: Path, built_in: bool
) -> tuple[list[Probe], list[Finding]]:
    """With each of the account's keys."""
    probes: list[Probe] = []
    findings: list[Finding] = []
    keys = by_key(account)
    for number, each in enumerate(keys, 1):
        which = f"key {number} of {len(keys)}: " if len(keys) > 1 else ""
        try:
            provider = registry.build(name, each, client, base=base)
        except SecretMissing as error:
            findings.append(_without_key(error, which, built_in))
            continue
        except (ExtraMissing, ValueError) as error:
            findings.append(Finding(Level.ERROR, f"{which}{error}"))
            continue
        try:
            probe = await provider.probe()
        finally:
            await provider.aclose()
        probes.append(probe)
        if probe.reachable is None:
            findings.append(Finding(Level.ERROR, f"{which}cannot be asked: {probe.detail}"))
        elif not probe.reachable:
            findings.append(Finding(Level.ERROR, f"{which}cannot be reached: {probe.detail}"))
        elif probe.key_accepted is False:
            findings.append(Finding(Level.ERROR, f"{which}{probe.detail or 'the key was refused'}"))
        elif probe.detail:
            level = Level.NOTE if isinstance(account, SandboxProvider) else Level.WARNING
            findings.append(Finding(level, f"{which}{probe.detail}"))
    return probes, findings


def _without_key(error: SecretMissing, which: str, built_in: bool) -> Finding:
    if built_in and not error.in_file:
        text = f"{error}. Its models are not offered; set it to offer them. Nothing is wrong without it"
        return Finding(Level.UNSET, text)
    remedy = f"{error.remedy}, or take the account out of the configuration"
    return Finding(Level.ERROR, f"{which}{error}. {remedy}")


def _together(answers: Sequence[bool | None]) -> bool | None:
    """Of several keys: no where it is no for one, yes where it is for all."""
    if False in answers:
        return False
    return True if answers and None not in answers else None


def _known(
    target: Target, type: str, listed: Collection[str], told: Mapping[str, date], today: date
) -> Known:
    """``told`` are the ends that the provider names itself, which is better news than the catalog's."""
    entry = target.entry
    price = entry.price_on(today)
    priced = price is not None and price.is_known
    return Known(
        target.model,
        entry.id,
        None if not listed or type in _OWN_NAMES else _is_listed(target.model, listed),
        told.get(target.model, entry.shutdown),
        price.source.mark if price is not None and priced else None,
        price.source.verified_on if price is not None and priced and price.origin == "catalog" else None,
        tuple(unverified_facts(entry)),
    )


def _is_listed(model: str, listed: Collection[str]) -> bool:
    bare = [model.removeprefix(prefix) for prefix in _INFERENCE_PROFILES if model.startswith(prefix)]
    return model in listed or any(name in listed for name in bare)


def _of_target(known: Known, today: date) -> Iterator[Finding]:
    model = known.model
    if known.listed is False:
        yield Finding(Level.WARNING, "the provider does not list it", model)
    if known.shutdown is not None and known.shutdown <= today:
        yield Finding(Level.ERROR, f"was shut down on {known.shutdown}", model)
    elif known.shutdown is not None and known.shutdown <= today + SOON:
        days = (known.shutdown - today).days
        yield Finding(Level.WARNING, f"is shut down on {known.shutdown}, in {days} days", model)
    if known.price is None:
        yield Finding(Level.WARNING, "its price is not known, so that no dollar limit can hold it", model)
    elif known.price_verified_on is not None and known.price != "tested":
        age = (today - known.price_verified_on).days
        if age > OLD_AFTER_DAYS:
            yield Finding(Level.WARNING, f"its price was last verified {age} days ago", model)
    for fact in known.unverified:
        yield Finding(Level.NOTE, f"not verified: {fact}", model)
