"""From a file to settings, or to everything that is wrong with it.

::

    assemble       strict YAML, includes                    (include, yaml12)
    validate       types, unknown keys, ranges              (schema, messages)
    check          names, addresses, plain secrets          (checks)
    look ahead     retired models, unknown prices           (outlook)

Each finding is ``file:line:column: path: message``. The parts of a file that are valid are checked even when
others are not, so that one run shows everything; only a file that is no YAML at all hides what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config import nodes, yaml12
from config.accounts.kinds import provider_types
from config.catalog import Catalog
from config.checks import Names, check
from config.extras import missing_extras
from config.findings import Findings
from config.include import Assembled, assemble
from config.messages import DISCRIMINATORS, problems_of
from config.names import served_names
from config.outlook import look_ahead
from config.own_catalog import read_catalog
from config.positions import Steps, locate, pruned
from config.problems import ConfigErrors, Mark, Problem
from config.references import secret_files
from config.schema import Settings
from config.sources import Sources
from config.storage import follow_data_folder
from config.unset import unset_secrets

__all__ = ["ConfigErrors", "Loaded", "Problem", "load"]

DEFAULT = "default.yaml"

_EMPTY = sha256().digest()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used.

    ``base`` is the folder that relative paths start from: the config file's own, or the working folder for
    the embedded default. ``warnings``, ``unset`` and ``extras`` are lines of ``file:line:column: path:
    message``; ``unset`` are references to secrets that do not exist here and now, ``extras`` what needs an
    optional package that is not installed here: only the models that need them miss either. ``files`` are all
    that were read, the main one first; none for the embedded default. ``digest`` is of their contents: the
    same for the same files, wherever they lie; ``sources`` is all that was read, secrets included. ``empty``
    are the files without a single byte.
    """

    settings: Settings
    base: Path
    origin: str
    warnings: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    digest: str = ""
    sources: Sources = field(default_factory=Sources)
    empty: list[str] = field(default_factory=list)


def load(path: Path | None, *, environ: Mapping[str, str] | None = None, today: date | None = None) -> Loaded:
    """Read and check ``path``; None is the embedded default. ``environ`` is where ``env:`` secrets are looked
    for (the process's), ``today`` the day that lifetimes are judged by (UTC). Raises :class:`ConfigErrors`
    and nothing else."""
    assembled, base = _assembled(path)
    sources = Sources(*(frozenset(map(os.path.abspath, x)) for x in (assembled.files, assembled.patterns)))
    today = today or datetime.now(UTC).date()
    try:
        settings, findings = _validated(assembled, today)
    except ConfigErrors as errors:
        raise ConfigErrors(errors.problems, sources) from None
    return Loaded(
        settings=settings,
        base=base,
        origin="the built-in default" if path is None else os.fspath(path),
        warnings=[str(warning) for warning in sorted(findings.warnings)],
        unset=[
            str(findings.here(location, message))
            for location, message in unset_secrets(settings, base, environ)
        ],
        extras=[str(findings.here(location, message)) for location, message in missing_extras(settings)],
        files=assembled.files,
        digest=sha256(b"".join(assembled.hashes)).hexdigest()[:12],
        sources=sources | secret_files(settings, base),
        empty=[name for name, each in zip(assembled.files, assembled.hashes, strict=False) if each == _EMPTY],
    )


def _assembled(path: Path | None) -> tuple[Assembled, Path]:
    if path is None:
        data = (files("config") / DEFAULT).read_bytes()
        return Assembled(yaml12.read(data, DEFAULT), hashes=[sha256(data).digest()]), Path.cwd()
    try:
        return assemble(os.fspath(path)), path.absolute().parent
    except ConfigErrors as errors:
        raise ConfigErrors(errors.problems, Sources(frozenset({os.path.abspath(path)}))) from None


def _validated(assembled: Assembled, today: date) -> tuple[Settings, Findings]:
    problems = list(assembled.problems)
    settings, root, invalid = _valid_part(assembled.root)
    problems += invalid
    findings = Findings(root, set(_uncertain(assembled.root)))
    if settings is not None:
        ids = _ids(assembled.root) if assembled.complete else None
        catalog, faults = read_catalog(settings.catalog, provider_types(), ids or ())
        for location, message in faults:
            findings.problem(location, message)
        names = Names(None, None)
        if assembled.complete:
            names = _declared(assembled.root, settings, None if faults or ids is None else catalog)
        check(settings, names, catalog, today, findings)
        if not problems and not findings.problems:
            look_ahead(settings, catalog, today, findings)
    problems += findings.problems
    if problems or settings is None:
        raise ConfigErrors(problems)
    return follow_data_folder(settings), findings


