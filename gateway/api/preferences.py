"""What a request says of itself outside its body: headers that choose how it is fitted and what is told of
it, and the path that it came by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from config.normalization import Mode, ProjectNormalizationSettings
from gateway.errors import InvalidRequest
from gateway.images.validation import ResponseFormat
from gateway.images.wording import quoted, shown

SIZE_MODE = "x-imagegate-size-mode"
REPORT = "x-imagegate-report"

_MODES: tuple[Mode, ...] = get_args(Mode)
_REPORTS = ("headers", "body")
_LINKS = "/openai/v1/"
"""Lumenfall's callers expect links where they ask for nothing."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """``mode`` and ``report`` are None where the request leaves them to the settings; ``response_format`` is
    what an absent one means on its path."""

    mode: Mode | None = None
    report: bool | None = None
    response_format: ResponseFormat = "b64_json"

    def is_strict(self, project: ProjectNormalizationSettings, model: Mode | None, usual: Mode) -> bool:
        """The request's own word, else the project's, else the model's, else the deployment's."""
        return (self.mode or project.mode or model or usual) == "strict"

    def reports(self, project: ProjectNormalizationSettings) -> bool:
        """Whether the body is to tell what was changed."""
        return project.report == "body" if self.report is None else self.report


def preferences_of(headers: Mapping[bytes, bytes], path: str) -> Preferences:
    """``headers`` have lower-case names, ``path`` is the whole one. Raises :class:`InvalidRequest`."""
    mode = _word(headers, SIZE_MODE, _MODES)
    report = _word(headers, REPORT, _REPORTS)
    return Preferences(
        mode=next((known for known in _MODES if known == mode), None),
        report=None if report is None else report == "body",
        response_format="url" if path.startswith(_LINKS) else "b64_json",
    )


def _word(headers: Mapping[bytes, bytes], name: str, known: tuple[str, ...]) -> str | None:
    raw = headers.get(name.encode())
    if raw is None:
        return None
    word = raw.decode("latin-1").strip().lower()
    if word not in known:
        raise InvalidRequest(
            f"Invalid '{name}' header: '{shown(word)}'. Supported values are: {quoted(known)}.",
            param=name,
            code="invalid_value",
        )
    return word
