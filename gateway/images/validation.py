"""OpenAI's validation of an image request, in OpenAI's order and words.

Order where several things are wrong: model (the caller of this module), unknown keys, prompt, images, n,
then the rest as it was sent. What OpenAI would refuse and the gateway can serve is let through:
``response_format: b64_json``, pictures that an SDK sends as raw bytes, ``moderation`` on forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from config.catalog import CatalogModel
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.combinations import check_combinations
from gateway.images.fields import (
    BY_OPERATION,
    PROMPT_LENGTH,
    Field,
    Kind,
    is_lenient,
)
from gateway.images.inputs import check_file, check_files, check_ref, check_refs
from gateway.images.raw import Encoding, RawRequest
from gateway.images.values import checked, from_text
from gateway.images.wording import (
    duplicate,
    empty_string,
    got_instead,
    invalid_value,
    missing,
    not_a_choice,
    refused_by_service,
    string_too_long,
    unknown_parameter,
    unsupported_by_model,
    wrong_type,
)
from providers.base import InputImage, Operation

UnknownFields = Literal["refuse", "forward", "drop"]

_OVERLAYS = ("mask", "markup")
_PICTURES = {
    (Operation.GENERATE, Encoding.JSON): (),
    (Operation.GENERATE, Encoding.MULTIPART): (),
    (Operation.EDIT, Encoding.JSON): ("images", *_OVERLAYS),
    (Operation.EDIT, Encoding.MULTIPART): ("image", *_OVERLAYS),
}
_ELSEWHERE = {
    (Encoding.JSON, "image"): "For application/json on /v1/images/edits, use 'images' (array).",
    (Encoding.MULTIPART, "images"): "For multipart/form-data use 'image' or 'image[]'.",
}
"""Names of the other encoding of edits, and what OpenAI says of them."""

_ALWAYS = ("model", "prompt", "response_format")


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
    entry: CatalogModel,
    defaults: Mapping[str, object],
    unknown: UnknownFields,
) -> ImageCall:
    """The call that ``raw`` describes, or ``InvalidRequest``. ``name`` is the model as the caller wrote it,
    ``entry`` what it takes, ``defaults`` what fills the fields that the caller left out."""
    if raw.operation.value not in entry.operations:
        raise refused_by_service(
            "model", f"The model '{name}' does not serve /v1/images/{raw.operation.value}."
        )
    fields = _known_fields(raw, entry, unknown)
    prompt = _prompt(raw)
    images, overlays = _pictures(raw, name, entry)
    params = _params(raw, fields, name, entry)
    params = {**{key: value for key, value in defaults.items() if key not in params}, **params}
    if not is_lenient(entry):
        check_combinations(params, has_mask="mask" in overlays)
    return ImageCall(
        operation=raw.operation,
        model=name,
        prompt=prompt,
        params=params,
        images=tuple(images),
        mask=overlays.get("mask"),
        markup=overlays.get("markup"),
    )


def _known_fields(raw: RawRequest, entry: CatalogModel, unknown: UnknownFields) -> dict[str, object]:
    """The fields beyond model, prompt and pictures, ``n`` first; refuses names that nobody knows."""
    table = BY_OPERATION[raw.operation]
    pictures = _PICTURES[raw.operation, raw.encoding]
    strict = unknown == "refuse" and not is_lenient(entry)
    keep = unknown == "forward" or (unknown == "refuse" and is_lenient(entry))
    found: dict[str, object] = {}
    for key, value in raw.fields.items():
        if key in table:
            found[key] = value
        elif key in _ALWAYS:
            continue
        elif key in pictures:
            if raw.encoding is Encoding.MULTIPART:
                raise got_instead(key, "a file (a part with a file name)", "a string")
        elif raw.operation is Operation.EDIT and (raw.encoding, key) in _ELSEWHERE:
            raise _misplaced(raw, key)
        elif strict:
            raise unknown_parameter(key, (*table, *_ALWAYS, *pictures))
        elif keep:
            found[key] = value
    for file in raw.files:
        if file.part in pictures:
            continue
        if file.part in table or file.part in _ALWAYS:
            kind = table[file.part].kind if file.part in table else Kind.STRING
            raise got_instead(file.part, kind, "a file")
        if (raw.encoding, file.part) in _ELSEWHERE:
            raise _misplaced(raw, file.part)
        raise unknown_parameter(file.part, pictures)
    return {"n": found["n"], **found} if "n" in found else found


def _misplaced(raw: RawRequest, key: str) -> InvalidRequest:
    advice = _ELSEWHERE[raw.encoding, key]
    return InvalidRequest(f"Unknown parameter: '{key}'. {advice}", param=key, code="invalid_value")


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


def _pictures(
    raw: RawRequest, name: str, entry: CatalogModel
) -> tuple[list[InputImage], dict[str, InputImage]]:
    """The input pictures in order, and the mask or markup by name."""
    if raw.operation is not Operation.EDIT:
        return [], {}
    if raw.encoding is Encoding.JSON:
        if "images" not in raw.fields:
            raise missing("images")
        images = check_refs(raw.fields["images"], entry)
        given: dict[str, InputImage] = {
            overlay: check_ref(raw.fields[overlay], overlay, entry)
            for overlay in _OVERLAYS
            if raw.fields.get(overlay) is not None
        }
    else:
        images = list(check_files([file for file in raw.files if file.part == "image"], entry))
        given = {}
        for file in raw.files:
            if file.part in given:
                raise duplicate(file.part)
            if file.part in _OVERLAYS:
                given[file.part] = check_file(file, file.part, ("png",), entry)
    for overlay in given:
        if not getattr(entry.inputs, overlay) and not is_lenient(entry):
            raise unsupported_by_model(overlay, name)
    if len(given) == len(_OVERLAYS) and not is_lenient(entry):
        raise invalid_value("markup", "'markup' cannot be combined with 'mask'. Send one of them.")
    return images, given


def _params(
    raw: RawRequest, fields: Mapping[str, object], name: str, entry: CatalogModel
) -> dict[str, object]:
    table = BY_OPERATION[raw.operation]
    form = raw.encoding is Encoding.MULTIPART
    params: dict[str, object] = {}
    for key, value in fields.items():
        if value is None:
            continue
        field = table.get(key)
        if field is None:
            params[key] = value
        elif not is_lenient(entry) and key not in entry.fields:
            raise unsupported_by_model(key, name)
        else:
            params[key] = checked(field, key, from_text(field, key, value) if form else value, name, entry)
    _response_format(raw, params, entry)
    return params


def _response_format(raw: RawRequest, params: dict[str, object], entry: CatalogModel) -> None:
    """Pictures are always answered as ``b64_json``, so asking for that changes nothing."""
    if "response_format" not in raw.fields:
        return
    wanted = raw.fields["response_format"]
    if is_lenient(entry):
        if wanted is not None:
            params["response_format"] = checked(
                Field("response_format", Kind.STRING), "response_format", wanted, entry.id, entry
            )
    elif wanted is None:
        raise unknown_parameter("response_format")
    elif wanted == "url":
        raise InvalidRequest(
            "This version of the gateway does not answer with URLs. Leave 'response_format' out or send "
            "'b64_json'.",
            param="response_format",
            code="invalid_value",
        )
    elif wanted != "b64_json":
        if not isinstance(wanted, str):
            raise wrong_type("response_format", "a string", wanted)
        raise not_a_choice("response_format", wanted, ("b64_json",))
