"""What ``serve`` tells a person at start: what runs, the first key, and a snippet that works when pasted."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import rich_click as click

from config.loader import Loaded
from gateway.app.gateway import Gateway
from gateway.ledger.administration import DEFAULT_PROJECT
from gateway.version import VERSION

FIRST_KEY = "first-key"


async def first_key(gateway: Gateway, data: Path) -> str | None:
    """Make the first key where there is none at all: neither stored nor in the file. It is returned for a
    terminal; otherwise it goes to ``DATA/first-key`` (mode 0600) and never into a log. It belongs to the
    project that the file declares, whose limits it must not escape; of several only the operator can say
    which, so none is made."""
    projects = gateway.settings.organization.projects
    declared = any(project.keys for project in projects)
    if declared or len(projects) > 1 or await gateway.ledger.keys.any():
        return None
    project_id = projects[0].project_id if projects else DEFAULT_PROJECT
    _, key = await gateway.ledger.keys.create(name="first", project_id=project_id, pepper=gateway.pepper)
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
        lines.append(f"  key      yours; a new one: {_new_key(gateway, loaded, embedded=embedded)}")
        export = 'export IMAGEGATE_KEY="sk-ig-..."   # your key'
    model = _free_model(gateway)
    if model is None:
        lines += ["", "Paste this to see which models the key may use (free, no provider is called):", ""]
        lines.append(f'  {export}\n  curl -s {address}/v1/models -H "Authorization: Bearer $IMAGEGATE_KEY"\n')
    else:
        lines += ["", "Paste this to make a picture (free, no provider is called):", ""]
        lines.append(snippet(address, export, model))
    click.echo("\n".join(lines))
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


def _new_key(gateway: Gateway, loaded: Loaded, *, embedded: bool) -> str:
    """The command that makes a key here, from wherever it is called."""
    data = (loaded.base / gateway.settings.storage.data).absolute()
    where = f"--data {shlex.quote(str(data))}"
    if not embedded:
        where = f"--config {shlex.quote(str(Path(loaded.origin).absolute()))} {where}"
    project = " --project PROJECT" if len(gateway.settings.organization.projects) > 1 else ""
    return f"imagegate keys create --name NAME{project} {where}"


def _free_model(gateway: Gateway) -> str | None:
    """A model that only the sandbox draws; a configuration of one's own may have none."""
    providers = gateway.settings.providers
    for name in gateway.directory.names():
        model = gateway.directory.get(name)
        targets = model.usable if model is not None else ()
        if targets and all(providers[target.provider].type == "sandbox" for target in targets):
            return name
    return None


def snippet(address: str, export: str, model: str) -> str:
    body = f'{{"model": {json.dumps(model)}, "prompt": "a red kite over dunes"}}'
    decode = (
        "import sys,json,base64; "
        'a=json.load(sys.stdin); "data" in a or sys.exit(a["error"]["message"]); '
        'open("kite.png","wb").write(base64.b64decode(a["data"][0]["b64_json"]))'
    )
    return (
        f"  {export}\n"
        f"  curl -s {address}/v1/images/generations \\\n"
        f'    -H "Authorization: Bearer $IMAGEGATE_KEY" -H "Content-Type: application/json" \\\n'
        f"    -d {shlex.quote(body)} \\\n"
        f"    | python3 -c {shlex.quote(decode)} && echo kite.png\n"
    )
