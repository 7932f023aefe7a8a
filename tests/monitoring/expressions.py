"""What the chart's dashboards and alert rules ask of the metrics."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from tests.servers import ROOT

CHART = ROOT / "helm" / "imagegate"
RULES = CHART / "rules" / "imagegate.yaml"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
_NAME = re.compile(r"\b(?:imagegate|http|gen_ai|target)_[a-z0-9_]+\b")
_SELECTOR = re.compile(r"\b((?:imagegate|http|gen_ai|target)_[a-z0-9_]+)\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def panels() -> dict[str, str]:
    """Every expression of a dashboard, by where it stands."""
    return {
        f"{file.name}: {panel['title']} {target['refId']}": target["expr"]
        for file in DASHBOARDS
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]
        for target in panel.get("targets", ())
    }


def alerts() -> list[dict[str, Any]]:
    """Every alert rule."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> dict[str, str]:
    """Every one of a dashboard or a rule, by where it stands."""
    return panels() | {f"{RULES.name}: {rule['alert']}": rule["expr"] for rule in alerts()}


def at(interval: str, expression: str) -> str:
    """As Grafana sends it."""
    return expression.replace("$__rate_interval", interval)


def names_in(expression: str) -> set[str]:
    """Metrics in an expression, without its labels."""
    return set(_NAME.findall(_GROUPING.sub("", re.sub(r"\{[^}]*\}", "", expression))))


def labels_in(expression: str) -> set[tuple[str, str]]:
    """(metric, label) of each matcher, and (any metric of the expression, label) of each grouping."""
    found = {
        (name, label)
        for name, matchers in _SELECTOR.findall(expression)
        for label in re.findall(r"(\w+)\s*[=!]", matchers)
    }
    names = names_in(expression)
    grouped = {label.strip() for labels in _GROUPING.findall(expression) for label in labels.split(",")}
    return found | {(name, label) for name in names for label in grouped if label and len(names) == 1}
