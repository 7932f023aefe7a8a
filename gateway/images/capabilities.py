"""What a target must be able to do before it is asked: nothing here can be mapped, emulated or left out.

The sentences are OpenAI's where it has one. Models that nobody has published facts about can do anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from config.catalog import CatalogModel
from config.inputs import Inputs
from gateway.errors import InvalidRequest
from gateway.images.backgrounds import can_be_transparent
from gateway.images.batches import batches_of
from gateway.images.call import UNSEEN, ImageCall, InputSize
from gateway.images.extras import is_taken
from gateway.images.fields import is_lenient
from gateway.images.fitted import Unfit
from gateway.images.formats import CONVERTIBLE, can_make
from gateway.images.inputs import media_type_of, param_of
from gateway.images.wording import (
    array_too_long,
    not_a_choice,
    quoted,
    refused_by_service,
    unsupported_by_model,
)
from providers.base import InputFile, InputImage, Operation

UNSUPPORTED = "unsupported_value"
"""The ``code`` of what other models can do and this one cannot."""


def lacking(call: ImageCall, entry: CatalogModel) -> Unfit | None:
    """The first capability that ``entry`` lacks for ``call``, in the order in which OpenAI judges; None where
    it has all."""
    return next(_lacks(call, entry), None)


def _lacks(call: ImageCall, entry: CatalogModel) -> Iterator[Unfit]:
    if call.operation.value not in entry.operations:
        route = f"/v1/images/{call.operation.value}"
        yield Unfit(
            call.operation.value,
            refused_by_service("model", f"The model '{call.model}' does not serve {route}."),
        )
    if call.stream and call.n > 1:
        yield from _stream_lacks(call, entry)
    if is_lenient(entry):
        yield from _vector_lacks(call, entry)
        return
    if call.operation is Operation.EDIT:
        yield from _input_lacks(call, entry)
    yield from _need_lacks(call, entry)
    background, output_format = call.params.get("background"), call.params.get("output_format")
    if background == "transparent" and not can_be_transparent(entry):
        message = "Transparent background is not supported for this model."
        yield Unfit("transparent", _refusal(call, "background", message), tuple(entry.backgrounds))
    if not can_make(entry, output_format):
        converted = () if call.strict else CONVERTIBLE
        formats = tuple(dict.fromkeys((*entry.output_formats, *converted)))
        refusal = (
            not_a_choice("output_format", str(output_format), formats)
            if formats
            else unsupported_by_model("output_format", call.model)
        )
        yield Unfit("output_format", refusal, formats)


def _stream_lacks(call: ImageCall, entry: CatalogModel) -> Iterator[Unfit]:
    """A stream is one upstream call: several side by side would be told apart by nobody, and one that fails
    amid the others' events could not be made good."""
    most = batches_of(call.n, call.params.get("output_format"), entry)[0]
    if most < call.n:
        pictures = "one picture" if most == 1 else f"{most} pictures"
        message = (
            f"A stream of this model holds at most {pictures}. Ask for 'n': {most}, or without 'stream'."
        )
        yield Unfit("n", _refusal(call, "n", message), (str(most),))


