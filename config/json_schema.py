"""The JSON Schema that editors complete and check a configuration with.

``python -m config.json_schema`` writes ``config/schema.json`` anew; a test fails when it is old. A file names
it in a comment: ``# yaml-language-server: $schema=…/config/schema.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from config.schema import Settings

FILE = Path(__file__).with_name("schema.json")


def document() -> dict[str, Any]:
    """The schema of a main file. Included files hold a part of it."""
    schema = Settings.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "imagegate configuration",
        "description": "What the YAML may say. Every setting is explained in docs/configuration.md.",
        **{key: value for key, value in schema.items() if key not in ("title", "description")},
    }


def render() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
