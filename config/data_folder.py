"""Where a configuration keeps its data, also while the rest of it has faults: whoever asks why a file was
refused has just that file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from config.nodes import Mapping, Node, Scalar
from config.problems import ConfigErrors
from config.storage_settings import StorageSettings
from config.yaml12 import MAX_BYTES, read_on


def data_folder_of(config: Path | None) -> Path:
    """``storage.data`` of this file, else its default; None is the embedded configuration. Raises OSError
    where the file cannot be read."""
    folder: object = StorageSettings.model_fields["data"].default
    if config is None:
        return Path.cwd() / str(folder)
    at: Node | None = None
    with config.open("rb") as stream, suppress(ConfigErrors):  # no YAML at all: most likely there
        at, _ = read_on(stream.read(MAX_BYTES), os.fspath(config))
    for step in ("storage", "data"):
        at = at.items.get(step) if isinstance(at, Mapping) else None
    if isinstance(at, Scalar) and isinstance(at.value, str):
        folder = at.value
    return config.absolute().parent / str(folder)