def _valid_part(root: nodes.Node) -> tuple[Settings | None, nodes.Node, list[Problem]]:
    """The settings that are left when everything invalid is taken out, the tree they come from, and what was
    invalid. Later rounds only find what the first one's cuts left incomplete, which is no news."""
    problems: list[Problem] | None = None
    unreadable: set[Steps] = set(_unreadable(root))
    cuts: set[Steps] = set(unreadable)
    while True:
        try:
            settings = Settings.model_validate(nodes.plain(root))
        except ValidationError as error:
            kinds = [detail["type"] for detail in error.errors(include_url=False)]
            found = list(zip(kinds, problems_of(error, root), strict=True))
        else:
            if not cuts:
                return settings, root, problems or []
            found = []
        if problems is None:
            problems = [
                problem for kind, (problem, steps) in found if not _is_told(kind, steps, root, unreadable)
            ]
        cuts |= {steps for _, (_, steps) in found}
        if () in cuts:
            return None, root, problems
        root, cuts = pruned(root, cuts), set()


def _unreadable(node: nodes.Node, at: Steps = ()) -> Iterator[Steps]:
    """Where values stand that the reader has told the fault of."""
    if isinstance(node, nodes.Unreadable):
        yield at
    elif isinstance(node, nodes.Mapping):
        for key, item in node.items.items():
            yield from _unreadable(item, (*at, key))
    elif isinstance(node, nodes.Sequence):
        for index, item in enumerate(node.items):
            yield from _unreadable(item, (*at, index))


def _uncertain(root: nodes.Node) -> Iterator[Mark]:
    """The lists of entries that lose a setting because it is unreadable."""
    for steps in _unreadable(root):
        if len(steps) > 2 and isinstance(steps[-2], int):
            yield locate(root, steps[:-2]).value


def _is_told(kind: str, steps: Steps, root: nodes.Node, unreadable: Collection[Steps]) -> bool:
    """Whether a finding only repeats, or follows from, a fault that the reader has told."""
    if steps in unreadable:
        return True
    if kind in ("union_tag_invalid", "union_tag_not_found") and any(
        (*steps, name) in unreadable for name in DISCRIMINATORS
    ):
        return True
    node = locate(root, steps).node
    may_be_there = isinstance(node, nodes.Mapping) and node.incomplete
    return may_be_there and kind in ("missing", "union_tag_not_found", "value_error")


def _declared(root: nodes.Node, settings: Settings, catalog: Catalog | None) -> Names:
    """Names from the whole tree: a target of a provider that has a fault of its own is no second fault.
    ``catalog`` is None where not all of it can be read."""
    providers = _keys(root, "providers", settings.providers)
    if isinstance(root, nodes.Mapping) and (root.incomplete or "models" in root.items):
        return Names(providers, _keys(root, "models", settings.models), catalog is not None)
    is_known = providers is not None and set(providers) == set(settings.providers)
    is_known &= catalog is not None and len(_ids(root) or ()) == len(settings.catalog)
    models = served_names(settings.providers, catalog) if is_known and catalog is not None else None
    return Names(providers, models, catalog is not None)


def _ids(root: nodes.Node) -> list[str] | None:
    """The ids under ``catalog``, also those of entries with faults; None where they cannot all be read."""
    if not isinstance(root, nodes.Mapping) or root.incomplete:
        return None
    ids: list[str] = []
    for key, entries in [*root.items.items(), *root.repeated]:
        if key != "catalog":
            continue
        if not isinstance(entries, nodes.Sequence):
            return None
        for entry in entries.items:
            name = entry.items.get("id") if isinstance(entry, nodes.Mapping) else None
            if not isinstance(name, nodes.Scalar) or not isinstance(name.value, str):
                return None
            ids.append(name.value)
    return ids


def _keys(root: nodes.Node, section: str, absent: Any) -> Any:
    """The names in a section, also where it is written twice; None where they cannot all be read."""
    if not isinstance(root, nodes.Mapping) or root.incomplete:
        return None
    written = [node for key, node in [*root.items.items(), *root.repeated] if key == section]
    if not written:
        return absent
    names: list[str] = []
    for node in written:
        if not isinstance(node, nodes.Mapping) or node.incomplete:
            return None
        names += node.items
    return names
