"""What must hold between rules, targets and the rest: no rule that can never decide anything, no target that
can never be called, no plan that is empty whoever asks.

A rule that is written down and does nothing is worse than none, because its owner believes in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from config.at_account import at_account
from config.catalog import Catalog
from config.covering import covers
from config.findings import Findings, Location
from config.models import ModelSettings, TargetSettings
from config.organization import ProjectSettings
from config.problems import did_you_mean, listed, quoted
from config.routing import RuleSettings, WhenSettings
from config.schema import Settings

CheckModel = Callable[[Location, str], None]
"""Reports a public model that does not exist."""


@dataclass(frozen=True, slots=True)
class _Here:
    """What names may mean. ``providers`` None: they cannot all be read."""

    settings: Settings
    providers: Collection[str] | None
    catalog: Catalog | None
    check_model: CheckModel
    findings: Findings

    @property
    def projects(self) -> Sequence[ProjectSettings]:
        return self.settings.organization.projects


def check_routing(
    settings: Settings,
    providers: Collection[str] | None,
    catalog: Catalog | None,
    check_model: CheckModel,
    findings: Findings,
) -> None:
    """``providers`` and ``catalog`` are None where not all of them is known."""
    here = _Here(settings, providers, catalog, check_model, findings)
    rules = settings.routing.rules
    for index, rule in enumerate(rules):
        place: Location = ("routing", "rules", index)
        if rule.when is not None:
            _check_when((*place, "when"), rule.when, here)
        _check_shadowed(place, index, here)
        _check_effects(place, rule, here)
    names = [rule.name for rule in rules]
    for index, name in enumerate(names):
        if name is not None and name in names[:index]:
            findings.problem(("routing", "rules", index, "name"), f"another rule is called {quoted(name)}")
    for name, model in (settings.models or {}).items():
        _check_targets(("models", name, "targets"), name, model, here)


def _check_when(place: Location, when: WhenSettings, here: _Here) -> None:
    if here.providers is None:
        return
    known = {name for project in here.projects for name in (project.name, project.project_id)}
    for index, name in enumerate(when.project or []):
        if name not in known:
            here.findings.problem(
                (*place, "project", index),
                f"no project is called {quoted(name)}, so this never fits.{did_you_mean(name, known)} "
                f"Declared: {listed(project.name for project in here.projects) or 'none'}",
            )
    for index, name in enumerate(when.key or []):
        _check_key((*place, "key", index), name, when, here)
    for index, model in enumerate(when.model or []):
        here.check_model((*place, "model", index), model)
    tags = {*here.settings.organization.tags, *(tag for project in here.projects for tag in project.tags)}
    for tag in when.tags or {}:
        if tag not in tags:
            here.findings.problem_at_key(
                (*place, "tags", tag),
                f"no call may have the tag {quoted(tag)}, so this never fits; add it to organization.tags "
                "or to a project's",
            )
    _check_leave(place, when, here)


def _check_key(place: Location, name: str, when: WhenSettings, here: _Here) -> None:
    project, _, key = name.rpartition("/")
    owners = [each for each in here.projects if not project or project in (each.name, each.project_id)]
    if project and not owners:
        here.findings.problem(place, f"no project is called {quoted(project)}, so this never fits")
        return
    if when.project is not None:
        owners = [each for each in owners if {each.name, each.project_id} & set(when.project)]
        if project and not owners:
            here.findings.problem(
                place, "belongs to none of the projects that stand beside it, so this never fits"
            )
            return
    if not any(declared.name == key for each in owners for declared in each.keys):
        # Keys are also made at run time.
        here.findings.warn(place, f"no key called {quoted(key)} is declared; it fits once one is made")


def _check_leave(place: Location, when: WhenSettings, here: _Here) -> None:
    """A project that may use none of the models never fits."""
    if when.project is None or when.model is None:
        return
    meant = [each for each in here.projects if {each.name, each.project_id} & set(when.project)]
    if meant and not any(
        each.models is None or model in each.models for each in meant for model in when.model
    ):
        here.findings.problem(
            (*place, "model"),
            f"{listed(each.name for each in meant)} may not use {listed(when.model)}, so this never fits",
        )


def _check_shadowed(place: Location, index: int, here: _Here) -> None:
    rules = here.settings.routing.rules
    ids = {each.name: each.project_id for each in here.projects}
    for number, earlier in enumerate(rules[:index]):
        if covers(earlier.when, rules[index].when, ids):
            named = quoted(earlier.name) if earlier.name else f"rules[{number}]"
            here.findings.problem(
                place,
                f"is never asked: {named} fits every request that this one does; put it first, or drop it",
            )
            return


def _check_effects(place: Location, rule: RuleSettings, here: _Here) -> None:
    when = rule.when
    if rule.model is not None:
        here.check_model((*place, "model"), rule.model)
        if when is not None and when.model == [rule.model]:
            here.findings.problem(
                (*place, "model"), f"puts {quoted(rule.model)} in place of itself; leave it out"
            )
    if rule.targets is not None:
        _check_rule_targets((*place, "targets"), rule, rule.targets, here)


def _check_rule_targets(place: Location, rule: RuleSettings, targets: Sequence[str], here: _Here) -> None:
    if here.providers is None:
        return
    asked = [rule.model] if rule.model else rule.when.model if rule.when and rule.when.model else None
    models = {
        name: model
        for name, model in (here.settings.models or {}).items()
        if _is_meant(name, asked, rule, here)
    }
    for index, word in enumerate(targets):
        provider = word.partition("/")[0]
        if provider not in here.providers:
            here.findings.problem(
                (*place, index),
                f"no provider is called {quoted(provider)}.{did_you_mean(provider, here.providers)} "
                f"Declared: {listed(here.providers) or 'none'}",
            )
        elif models and not any(_left(name, model, [word]) for name, model in models.items()):
            here.findings.problem(
                (*place, index), f"{quoted(word)} is no target of {listed(models)}, so it is never called"
            )
    empty = [name for name, model in models.items() if not _left(name, model, targets)]
    if empty and (asked is not None or len(empty) == len(models)):
        here.findings.problem(place, f"leaves {listed(empty)} no target, so every such request would fail")
    elif empty:
        here.findings.warn(place, f"leaves {listed(empty)} no target; such requests are refused")


def _is_meant(name: str, asked: Collection[str] | None, rule: RuleSettings, here: _Here) -> bool:
    """Whether the rule can meet a request that this model serves."""
    if asked is not None:
        return name in asked
    if rule.when is None or rule.when.project is None:
        return True
    meant = [each for each in here.projects if {each.name, each.project_id} & set(rule.when.project)]
    return any(each.models is None or name in each.models for each in meant)


def _left(name: str, model: ModelSettings, words: Sequence[str]) -> list[TargetSettings]:
    return [
        target
        for target in model.targets
        if any(word in (target.provider, f"{target.provider}/{target.model or name}") for word in words)
    ]


def _check_targets(place: Location, name: str, model: ModelSettings, here: _Here) -> None:
    rules = here.settings.routing.rules
    is_weighted = model.select == "weighted" or any(rule.select == "weighted" for rule in rules)
    seen: set[tuple[str, str]] = set()
    for index, target in enumerate(model.targets):
        spot: Location = (*place, index)
        if "weight" in target.model_fields_set and not is_weighted:
            here.findings.problem(
                (*spot, "weight"), f"means nothing with select: {model.select}; write select: weighted"
            )
        if target.when is not None:
            _check_when((*spot, "when"), target.when, here)
            _check_target_when((*spot, "when"), name, model, target, here)
            continue
        named = (target.provider, target.model or name)
        if named in seen:
            here.findings.problem(spot, f"{'/'.join(named)} is a target of this model already")
        seen.add(named)
    if all(target.when is not None for target in model.targets):
        here.findings.warn(place, "every target has conditions; calls that fit none of them are refused")


def _check_target_when(
    place: Location, name: str, model: ModelSettings, target: TargetSettings, here: _Here
) -> None:
    when = target.when
    if when is None:
        return
    if when.model is not None:
        here.findings.problem((*place, "model"), "a target serves one model; write this in routing.rules")
    account = here.settings.providers.get(target.provider)
    if when.operation is None or account is None or here.catalog is None:
        return
    entry = here.catalog.describe(account.type, target.model or name, target.catalog or model.catalog)
    serves: set[str] = set(at_account(entry, account).operations)
    if serves.isdisjoint(when.operation):
        here.findings.problem(
            (*place, "operation"),
            f"{target.provider}/{target.model or name} serves {listed(sorted(serves)) or 'nothing'}, so it "
            "is never called",
        )
