"""Dashboards by themselves: what makes them work in anybody's Grafana."""

from __future__ import annotations

import json
import re

from tests.monitoring.expressions import DASHBOARDS, names_in, panels


def test_dashboards_can_be_imported_anywhere() -> None:
    assert [file.stem for file in DASHBOARDS] == ["money", "ops", "provider"]
    for file in DASHBOARDS:
        board = json.loads(file.read_text(encoding="utf-8"))
        assert board["uid"] == f"imagegate-{file.stem}"
        assert "id" not in board
        (variable,) = board["templating"]["list"]
        assert (variable["name"], variable["type"]) == ("datasource", "datasource")
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in board["panels"]:
            if panel["type"] != "row":
                sources = [panel, *panel["targets"]]
                assert {each["datasource"]["uid"] for each in sources} == {"${datasource}"}


def test_panels_do_not_cover_each_other() -> None:
    for file in DASHBOARDS:
        taken: dict[tuple[int, int], str] = {}
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    assert taken.setdefault((x, y), panel["title"]) == panel["title"], file.name


def test_every_expression_asks_for_a_metric_over_a_time_that_grafana_knows() -> None:
    for where, expression in panels().items():
        assert names_in(expression), where
        if re.search(r"\b(rate|increase)\(", expression):
            assert re.search(r"\[(\$__rate_interval|\d+h)\]", expression), where
