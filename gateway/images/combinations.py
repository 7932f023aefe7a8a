"""Fields that are good alone and wrong together, as one table.

Only what OpenAI documents is refused here, in strict mode; it refuses the rest itself, free of charge. What
no model and no conversion can serve is refused in either mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.errors import InvalidRequest
from gateway.images.fields import FIELDS
from gateway.images.wording import USER_ERROR, invalid_value, quoted


@dataclass(frozen=True, slots=True)
class Exclusion:
    """With any of ``formats``, ``field`` may not be as ``forbids`` says."""

    formats: tuple[str, ...]
    field: str
    forbids: Callable[[object], bool]
    message: str


def _given(value: object) -> bool:
    return value is not None


def _on(value: object) -> bool:
    return bool(value)


EXCLUSIONS = (
    Exclusion(
        ("svg",), "n", lambda value: value not in (None, 1), "SVG output makes one picture: 'n' must be 1."
    ),
    Exclusion(("svg", "gif"), "stream", _on, "GIF and SVG output cannot be streamed: leave 'stream' out."),
    Exclusion(("svg", "gif"), "partial_images", _on, "GIF and SVG output has no partial images."),
    Exclusion(("svg", "gif"), "output_compression", _given, "GIF and SVG output takes no compression level."),
    Exclusion(
        ("jpeg", "gif"),
        "background",
        lambda value: value == "transparent",
        "Transparent background needs the output format 'png' or 'webp'.",
    ),
)


_IMPOSSIBLE = ("background",)
"""Fields whose exclusions nothing gets around; the others are served without what means nothing there."""


def check_impossible(params: Mapping[str, object]) -> None:
    """``params`` with the model's defaults filled in. Raises ``InvalidRequest``."""
    for rule in EXCLUSIONS:
        if rule.field in _IMPOSSIBLE:
            _check(rule, params)


def check_combinations(params: Mapping[str, object], *, has_mask: bool) -> None:
    """``params`` with the model's defaults filled in. Raises ``InvalidRequest``."""
    output_format = params.get("output_format")
    for rule in EXCLUSIONS:
        _check(rule, params)
    if has_mask and output_format == "gif":
        raise invalid_value("mask", "GIF output takes no mask.")
    compression = params.get("output_compression")
    if output_format in (None, "png") and isinstance(compression, int) and compression < 100:
        raise InvalidRequest(
            "Compression less than 100 is not supported for PNG output format",
            code="invalid_png_output_compression",
            type=USER_ERROR,
        )
    for name in params:
        field = FIELDS.get(name)
        if field is not None and field.formats and output_format not in field.formats:
            raise invalid_value(
                name, f"'{name}' is only supported with the output format {quoted(field.formats)}."
            )


def _check(rule: Exclusion, params: Mapping[str, object]) -> None:
    if params.get("output_format") in rule.formats and rule.forbids(params.get(rule.field)):
        raise invalid_value(rule.field, rule.message)
