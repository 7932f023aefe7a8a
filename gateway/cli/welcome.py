"""What ``serve`` tells a person at start: what runs, the first key, and a snippet that works when pasted."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import rich_click as click

from config.loader import Loaded
from gateway.app import Gateway
from gateway.version import VERSION

FIRST_KEY = "first-key"
_PROJECT = "default"


async def first_key(gateway: Gateway, data: Path) -> str | None:
    """Make the first key where there is none at all: neither stored nor in the file. It is returned for a
    terminal; otherwise it goes to ``DATA/first-key`` (mode 0600) and never into a log."""
    declared = any(project.keys for project in gateway.settings.organization.projects)
    if declared or await gateway.ledger.keys.any():
        return None
    _, key = await gateway.ledger.keys.create(name="first", project_id=_PROJECT, pepper=gateway.pepper)
    if not sys.stdout.isatty():
        descriptor = os.open(data / FIRST_KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(key + "\n")
    return key


def welcome(gateway: Gateway, loaded: Loaded, address: str, key: str | None, *, embedded: bool) -> None:
    """Print to stdout; the key only if that is a terminal."""
    terminal = sys.stdout.isatty()
    path = (loaded.base / gateway.settings.storage.data / FIRST_KEY).absolute()
    lines = [
        f"imagegate {VERSION}: {address}/v1",
        f"  config   {loaded.origin}",
        f"  models   {_models(gateway)}",
    ]
    lines += [f"  note     {note}" for note in _notes(gateway, embedded=embedded)]
    if key is not None and terminal:
        lines.append("  key      made now and shown only this once; keep it")
        export = f"export IMAGEGATE_KEY={key}"
    elif path.exists():
        lines.append(f"  key      in {path} (delete the file once you have it elsewhere)")
        export = f"export IMAGEGATE_KEY=$(cat {shlex.quote(str(path))})"
    else:
        lines.append("  key      the one you have; another: imagegate keys create --name NAME")
        export = 'export IMAGEGATE_KEY="sk-ig-..."   # your key'
    click.echo("\n".join([*lines, "", "Paste this to make a picture (free, no provider is called):", ""]))
    click.echo(snippet(address, export))
    sys.stdout.flush()


def _models(gateway: Gateway) -> str:
    names = [name for name in gateway.directory.names() if (m := gateway.directory.get(name)) and m.usable]
    shown = ", ".join(names[:6])
    return (
        f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown or "none: no provider has its key"
    )


def _notes(gateway: Gateway, *, embedded: bool) -> list[str]:
    missing = sorted(
        {
            f"{target.unusable}"
            for name in gateway.directory.names()
            if (model := gateway.directory.get(name)) is not None
            for target in model.targets
            if target.unusable
        }
    )
    real = any(account.type != "sandbox" for account in gateway.settings.providers.values())
    limits = [
        f"real providers may cost ${limit.spend_usd} per {limit.per}"
        for limit in gateway.settings.organization.limits
        if real and not missing and limit.spend_usd is not None and not limit.shadow
    ]
    if embedded:
        limits = [f"{line}; to change it: imagegate serve --daily-limit 50 (or none)" for line in limits]
    return missing + limits


def snippet(address: str, export: str) -> str:
    body = '{"model": "sandbox", "prompt": "a red kite over dunes"}'
    decode = (
        "import sys,json,base64; "
        'open("kite.png","wb").write(base64.b64decode(json.load(sys.stdin)["data"][0]["b64_json"]))'
    )
    return (
        f"  {export}\n"
        f"  curl -s {address}/v1/images/generations \\\n"
        f'    -H "Authorization: Bearer $IMAGEGATE_KEY" -H "Content-Type: application/json" \\\n'
        f"    -d {shlex.quote(body)} \\\n"
        f"    | python3 -c {shlex.quote(decode)} && echo kite.png\n"
    )
