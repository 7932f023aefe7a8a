"""Alert rules by themselves: their syntax, what they tell, when they fire and when not (``alerts.yaml``)."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import NOT_TESTED
from tests.environments import python_environment
from tests.monitoring.expressions import RULES, alerts, at, expressions
from tests.servers import NotObtainable, prometheus_tool

CASES = Path(__file__).with_name("alerts.yaml")
PARSER = "promql-parser==0.11.0"
PARSE = "import json, sys, promql_parser\nfor each in json.load(sys.stdin): promql_parser.parse(each)"


def promtool(*words: str) -> str:
    """What it says of files that are as they should be."""
    try:
        tool = prometheus_tool("promtool")
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}when alerts fire: {missing}")
    done = subprocess.run([tool, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", str(RULES))


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(CASES))


def test_no_alert_is_without_a_case() -> None:
    fired = set(re.findall(r'alertname="(\w+)"', CASES.read_text(encoding="utf-8")))
    assert fired == {rule["alert"] for rule in alerts()}


def test_every_expression_is_promql(tmp_path: Path) -> None:
    """By promtool; where there is none, by another parser, which knows the syntax and nothing more."""
    asked = [at("5m", each) for each in expressions().values()]
    assert len(asked) > 60
    try:
        prometheus_tool("promtool")
    except NotObtainable as missing:
        try:
            python = python_environment("promql", PARSER)
        except NotObtainable as neither:
            pytest.skip(f"{NOT_TESTED}the syntax of dashboards and alert rules: {missing}; {neither}")
        subprocess.run([str(python), "-c", PARSE], input=json.dumps(asked), text=True, timeout=60, check=True)
        return
    records = [{"record": f"expression_{number}", "expr": each} for number, each in enumerate(asked)]
    file = tmp_path / "all.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": records}]}))
    promtool("check", "rules", str(file))


def test_alerts_say_what_happened_and_how_bad_it_is() -> None:
    rules = alerts()
    assert len({rule["alert"] for rule in rules}) == len(rules) > 15
    for rule in rules:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description"}
        kept = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            assert all(label in names for names in kept), (rule["alert"], label)
