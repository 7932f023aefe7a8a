"""Request bodies in OpenAI's dialect: JSON for generations, multipart for edits, JSON for edits by URL.

Wire facts: one file goes as ``image``, several as repeated ``image[]``; nested values take brackets
(``svg[reasoning][effort]``); a None is left out. Pictures stay where they lie until
the transport asks for them (upload.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from providers.base import ImageRequest, InputFile, InputImage, InputRef, Operation
from providers.form_body import form_body
from providers.json_body import image_url, json_body
from providers.upload import Upload

_JSON_ONLY = ("moderation",)
"""Fields of edits that OpenAI documents for JSON and not for forms."""


async def body_of(request: ImageRequest, params: Mapping[str, object]) -> Upload:
    """``params`` are the fields to send beside prompt and pictures (``model`` among them where it belongs
    into the body). Files go as multipart, unless a picture is given by URL or a field is one that OpenAI
    does not take in forms: then everything is JSON."""
    if request.operation is Operation.GENERATE:
        return await json_body({**params, "prompt": request.prompt})
    by_url = any(isinstance(picture, InputRef) for picture in _pictures(request))
    if by_url or any(params.get(name) is not None for name in _JSON_ONLY):
        return await _json_edit(request, params)
    return _multipart_edit(request, params)


def _pictures(request: ImageRequest) -> Iterator[InputImage]:
    yield from request.images
    yield from (picture for picture in (request.mask, request.markup) if picture is not None)


async def _json_edit(request: ImageRequest, params: Mapping[str, object]) -> Upload:
    fields = {name: value for name, value in params.items() if value is not None}
    pictures = {
        name: {"image_url": image_url(picture)}
        for name, picture in (("mask", request.mask), ("markup", request.markup))
        if picture is not None
    }
    images = [{"image_url": image_url(picture)} for picture in request.images]
    weight = sum(len(each.image_url) for each in _pictures(request) if isinstance(each, InputRef))
    return await json_body({**fields, "prompt": request.prompt, "images": images, **pictures}, weight=weight)


def _multipart_edit(request: ImageRequest, params: Mapping[str, object]) -> Upload:
    image = "image" if len(request.images) == 1 else "image[]"
    files: list[tuple[str, InputImage | None]] = [(image, picture) for picture in request.images]
    files += [("mask", request.mask), ("markup", request.markup)]
    return form_body(
        _form_fields({**params, "prompt": request.prompt}),
        [(name, picture) for name, picture in files if isinstance(picture, InputFile)],
    )


def _form_fields(fields: Mapping[str, object], inside: str | None = None) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        yield from _form_value(name if inside is None else f"{inside}[{name}]", value)


def _form_value(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        yield from _form_fields(value, name)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _form_value(f"{name}[]", item)
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif value is not None:
        yield name, str(value)
