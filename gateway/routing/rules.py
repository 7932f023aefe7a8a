"""``routing.rules``: the first that fits a request decides its model, its targets, or that it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from config.routing import RuleSettings, Select
from gateway.routing.conditions import Condition, Question


@dataclass(frozen=True, slots=True)
class Passed:
    """A rule that did not fit, and the names of the conditions that did not hold."""

    rule: str
    unmet: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules say of a request. ``rule`` names the one that fits, None where none does; ``passed`` are
    those before it."""

    rule: str | None = None
    model: str | None = None
    targets: tuple[str, ...] | None = None
    select: Select | None = None
    deny: str | None = None
    passed: tuple[Passed, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    condition: Condition | None
    settings: RuleSettings

    @classmethod
    def of(cls, number: int, settings: RuleSettings, zone: ZoneInfo) -> Rule:
        condition = Condition(settings.when, zone) if settings.when is not None else None
        return cls(settings.name or f"rules[{number}]", condition, settings)


class Rulebook:
    """The rules in their order. ``zone`` is the organization's."""

    def __init__(self, rules: Sequence[RuleSettings], zone: ZoneInfo) -> None:
        self._rules = [Rule.of(number, settings, zone) for number, settings in enumerate(rules)]

    def __bool__(self) -> bool:
        """Whether there is any rule."""
        return bool(self._rules)

    def ruling(self, question: Question) -> Ruling:
        passed: list[Passed] = []
        for rule in self._rules:
            unmet = rule.condition.unmet(question) if rule.condition is not None else ()
            if unmet:
                passed.append(Passed(rule.name, unmet))
                continue
            said = rule.settings
            targets = tuple(said.targets) if said.targets is not None else None
            return Ruling(rule.name, said.model, targets, said.select, said.deny, tuple(passed))
        return Ruling(passed=tuple(passed))


def names_target(word: str, provider: str, model: str) -> bool:
    """Whether ``PROVIDER`` or ``PROVIDER/MODEL`` means this target."""
    return word in (provider, f"{provider}/{model}")
