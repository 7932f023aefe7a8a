"""The call that ``estimate`` and ``route`` are asked about: its options, and the request that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from gateway.images.raw import Encoding, RawFile, RawRequest
from gateway.images.sniff import sniff
from providers.base import InputFile, Operation

PROMPT = "a picture"
"""Where none is given. What a prompt costs is its length."""

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

_OPTIONS = (
    click.option("--size", help="1536x864, 16:9, 2K or auto."),
    click.option("--aspect-ratio", help="Such as 16:9."),
    click.option("--resolution", help="Such as 2K."),
    click.option("--quality", help="low, medium, high, …"),
    click.option("--n", help="How many pictures."),
    click.option("--output-format", help="png, jpeg, webp, gif, avif or svg."),
    click.option("--image", "images", multiple=True, type=FILE, help="A picture to edit; repeatable."),
    click.option("--key-project", "project", metavar="NAME", help="As a key of this project asks."),
)


def call_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Fields come as keywords of text, ``images`` as paths, ``project`` as a name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def raw_request(
    fields: Mapping[str, str | None], images: Sequence[Path], mask: Path | None = None
) -> RawRequest:
    """As a form would send it, so that every value is text. Fields without a value are left out."""
    files = [_file("image", path) for path in images] + ([_file("mask", mask)] if mask else [])
    operation = Operation.EDIT if files else Operation.GENERATE
    given = {name: value for name, value in fields.items() if value is not None}
    return RawRequest(operation, Encoding.MULTIPART, {"prompt": PROMPT, **given}, files)


def _file(part: str, path: Path) -> RawFile:
    data = path.read_bytes()
    return RawFile(part, InputFile(path.name, "image/png", len(data), lambda: path.open("rb")), sniff(data))
