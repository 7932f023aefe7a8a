"""``:predict``, the wire of Imagen: a call in its words, and its answer in OpenAI's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping

from providers.base import Certainty, ImageRequest, InputFile, InputImage, Kind, Operation, ProviderError
from providers.google.safety import details
from providers.json_body import Inline, json_body
from providers.splicing import Path, as_openai
from providers.unsendable import unsendable
from providers.upload import Upload


async def call_body(request: ImageRequest) -> Upload:
    """What is posted. Raises :class:`ProviderError` (not_sent)."""
    params = request.params
    instance: dict[str, object] = {"prompt": request.prompt}
    output_format = params.get("output_format")
    output = {
        "mimeType": f"image/{output_format}" if output_format else None,
        "compressionQuality": params.get("output_compression"),
    }
    parameters = {
        # Its default is four in some of Google's samples.
        "sampleCount": request.n,
        "aspectRatio": params.get("aspect_ratio"),
        "sampleImageSize": params.get("resolution"),
        "negativePrompt": params.get("negative_prompt"),
        "guidanceScale": params.get("guidance_scale"),
        "personGeneration": params.get("person_generation"),
        "outputOptions": {name: value for name, value in output.items() if value is not None} or None,
        "includeRaiReason": True,
    }
    if request.operation is Operation.EDIT:
        instance["referenceImages"] = list(_references(request))
        masked = request.mask is not None
        parameters["editMode"] = "EDIT_MODE_INPAINT_INSERTION" if masked else "EDIT_MODE_DEFAULT"
    given = {name: value for name, value in parameters.items() if value is not None}
    return await json_body({"instances": [instance], "parameters": given})


def _references(request: ImageRequest) -> Iterator[dict[str, object]]:
    for number, picture in enumerate(request.images, 1):
        yield {"referenceType": "REFERENCE_TYPE_RAW", "referenceId": number, "referenceImage": _file(picture)}
    if request.mask is not None:
        yield {
            "referenceType": "REFERENCE_TYPE_MASK",
            "referenceId": len(request.images) + 1,
            "referenceImage": _file(request.mask),
            "maskImageConfig": {"maskMode": "MASK_MODE_USER_PROVIDED"},
        }


def _file(picture: InputImage) -> dict[str, object]:
    if not isinstance(picture, InputFile):
        raise unsendable("Imagen models take pictures as files, not as links.")
    return {"bytesBase64Encoded": Inline(picture), "mimeType": picture.content_type}


def spoken(body: AsyncIterator[bytes], *, provider: str) -> AsyncIterator[bytes]:
    """The bytes of an ``ImagesResponse``; slots that were filtered are missing in it. Raises
    :class:`ProviderError` where all were."""

    def rest(document: dict[str, object], pictures: int) -> Mapping[str, object]:
        listed = document.get("predictions")
        slots = [slot for slot in listed if isinstance(slot, dict)] if isinstance(listed, list) else []
        if not pictures:
            raise _without_picture(slots, provider)
        kinds = {str(slot["mimeType"]) for slot in slots if "mimeType" in slot}
        return {"output_format": kinds.pop().removeprefix("image/")} if len(kinds) == 1 else {}

    return as_openai(body, _is_picture, rest, provider=provider)


def _without_picture(slots: list[dict[str, object]], provider: str) -> ProviderError:
    said = " ".join(str(slot["raiFilteredReason"]) for slot in slots if "raiFilteredReason" in slot)
    if said:
        text = f"Provider '{provider}' filtered every picture."
        return ProviderError(
            Kind.MODERATION,
            Certainty.ANSWERED,
            text,
            status=200,
            code="rai_filtered",
            details=details("output", {}, "rai_filtered", said),
        )
    return ProviderError(
        Kind.EMPTY, Certainty.ANSWERED, f"Provider '{provider}' made no picture.", status=200
    )


def _is_picture(path: Path) -> bool:
    """``predictions[i].bytesBase64Encoded``."""
    return len(path) == 3 and path[0] == "predictions" and path[2] == "bytesBase64Encoded"
