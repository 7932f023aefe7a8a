"""``output_format``, ``output_compression``: native where the target has them, else the gateway converts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from config.catalog import CatalogModel
from gateway.images.fields import is_lenient
from gateway.images.fitted import Adjustment, How
from gateway.images.served import adjusted

CONVERTIBLE = ("png", "jpeg", "webp", "gif", "avif")
"""What the gateway can write. SVG is drawn, not converted to."""

_COMPRESSED = ("jpeg", "webp", "avif")
_ALWAYS_TRIED = ("png", "webp", "jpeg")
"""Formats that are asked of a model that nobody has published facts about."""


@dataclass(frozen=True, slots=True)
class ServedFormat:
    """``sent`` goes to the target; ``convert_to`` and ``compression`` are the gateway's to do, None for
    nothing; ``adjustments`` say so."""

    sent: Mapping[str, object]
    convert_to: str | None = None
    compression: int | None = None
    adjustments: tuple[Adjustment, ...] = ()


def can_make(entry: CatalogModel, wanted: object) -> bool:
    """Whether pictures of this model can be delivered as ``wanted``, converted or not."""
    return wanted is None or wanted in CONVERTIBLE or _takes_any(entry) or wanted in entry.output_formats


def serve_format(params: Mapping[str, object], entry: CatalogModel, *, alpha: bool) -> ServedFormat:
    """``alpha`` says that the picture must come with its transparency, whatever it is delivered as."""
    wanted = params.get("output_format")
    compression = params.get("output_compression")
    source = _source(entry)
    loses_alpha = alpha and wanted == "jpeg" and source in ("png", "webp")
    if _is_native(wanted, entry) and not loses_alpha:
        native = _native(wanted, compression, entry)
        if _takes_any(entry) and wanted in _ALWAYS_TRIED and params.get("stream") is not True:
            # Whether it heeds the word is only seen in its answer.
            return replace(native, convert_to=str(wanted))
        return native
    # What a target without a choice makes is only seen in its answer, which for a stream is too late to tell.
    unseen = source is None and not entry.output_formats and params.get("stream") is not True
    told = () if unseen else (adjusted("output_format", wanted, How.EMULATED, source),)
    sent = {"output_format": source} if source else {}
    if not isinstance(compression, int):
        return ServedFormat(sent, str(wanted), None, told)
    if wanted in _COMPRESSED:
        done = adjusted("output_compression", compression, How.EMULATED, compression)
        return ServedFormat(sent, str(wanted), compression, (*told, done))
    return ServedFormat(sent, str(wanted), None, (*told, *_ignored(compression)))


def _is_native(wanted: object, entry: CatalogModel) -> bool:
    if wanted is None:
        return True
    return wanted in (*_ALWAYS_TRIED, "svg") if _takes_any(entry) else wanted in entry.output_formats


def _takes_any(entry: CatalogModel) -> bool:
    """Whether it takes the field, and nobody says which values."""
    return is_lenient(entry) or ("output_format" in entry.fields and not entry.output_formats)


def _native(wanted: object, compression: object, entry: CatalogModel) -> ServedFormat:
    sent: dict[str, object] = {}
    if wanted is not None and (is_lenient(entry) or "output_format" in entry.fields):
        sent["output_format"] = wanted
    if compression is None:
        return ServedFormat(sent)
    if is_lenient(entry):
        return ServedFormat({**sent, "output_compression": compression})
    takes = "output_compression" in entry.fields
    if wanted in _COMPRESSED and not takes:
        level = compression if isinstance(compression, int) else None
        done = adjusted("output_compression", compression, How.EMULATED, compression)
        return ServedFormat(sent, str(wanted), level, (done,))
    # 100 is what PNG has anyway, and PNG is what comes where the format is left open: OpenAI refuses less.
    if takes and (wanted in _COMPRESSED or (wanted in (None, "png") and compression == 100)):
        return ServedFormat({**sent, "output_compression": compression})
    return ServedFormat(sent, adjustments=_ignored(compression))


def _ignored(compression: object) -> tuple[Adjustment, ...]:
    """Not a word where nothing was asked: 100 is no compression."""
    return () if compression == 100 else (adjusted("output_compression", compression, How.IGNORED),)


def _source(entry: CatalogModel) -> str | None:
    """What to ask for, to convert from: lossless and with alpha, where there is a choice."""
    if _takes_any(entry):
        return "png"
    if "output_format" not in entry.fields:
        return None
    return next((name for name in ("png", "webp", "jpeg") if name in entry.output_formats), None)
