"""docs/telemetry.md names every metric and no other, with the labels that the code gives them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

from gateway.telemetry import gauges, meters
from tests.monitoring import documented
from tests.servers import ROOT


def given() -> Mapping[str, set[str]]:
    """Labels by the instrument's name in ``meters``, where the code writes them out at the call."""
    found: dict[str, set[str]] = {}
    for file in (ROOT / "gateway").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        value=ast.Attribute(value=ast.Name(id="meters"), attr=name) | ast.Name(id=name),
                        attr="add" | "record",
                    ),
                    args=[_, ast.Dict(keys=keys)],
                ) if hasattr(meters, name) and all(isinstance(key, ast.Constant) for key in keys):
                    found.setdefault(name, set()).update(ast.literal_eval(key) for key in keys if key)
    return found


def test_every_metric_is_documented_and_no_other() -> None:
    assert documented.metrics().keys() == meters.NAMES | gauges.NAMES


def test_labels_that_the_code_writes_out_are_those_of_the_page() -> None:
    told = {getattr(getattr(meters, name), "_name", ""): labels for name, labels in given().items()}
    assert len(told) > 10
    page = documented.metrics()
    assert {name: page[name] for name in told} == told


def test_genai_names_are_words_of_the_conventions_that_we_say_we_speak() -> None:
    ours = set(re.findall(r"\bgen_ai\.[a-z_.]+[a-z]", documented.PAGE)) - {
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
    }
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    assert ours <= known


def test_durations_reach_to_ten_minutes() -> None:
    assert meters.BUCKETS[-1] == 600
    assert {1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 75.0, 90.0, 105.0, 120.0, 150.0, 180.0, 240.0, 300.0,
            420.0} <= set(meters.BUCKETS)  # fmt: skip
