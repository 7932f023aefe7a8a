"""Where the input pictures of a request stand, in each encoding, and in which order.

OpenAI takes files in forms (``image``, ``image[]``) and objects in JSON (``images``). Besides, and not in
strict mode: JSON's ``image``, a form's ``images``, and a string (https URL, data URL or base64) in place of
a file or an object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gateway.errors import InvalidRequest
from gateway.images.inputs import check_file, check_ref, check_text
from gateway.images.raw import Encoding, RawFile, RawRequest
from gateway.images.wording import duplicate, empty_array, got_instead, missing, wrong_type
from providers.base import InputImage, Operation

OVERLAYS = ("mask", "markup")
PICTURES = ("image", "images", *OVERLAYS)
"""Every name of a picture in any encoding."""

_OWN = {Encoding.JSON: "images", Encoding.MULTIPART: "image"}
"""OpenAI's name of the input pictures."""

_ELSEWHERE = {
    Encoding.JSON: "For application/json on /v1/images/edits, use 'images' (array).",
    Encoding.MULTIPART: "For multipart/form-data use 'image' or 'image[]'.",
}
"""What OpenAI says of the other encoding's name."""


class Named(NamedTuple):
    """A picture, and what its request calls it."""

    label: str
    picture: InputImage


def check_places(raw: RawRequest, *, strict: bool) -> None:
    """Whether every picture stands where its operation and encoding have one. Raises ``InvalidRequest``."""
    names = dict.fromkeys([*raw.fields, *(file.part for file in raw.files)])
    for name in names:
        if name not in PICTURES:
            continue
        if raw.operation is not Operation.EDIT:
            raise InvalidRequest(
                f"Unknown parameter: '{name}'. Pictures go to /v1/images/edits.",
                param=name,
                code="unknown_parameter",
            )
        if name in ("image", "images") and name != _OWN[raw.encoding] and strict:
            raise _misplaced(raw, name)
        is_text = raw.encoding is Encoding.MULTIPART and name in raw.fields
        if is_text and strict:
            raise got_instead(name, "a file (a part with a file name)", "a string")
    if "image" in names and "images" in names:
        raise _misplaced(raw, "images" if raw.encoding is Encoding.MULTIPART else "image")


def read_pictures(raw: RawRequest, *, strict: bool) -> tuple[list[Named], dict[str, Named]]:
    """The input pictures in order, and the mask or markup by name, after :func:`check_places`."""
    if raw.operation is not Operation.EDIT:
        return [], {}
    own = _OWN[raw.encoding]
    other = "image" if own == "images" else "images"
    name = other if other in raw.fields or any(file.part == other for file in raw.files) else own
    if raw.encoding is Encoding.JSON:
        if name not in raw.fields:
            raise missing(own)
        images = _listed(raw.fields[name], name, strict)
    else:
        images = list(_in_form(raw, name))
        if not images:
            raise missing(own)
    overlays = {overlay: found for overlay in OVERLAYS if (found := _overlay(raw, overlay, strict))}
    return images, overlays


def _misplaced(raw: RawRequest, name: str) -> InvalidRequest:
    return InvalidRequest(
        f"Unknown parameter: '{name}'. {_ELSEWHERE[raw.encoding]}", param=name, code="invalid_value"
    )


def _listed(value: object, name: str, strict: bool) -> list[Named]:
    """The pictures of a JSON body: a list of them, or one."""
    if not isinstance(value, list):
        if strict or not isinstance(value, str | dict):
            raise wrong_type(name, "an array of objects", value)
        return [_one(value, name)]
    if not value:
        raise empty_array(name)
    one = _object if strict else _one
    return [one(item, f"{name}[{place}]") for place, item in enumerate(value)]


def _one(value: object, param: str) -> Named:
    return _text(value, param) if isinstance(value, str) else _object(value, param)


def _object(value: object, param: str) -> Named:
    return Named(f"{param}.image_url", check_ref(value, param))


def _text(text: str, label: str) -> Named:
    return Named(label, check_text(text, label))


def _file(file: RawFile, label: str) -> Named:
    return Named(label, check_file(file, label))


def _in_form(raw: RawRequest, name: str) -> Iterator[Named]:
    """Files and texts of one name in the order in which they stood."""
    files = [file for file in raw.files if file.part == name]
    texts = _texts(raw.fields.get(name), name)
    many = len(files) + len(texts) > 1
    done = place = 0
    for file in files:
        for text in texts[done : file.after]:
            yield _text(text, _label(name, place, many))
            place += 1
        done = max(done, file.after)
        yield _file(file, _label(name, place, many))
        place += 1
    for text in texts[done:]:
        yield _text(text, _label(name, place, many))
        place += 1


def _label(name: str, place: int, many: bool) -> str:
    return f"{name}[{place}]" if many else name


def _texts(value: object, name: str) -> Sequence[str]:
    """The texts of ``image``, ``image[]`` or ``image[0]``."""
    if isinstance(value, Mapping) and all(key.isdecimal() for key in value):
        value = [value[key] for key in sorted(value, key=int)]
    texts: list[str] = []
    for text in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(text, str):
            raise got_instead(name, "a file or a string", "an object")
        texts.append(text)
    return texts


def _overlay(raw: RawRequest, name: str, strict: bool) -> Named | None:
    files: list[RawFile] = [file for file in raw.files if file.part == name]
    value = raw.fields.get(name)
    if len(files) + (value is not None) > 1:
        raise duplicate(name)
    if files:
        return _file(files[0], name)
    if value is None:
        return None
    if raw.encoding is Encoding.MULTIPART and not isinstance(value, str):
        raise got_instead(name, "a file or a string", "an array or an object")
    return _object(value, name) if strict else _one(value, name)
