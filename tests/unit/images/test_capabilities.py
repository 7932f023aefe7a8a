"""What a target must be able to do: refused by field, in OpenAI's words where it has some."""

from __future__ import annotations

from typing import Any

import pytest

from config.catalog import CatalogModel
from gateway.images.call import ImageCall, InputSize
from gateway.images.fitted import Fitted
from gateway.images.fitting import fit
from providers.base import InputFile, InputRef
from tests.unit.images.asking import FREE, asked, entry_of, fitted, picture, unfit

FILE = picture().file
PNG, GIF, UNKNOWN = InputSize(16, 16, "png"), InputSize(16, 16, "gif"), InputSize(None, None, "")


def entry(**changed: Any) -> CatalogModel:
    return entry_of("gpt-image-2").model_copy(update=changed)


def inputs(**changed: Any) -> CatalogModel:
    return entry(inputs=entry().inputs.model_copy(update=changed))


@pytest.mark.parametrize(
    ("call", "target", "capability", "param", "code"),
    [
        (asked(), entry(operations=["edits"]), "generations", "model", "invalid_value"),
        (asked(images=[FILE]), entry(operations=["generations"]), "edits", "model", "invalid_value"),
        (asked(images=[FILE] * 3), inputs(max_images=2), "inputs", "image", "array_above_max_length"),
        (asked(images=[InputRef("https://a.b/c")] * 3), inputs(max_images=2), "inputs", "images",
         "array_above_max_length"),
        (asked(images=[FILE], mask=FILE), inputs(mask=None), "mask", "mask", "unsupported_parameter"),
        (asked(images=[FILE], markup=FILE), entry(), "markup", "markup", "unsupported_parameter"),
        (asked(images=[FILE], mask=FILE, markup=FILE), inputs(markup=True), "markup", "markup",
         "unsupported_value"),
        (asked(background="transparent"), entry(backgrounds=["opaque"]), "transparent", "background",
         "unsupported_value"),
        (asked(background="transparent"), entry(fields=["n"]), "transparent", "background",
         "unsupported_value"),
        (asked(output_format="svg"), entry(), "output_format", "output_format", "invalid_value"),
        (asked(images=[FILE], mask=FILE, output_format="gif"), entry_of("gpt-image-2.6-flare"), "mask",
         "mask", "unsupported_value"),
    ],
)  # fmt: skip
def test_a_capability_that_is_lacking_is_named_with_its_field(
    call: ImageCall, target: CatalogModel, capability: str, param: str, code: str
) -> None:
    lacking = unfit(call, target)
    assert (lacking.capability, lacking.param, lacking.refusal.code) == (capability, param, code)
    assert lacking.explanation == lacking.refusal.message


def test_transparency_is_refused_in_openais_words() -> None:
    lacking = unfit(asked(background="transparent"), entry(backgrounds=["opaque", "auto"]))
    assert lacking.explanation == "Transparent background is not supported for this model."
    assert lacking.valid == ("opaque", "auto")


OUTPAINT, REPLACE = (f"us.stability.stable-{name}-v1:0" for name in ("outpaint", "image-search-replace"))


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (OUTPAINT, {}, "left"),
        (OUTPAINT, {"left": 0}, "left"),
        (OUTPAINT, {"up": 2001}, "left"),
        (REPLACE, {}, "search_prompt"),
        (REPLACE, {"search_prompt": ""}, "search_prompt"),
    ],
)
def test_a_model_that_needs_a_field_is_not_planned_without_it(
    model: str, fields: dict[str, object], param: str
) -> None:
    """Also where the value is one that would be dropped."""
    lacking = unfit(asked(images=[FILE], **fields), model)
    assert (lacking.capability, lacking.param, lacking.refusal.code) == ("fields", param, "unsupported_value")
    assert param in lacking.explanation


def test_with_it_it_is() -> None:
    assert fitted(asked(images=[FILE], left=0, down=7), OUTPAINT).call.params["down"] == 7
    assert fitted(asked(images=[FILE], search_prompt="a hat"), REPLACE)


def test_pictures_that_are_too_many_bytes_together_are_refused() -> None:
    inpaint = "us.stability.stable-image-inpaint-v1:0"
    half = picture(size=10_000_000).file
    lacking = unfit(asked(images=[half], mask=half), inpaint)
    assert (lacking.capability, lacking.refusal.status, lacking.param) == ("input_bytes", 413, "image")
    assert "20000000 bytes together" in lacking.explanation
    assert fitted(asked(images=[picture(size=9_000_000).file], mask=picture(size=9_000_000).file), inpaint)


@pytest.mark.parametrize(
    ("strict", "code"), [(False, "unsupported_image"), (True, "unsupported_file_mimetype")]
)
@pytest.mark.parametrize(("seen", "found"), [(GIF, "image/gif"), (UNKNOWN, "application/octet-stream")])
def test_f07_a_picture_of_a_type_that_is_not_taken_is_refused(
    strict: bool, code: str, seen: InputSize, found: str
) -> None:
    lacking = unfit(asked(strict=strict, images=[FILE, FILE], inputs=[PNG, seen]))
    error = lacking.refusal
    assert (error.status, error.param, error.code) == (400, "image", code)
    assert error.message == (
        f"Invalid file 'image[1]': unsupported mimetype ('{found}'). "
        "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
    )


def test_f07_so_is_one_behind_a_url_once_it_was_seen() -> None:
    call = asked(images=[InputRef("https://a.b/c")], inputs=[GIF])
    assert unfit(call).param == "images[0].image_url"
    assert isinstance(fit(asked(images=[InputRef("https://a.b/c")], inputs=[InputSize()]), entry()), Fitted)


def test_a_mask_is_a_png() -> None:
    jpeg = InputSize(16, 16, "jpeg")
    lacking = unfit(asked(images=[FILE], mask=FILE, inputs=[PNG, jpeg]))
    assert (lacking.capability, lacking.param) == ("input_format", "mask")
    assert isinstance(fit(asked(images=[FILE], mask=FILE, inputs=[jpeg, PNG]), entry()), Fitted)


def test_a_file_over_the_models_size_is_413() -> None:
    large = InputFile("a.png", "image/png", 50_000_001, FILE.open)
    error = unfit(asked(images=[large])).refusal
    assert (error.status, error.param, error.code) == (413, "image", "file_too_large")


def test_a_model_nobody_published_facts_about_can_do_anything() -> None:
    call = asked(
        images=[FILE] * 20,
        inputs=[UNKNOWN] * 22,
        mask=FILE,
        markup=FILE,
        background="transparent",
        output_format="svg",
    )
    assert fitted(call, FREE)


def test_a_model_of_which_nothing_is_known_gets_no_svg_as_input() -> None:
    unknown, svg = entry(fields=[]), InputSize(None, None, "svg")
    refused = unfit(asked(images=[FILE], inputs=[svg]), unknown)
    assert (refused.capability, refused.refusal.code) == ("input_format", "unsupported_image")
    taking = inputs(formats=["png", "svg"]).model_copy(update={"fields": []})
    assert isinstance(fit(asked(images=[FILE], inputs=[svg]), taking), Fitted)
