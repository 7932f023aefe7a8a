"""A call as one target can serve it: each field exact, mapped, emulated, left out and reported, or refused.

docs/normalization.md is the rule in words. Pure; run for every target of a model, and again for the next one
when a target fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from config.catalog import CatalogModel
from config.sizing import AnySizing, FreeSizing, InputSizing, ListedSizing, Sizing
from gateway.images.backgrounds import colour_of, serve_background
from gateway.images.batches import batches_of, batches_text
from gateway.images.call import ImageCall
from gateway.images.capabilities import lacking
from gateway.images.defaults import size_intent
from gateway.images.exact_delivery import Delivered, serve_fit
from gateway.images.extras import serve_extras
from gateway.images.fitted import Adjustment, Finish, Fitted, How, SizeChoice, Unfit
from gateway.images.formats import serve_format
from gateway.images.input_work import input_adjustments
from gateway.images.intent import SIZE_FIELDS, Intent
from gateway.images.mask_work import mask_adjustments
from gateway.images.qualities import serve_quality
from gateway.images.served import adjusted
from gateway.images.size_refusals import contradiction, size_refused
from gateway.images.sizing import blamed, choose, nearest, passes_strict
from gateway.images.streams import serve_stream
from gateway.images.strictness import refused_in_strict_mode
from providers.base import Operation


def fit(call: ImageCall, entry: CatalogModel) -> Fitted | Unfit:
    """What a target described by ``entry`` is sent for ``call``, or why it cannot serve it."""
    unfit = lacking(call, entry) or (refused_in_strict_mode(call, entry) if call.strict else None)
    if unfit is not None:
        return unfit
    intent = size_intent(call.params)
    sizing = sizing_of(call, entry)
    size = choose(intent, sizing, input_ratio=_input_ratio(call))
    if call.strict and intent.ignored:
        return Unfit(intent.ignored[0].field, contradiction(intent))
    if call.strict and not passes_strict(size.rule):
        valid = nearest(intent, sizing)
        return Unfit("size", size_refused(intent, sizing, blamed(intent, size), valid), valid)
    return _fitted(call, entry, intent, _as_asked(size, call.params, call.adjusted))


def serves(call: ImageCall, entry: CatalogModel) -> bool:
    """Whether :func:`fit` would fit it: the same at a fraction of the cost, since nothing is explained."""
    if lacking(call, entry) is not None:
        return False
    if not call.strict:
        return True
    intent = size_intent(call.params)
    size = choose(intent, sizing_of(call, entry), input_ratio=_input_ratio(call))
    return refused_in_strict_mode(call, entry) is None and not intent.ignored and passes_strict(size.rule)


def hangs_on_input(call: ImageCall, entry: CatalogModel) -> bool:
    """Whether the shape of an edit's first picture decides the size that the target is sent."""
    sizing = sizing_of(call, entry)
    if call.operation is not Operation.EDIT or isinstance(sizing, AnySizing | InputSizing):
        return False
    intent = size_intent(call.params)
    return intent.ratio is None and not (intent.is_open and sizing.auto)


def sizing_of(call: ImageCall, entry: CatalogModel) -> Sizing:
    """The sizes that a target makes of this call."""
    return entry.sizing_of(call.operation.value, len(call.images))


def _fitted(call: ImageCall, entry: CatalogModel, intent: Intent, size: SizeChoice) -> Fitted:
    params = call.params
    colour = colour_of(params.get("background"))
    # Models of these kinds make exactly the pixels that they are asked for; of others they are seen.
    made_exactly = isinstance(sizing_of(call, entry), FreeSizing | ListedSizing)
    exact = serve_fit(params.get("fit"), intent.pixels, size.pixels if made_exactly else None)
    formats = serve_format(params, entry, alpha=colour is not None)
    # A colour is seen where transparency has to go, and around a picture that is padded.
    shows = formats.convert_to == "jpeg" or exact.fit == "contain"
    made = formats.sent.get("output_format")
    batches = batches_of(call.n, made, entry)
    finish = _finish(exact, formats.convert_to, formats.compression, colour if shows else None)
    quality = serve_quality(params.get("quality"), entry)
    background = serve_background(params.get("background"), entry, shows=shows)
    extras = serve_extras(params, entry, call.operation, made)
    stream = serve_stream(params, entry, made, n=max(batches), whole=finish is not None)
    sent = {
        **({"n": params["n"]} if "n" in params else {}),
        **size.fields,
        **quality.fields,
        **background.fields,
        **formats.sent,
        **extras.fields,
        **stream.fields,
    }
    changes = (
        *call.adjusted,
        *(Adjustment(name, value, How.IGNORED) for name, value, _ in intent.ignored),
        *input_adjustments(call, entry),
        *mask_adjustments(call, entry),
        *exact.adjustments,
        *quality.adjustments,
        *background.adjustments,
        *formats.adjustments,
        *_parallel(call.n, batches),
        *stream.adjustments,
        *extras.adjustments,
    )
    return Fitted(
        call=replace(call, params=_in_order_of(params, sent)),
        size=size,
        batches=batches,
        adjustments=changes,
        finish=finish,
    )


def _input_ratio(call: ImageCall) -> Fraction | None:
    """Width over height of the first picture of an edit, where it has been seen."""
    if call.operation is not Operation.EDIT or not call.inputs or not call.images:
        return None
    pixels = call.inputs[0].pixels
    return Fraction(*pixels) if pixels else None


def _as_asked(size: SizeChoice, params: Mapping[str, object], changes: Sequence[Adjustment]) -> SizeChoice:
    """``requested`` is what the caller said, also where a default took the place of nothing or ``auto``."""
    said = {change.field: change.was for change in changes if change.field in SIZE_FIELDS}
    if not said:
        return size
    return replace(size, requested=size_intent({**params, **said}).requested)


def _parallel(n: int, batches: tuple[int, ...]) -> tuple[Adjustment, ...]:
    return (adjusted("n", n, How.EMULATED, batches_text(batches)),) if len(batches) > 1 else ()


def _finish(
    exact: Delivered, convert_to: str | None, compression: int | None, colour: str | None
) -> Finish | None:
    finish = Finish(convert_to, compression, exact.pixels, exact.fit, colour)
    return None if finish == Finish() else finish


def _in_order_of(asked: Mapping[str, object], sent: Mapping[str, object]) -> dict[str, object]:
    """Fields in the caller's order, so that what is served as asked is also sent as asked."""
    ordered = {name: sent[name] for name in asked if name in sent}
    return {**ordered, **sent}
