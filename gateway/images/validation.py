"""A request's words, judged in OpenAI's order and sentences, as an ``ImageCall`` in the caller's own terms.

Order where several things are wrong: model (the caller of this module), unknown keys, prompt, images, n,
then the rest as it was sent. Judged here is what no model could serve: types, bounds, words that nobody
knows. What a given model takes of the rest is decided for each target (fitting.py), in strict mode with
OpenAI's refusals (strictness.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from config.catalog import CatalogModel
from config.sizing import Sizing
from gateway.errors import InvalidRequest
from gateway.images.call import Delivery, ImageCall
from gateway.images.combinations import check_impossible
from gateway.images.defaults import fill, size_intent
from gateway.images.exact_delivery import check_deliverable
from gateway.images.fields import (
    BY_OPERATION,
    FIELDS,
    GATEWAYS_OWN,
    KNOWN,
    PROMPT_LENGTH,
    Kind,
    extension_fields,
    is_lenient,
)
from gateway.images.fitted import Adjustment, How
from gateway.images.input_sizes import input_sizes
from gateway.images.pictures import PICTURES, Named, check_places, read_pictures
from gateway.images.raw import Encoding, RawRequest
from gateway.images.size_wording import check_size
from gateway.images.values import checked, from_text
from gateway.images.wording import (
    empty_string,
    got_instead,
    missing,
    not_a_choice,
    string_too_long,
    unknown_parameter,
    wrong_type,
)
from providers.base import InputImage, Operation

UnknownFields = Literal["refuse", "forward", "drop"]
ResponseFormat = Literal["b64_json", "url"]

_ALWAYS = ("model", "prompt", "response_format")
_RESPONSE_FORMATS: tuple[ResponseFormat, ...] = ("url", "b64_json")
_BY_URL = ("dall-e-2", "dall-e-3")
"""Models whose callers expect links where they ask for nothing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a request is read: ``known`` are all the fields that some model takes, ``unknown`` what becomes of
    others; ``default_format`` is what an absent ``response_format`` means, ``report`` whether the body is to
    tell what was changed."""

    strict: bool = False
    unknown: UnknownFields = "refuse"
    known: Collection[str] = frozenset(KNOWN)
    default_format: ResponseFormat = "b64_json"
    report: bool = False


def model_name(raw: RawRequest, default: str | None) -> str:
    """The model that the caller named, or ``default`` where it named none. Raises ``InvalidRequest``."""
    name = raw.fields.get("model")
    if name is None and default is not None:
        return default
    if "model" not in raw.fields:
        raise missing("model")
    if not isinstance(name, str):
        raise wrong_type("model", "a string", name)
    return name


def validate(
    raw: RawRequest,
    *,
    name: str,
    entries: Sequence[CatalogModel],
    defaults: Mapping[str, object],
    reading: Reading,
) -> ImageCall:
    """The call that ``raw`` describes, or ``InvalidRequest``. ``name`` is the model as the caller wrote it,
    ``entries`` describe what may serve it (the first is the one whose words refusals use), ``defaults`` fill
    the fields that the caller left out."""
    fields, adjusted = _known_fields(raw, entries, reading)
    prompt = _prompt(raw)
    images, overlays = read_pictures(raw, strict=reading.strict)
    asked = _params(raw, fields, entries)
    delivery = Delivery(_response_format(raw, name, entries, reading), reading.report)
    own = entries[0].sizing_of(raw.operation.value, len(images))
    _check_size(asked, own, strict=reading.strict)
    params, filled = fill(asked, defaults)
    if not all(is_lenient(entry) for entry in entries):
        check_impossible(params)
    if not reading.strict:
        check_deliverable(params)
    call = ImageCall(
        operation=raw.operation,
        model=name,
        prompt=prompt,
        params=params,
        images=tuple(image.picture for image in images),
        mask=_picture(overlays.get("mask")),
        markup=_picture(overlays.get("markup")),
        labels=tuple(named.label for named in (*images, *overlays.values())),
        strict=reading.strict,
        delivery=delivery,
        adjusted=(*adjusted, *filled),
    )
    return replace(call, inputs=input_sizes(call, raw.files))


def _picture(named: Named | None) -> InputImage | None:
    return named.picture if named is not None else None


def _known_fields(
    raw: RawRequest, entries: Sequence[CatalogModel], reading: Reading
) -> tuple[dict[str, object], list[Adjustment]]:
    """The fields beyond model, prompt and pictures, ``n`` first; refuses names that nobody knows."""
    check_places(raw, strict=reading.strict)
    known = _names(raw, entries, reading)
    found: dict[str, object] = {}
    dropped: list[Adjustment] = []
    for key, value in raw.fields.items():
        if key in _ALWAYS or key in PICTURES:
            continue
        if key in known or reading.unknown == "forward":
            found[key] = value
        elif reading.unknown == "drop" and key not in reading.known:
            dropped.append(Adjustment(key, None, How.DROPPED))
        else:
            raise unknown_parameter(key, (*known, *_ALWAYS, *PICTURES))
    for file in raw.files:
        if file.part in PICTURES:
            continue
        if file.part in known or file.part in _ALWAYS:
            kind = KNOWN[file.part].kind if file.part in KNOWN else Kind.STRING
            raise got_instead(file.part, kind, "a file")
        raise unknown_parameter(file.part, PICTURES)
    return ({"n": found["n"], **found} if "n" in found else found), dropped


def _names(raw: RawRequest, entries: Sequence[CatalogModel], reading: Reading) -> Collection[str]:
    """The fields that may be named: all that are known, in strict mode those of OpenAI and of the model."""
    if not reading.strict or any(is_lenient(entry) for entry in entries):
        return reading.known
    own = set(BY_OPERATION[raw.operation])
    if raw.operation is Operation.EDIT and raw.encoding is Encoding.MULTIPART:
        # OpenAI takes it in JSON edits alone.
        own.discard("moderation")
    taken = {name for entry in entries for name in entry.fields if name not in FIELDS}
    return own | taken | set(GATEWAYS_OWN)


def _prompt(raw: RawRequest) -> str:
    if "prompt" not in raw.fields:
        raise missing("prompt")
    prompt = raw.fields["prompt"]
    if not isinstance(prompt, str):
        raise wrong_type("prompt", "a string", prompt)
    if not prompt:
        raise empty_string("prompt")
    if len(prompt) > PROMPT_LENGTH:
        raise string_too_long("prompt", PROMPT_LENGTH, len(prompt))
    return prompt


def _params(
    raw: RawRequest, fields: Mapping[str, object], entries: Sequence[CatalogModel]
) -> dict[str, object]:
    """The values in JSON types; a null is absence."""
    form = raw.encoding is Encoding.MULTIPART
    table = {**extension_fields(entries), **KNOWN}
    params: dict[str, object] = {}
    for key, value in fields.items():
        if value is None:
            continue
        field = table.get(key)
        if field is None:
            params[key] = value
        else:
            params[key] = checked(field, key, from_text(field, key, value) if form else value, entries)
    return params


def _check_size(params: Mapping[str, object], sizing: Sizing, *, strict: bool) -> None:
    """Raises for what is no size, ratio or tier; in strict mode in the words of the model."""
    try:
        size_intent(params)
    except InvalidRequest as refusal:
        size = params.get("size")
        if strict and refusal.param == "size" and isinstance(size, str):
            check_size(size, sizing)
        raise


def _response_format(
    raw: RawRequest, name: str, entries: Sequence[CatalogModel], reading: Reading
) -> ResponseFormat:
    """Absent and null mean the default. OpenAI's current models have no such field, which strict mode says,
    except where links are the rule (Lumenfall's callers)."""
    usual = "url" if name in _BY_URL else reading.default_format
    if "response_format" not in raw.fields:
        return usual
    offered = any(is_lenient(entry) or "response_format" in entry.fields for entry in entries)
    if reading.strict and not offered and usual == "b64_json":
        raise unknown_parameter("response_format")
    wanted = raw.fields["response_format"]
    if wanted is None:
        return usual
    if not isinstance(wanted, str):
        raise wrong_type("response_format", Kind.STRING, wanted)
    found = next((known for known in _RESPONSE_FORMATS if known == wanted), None)
    if found is None:
        raise not_a_choice("response_format", wanted, _RESPONSE_FORMATS)
    return found
