"""``imagegate check``: everything that is wrong with a configuration, offline and at once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich_click as click
from rich.console import Console
from rich.text import Text

from config.loader import ConfigErrors, Loaded, load
from config.names import public_models
from config.own_catalog import catalog_of


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def check(file: Path | None, strict: bool, as_json: bool) -> None:
    """Check a configuration FILE without starting anything; without FILE, the built-in default.

    Lists every error as file:line:column, then warnings. Exit status 0: it can be used; 1: it cannot (with
    --strict, also when there are warnings).

    Secrets and optional packages that do not exist on this machine are notes, not errors: they may exist
    where it will run.
    """
    try:
        loaded = load(file)
    except ConfigErrors as errors:
        _show_errors(errors, as_json)
        sys.exit(1)
    is_refused = strict and bool(loaded.warnings)
    if as_json:
        click.echo(json.dumps({"ok": not is_refused, **_summary(loaded), "problems": []}, indent=2))
    else:
        _show(loaded, is_refused)
    sys.exit(1 if is_refused else 0)


def _summary(loaded: Loaded) -> dict[str, Any]:
    projects = loaded.settings.organization.projects
    return {
        "origin": loaded.origin,
        "files": loaded.files,
        "providers": list(loaded.settings.providers),
        "models": public_models(loaded.settings, catalog_of(loaded.settings)),
        "projects": [project.name for project in projects],
        "keys": sum(len(project.keys) for project in projects),
        "warnings": loaded.warnings,
        "unset": loaded.unset,
        "missing_extras": loaded.extras,
    }


def _show_errors(errors: ConfigErrors, as_json: bool) -> None:
    if as_json:
        problems = [asdict(problem) for problem in errors.problems]
        click.echo(json.dumps({"ok": False, "problems": problems}, indent=2))
        return
    console = _console()
    for problem in errors.problems:
        _line(console, "", "", str(problem))
    _line(console, _count(len(errors.problems), "error"), "red", "this configuration cannot be used")


def _show(loaded: Loaded, is_refused: bool) -> None:
    console = _console()
    for warning in loaded.warnings:
        _line(console, "warning", "red" if is_refused else "yellow", warning)
    for note in [*loaded.unset, *loaded.extras]:
        _line(console, "note", "cyan", note)
    summary = _summary(loaded)
    counts = ", ".join(
        _count(number, word)
        for number, word in (
            (len(summary["providers"]), "provider"),
            (len(summary["models"]), "model"),
            (len(summary["projects"]), "project"),
            (summary["keys"], "key"),
            (len(loaded.warnings), "warning"),
        )
    )
    verdict = "refused by --strict" if is_refused else "ok"
    _line(console, verdict, "red" if is_refused else "green", f"{loaded.origin}: {counts}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _console() -> Console:
    # Rich leaves colours out where there is no terminal and where NO_COLOR is set.
    return Console(highlight=False, markup=False, soft_wrap=True)


def _line(console: Console, label: str, style: str, text: str) -> None:
    console.print(Text.assemble((f"{label}: ", f"bold {style}") if label else "", text))
