"""What OpenAI checks in the pictures of an edit: how many, of which type, under which name, how large.

Their contents are not judged, only the type that the part declares or that its file name suggests.
"""

from __future__ import annotations

import base64
import binascii
import io
import mimetypes
import re
from collections.abc import Mapping, Sequence

from PIL import Image

from tests.simulators.forms import FilePart
from tests.simulators.refusals import REFUSALS, refusal
from tests.simulators.wording import MAX_IMAGES, Refused, invalid, missing, too_many, wrong_type

IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
AZURE_TYPES = ("image/jpeg", "image/png")
MAX_FILE = 50 * 10**6
MAX_URL = 20_971_520


def form_images(fields: Mapping[str, object], azure: bool) -> list[tuple[int, int]]:
    if "image" not in fields:
        raise missing("image")
    given = fields["image"]
    parts = given if isinstance(given, list) else [given]
    if len(parts) > MAX_IMAGES:
        raise too_many("image", len(parts))
    allowed = AZURE_TYPES if azure else IMAGE_TYPES
    for index, part in enumerate(parts):
        _file(f"image[{index}]" if isinstance(given, list) else "image", part, allowed)
    sizes = [pixels(part.data) for part in parts if isinstance(part, FilePart)]
    for name in ("mask", "markup"):
        overlay = fields.get(name)
        if overlay is not None:
            _same_pixels(name, _file(name, overlay, ("image/png",)), sizes[0])
    return sizes


def _file(name: str, part: object, allowed: Sequence[str]) -> FilePart:
    if not isinstance(part, FilePart):
        # A part without a file name is text to a form parser, whatever its bytes are.
        raise wrong_type(name, "a file", part)
    declared = (part.content_type or "").partition(";")[0].strip().lower()
    guessed = mimetypes.guess_type(part.filename)[0]
    if declared not in allowed and guessed not in allowed:
        words = [f"'{kind}'" for kind in allowed]
        listed = ", ".join(words[:-1]) + ", and " + words[-1] if len(words) > 2 else " and ".join(words)
        raise Refused(
            refusal(
                400,
                f"Invalid file '{name}': unsupported mimetype ('{declared or 'application/octet-stream'}'). "
                f"Supported file formats are {listed}.",
                param=name.partition("[")[0],
                code="unsupported_file_mimetype",
            )
        )
    if part.size > MAX_FILE:
        raise Refused(REFUSALS["too_large"])
    return part


def json_images(fields: Mapping[str, object]) -> list[tuple[int, int]]:
    if "images" not in fields:
        raise missing("images")
    images = fields["images"]
    if not isinstance(images, list):
        raise wrong_type("images", "an array of objects", images)
    if not images:
        raise Refused(
            refusal(
                400,
                "Invalid 'images': empty array. Expected an array with minimum length 1, but got an empty "
                "array instead.",
                param="images",
                code="empty_array",
            )
        )
    if len(images) > MAX_IMAGES:
        raise too_many("images", len(images))
    sizes = [_reference(f"images[{index}]", image) for index, image in enumerate(images)]
    if "mask" in fields:
        _reference("mask", fields["mask"])
    return sizes


def _reference(name: str, image: object) -> tuple[int, int]:
    if not isinstance(image, dict):
        raise wrong_type(name, "an object", image)
    if len(image.keys() & {"image_url", "file_id"}) != 1 or len(image) != 1:
        raise invalid(name, f"Invalid '{name}': expected exactly one of 'image_url' and 'file_id'.")
    value = next(iter(image.values()))
    if not isinstance(value, str):
        raise wrong_type(f"{name}.{next(iter(image))}", "a string", value)
    if "file_id" in image or value.startswith("https://"):
        return 1024, 1024  # nothing is fetched here
    match = re.match(r"data:(image/[a-z]+);base64,", value)
    if match is None or match[1] not in IMAGE_TYPES or len(value) > MAX_URL:
        raise invalid(f"{name}.image_url", f"Invalid '{name}.image_url': expected a base64 data URL.")
    try:
        return pixels(base64.b64decode(value[match.end() :], validate=True))
    except binascii.Error:
        raise invalid(f"{name}.image_url", f"Invalid '{name}.image_url': invalid base64.") from None


def pixels(data: bytes) -> tuple[int, int]:
    """Width and height; bytes that are no picture count as 1024x1024 (contents are not judged at OpenAI's
    front)."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.size
    except Exception:
        return 1024, 1024


def _same_pixels(name: str, overlay: FilePart, first: tuple[int, int]) -> None:
    try:
        with Image.open(io.BytesIO(overlay.data)) as image:
            if image.size != first:
                raise invalid(name, f"Invalid {name}: its dimensions differ from those of the first image.")
            if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
                raise invalid(name, f"Invalid {name} image format: {name} image missing alpha channel.")
    except (OSError, ValueError):
        return