def _input_lacks(call: ImageCall, entry: CatalogModel) -> Iterator[Unfit]:
    inputs = entry.inputs
    if len(call.images) > inputs.max_images:
        name = call.label(0).partition("[")[0]
        yield Unfit("inputs", array_too_long(name, inputs.max_images, len(call.images)))
    if len(call.images) < inputs.min_images:
        name = call.label(0).partition("[")[0]
        message = f"The model needs {inputs.min_images} input pictures, and {len(call.images)} came."
        yield Unfit("inputs", _refusal(call, name, message))
    if inputs.mask is not None and inputs.mask.required and call.mask is None:
        message = "The model needs a 'mask': where it is transparent, the picture is changed."
        yield Unfit("mask", _refusal(call, "mask", message))
    sizes = list(call.inputs) + [UNSEEN] * (len(call.images) + 2 - len(call.inputs))
    for place, (image, seen) in enumerate(zip(call.images, sizes, strict=False)):
        yield from _picture_lacks(call, inputs, image, seen, call.label(place))
    overlays = [("mask", call.mask), ("markup", call.markup)]
    given = [(overlay, picture) for overlay, picture in overlays if picture is not None]
    for place, (overlay, picture) in enumerate(given, len(call.images)):
        if not getattr(inputs, overlay):
            yield Unfit(overlay, unsupported_by_model(overlay, call.model))
        png_alone = inputs.model_copy(update={"formats": ["png"]})
        yield from _picture_lacks(call, png_alone, picture, sizes[place], call.label(place))
    total = sum(picture.size for picture in _every(call) if isinstance(picture, InputFile))
    if inputs.max_total_bytes is not None and total > inputs.max_total_bytes:
        yield Unfit(
            "input_bytes",
            InvalidRequest(
                f"The input pictures have {total} bytes together, which are more than the "
                f"{inputs.max_total_bytes} that the model takes in one edit.",
                param=param_of(call.label(0)),
                code="file_too_large",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            ),
        )
    if call.mask is not None and call.params.get("output_format") == "gif" and "gif" in entry.output_formats:
        yield Unfit("mask", _refusal(call, "mask", "GIF output takes no mask."))
    if call.mask is not None and call.markup is not None:
        message = "'markup' cannot be combined with 'mask'. Send one of them."
        yield Unfit("markup", _refusal(call, "markup", message))


def _every(call: ImageCall) -> Iterator[InputImage]:
    """The pictures of an edit, mask and markup among them."""
    yield from call.images
    yield from filter(None, (call.mask, call.markup))


def _need_lacks(call: ImageCall, entry: CatalogModel) -> Iterator[Unfit]:
    """Fields that say what is to be done, without which there is nothing to do."""
    given = [
        name for name, value in call.params.items() if value and is_taken(name, value, entry, call.operation)
    ]
    for name in entry.needs:
        if name not in given:
            yield Unfit("fields", _refusal(call, name, f"The model needs '{name}'."), (name,))
    names = entry.needs_one_of
    if names and not any(name in given for name in names):
        message = f"The model needs one of {quoted(names)} with a value other than 0."
        yield Unfit("fields", _refusal(call, names[0], message), tuple(names))


def _vector_lacks(call: ImageCall, entry: CatalogModel) -> Iterator[Unfit]:
    """SVG is a program and no raster: it is not passed on to a model of which nothing else is known."""
    if "svg" not in entry.inputs.formats and any(seen.format == "svg" for seen in call.inputs):
        message = "An SVG is not taken as an input picture. Send it as PNG, JPEG or WebP."
        refusal = InvalidRequest(message, param="image", code="unsupported_image")
        yield Unfit("input_format", refusal, tuple(entry.inputs.formats))


def _picture_lacks(
    call: ImageCall, inputs: Inputs, image: InputImage, seen: InputSize, label: str
) -> Iterator[Unfit]:
    param = param_of(label)
    if isinstance(image, InputFile) and image.size > inputs.max_bytes:
        yield Unfit(
            "input_bytes",
            InvalidRequest(
                f"Invalid file '{label}': {image.size} bytes are more than the {inputs.max_bytes} that "
                "the model takes.",
                param=param,
                code="file_too_large",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            ),
        )
    formats = inputs.formats
    if formats and seen.format is not None and seen.format not in formats:
        found = media_type_of(seen.format) if seen.format else "application/octet-stream"
        supported = sorted(media_type_of(name) for name in formats)
        yield Unfit(
            "input_format",
            InvalidRequest(
                f"Invalid file '{label}': unsupported mimetype ('{found}'). "
                f"Supported file formats are {quoted(supported)}.",
                param=param,
                code="unsupported_file_mimetype" if call.strict else "unsupported_image",
                noted={"picture_type": seen.format or "unknown"},
            ),
            tuple(formats),
        )


def _refusal(call: ImageCall, param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="invalid_value" if call.strict else UNSUPPORTED)
