"""Strict mode refuses what a model does not take exactly, in OpenAI's words."""

from __future__ import annotations

import pytest

from config.catalog import Extension
from gateway.images.fitted import Rule
from tests.unit.images.asking import FREE, asked, changes, entry_of, fitted, sent, unfit

USER_ERROR = "image_generation_user_error"


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        ("1792x936", "Width and height must both be divisible by 16."),
        ("512x512", "Requested resolution is below the current minimum pixel budget."),
        ("2304x4096", "The longest edge must be less than or equal to 3840."),
        (
            "3840x2176",
            "Requested resolution is above the current maximum pixel budget (8294400 pixels in all).",
        ),
        ("2560x832", "The longest edge must be at most 3 times the shortest edge."),
    ],
)
def test_a_size_beyond_a_limit_is_refused_in_openais_sentence_and_the_nearest_are_named(
    size: str, sentence: str
) -> None:
    lacking = unfit(asked(strict=True, size=size))
    error = lacking.refusal
    assert (error.status, error.param, error.code, error.type) == (400, "size", "invalid_value", USER_ERROR)
    assert error.message.startswith(f"Invalid size '{size}'. {sentence} The nearest that it serves: ")
    assert len(lacking.valid) == 3
    for valid in lacking.valid:
        assert valid in error.message
        assert fitted(asked(strict=True, size=valid)).size.rule is Rule.EXACT


def test_a_listed_size_is_refused_with_the_list() -> None:
    error = unfit(asked(strict=True, size="123x456"), "gpt-image-1.5").refusal
    assert error.message.startswith(
        "Invalid size '123x456'. Supported sizes are 1024x1024, 1024x1536, 1536x1024, and auto."
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"aspect_ratio": "10:1"}, "aspect_ratio"),
        ({"resolution": "16K"}, "resolution"),
        ({"size": "16K"}, "size"),
        ({"aspect_ratio": "16:9", "resolution": "4K"}, "resolution"),
    ],
)
def test_ratios_and_tiers_are_refused_under_the_field_that_cannot_be_served(
    fields: dict[str, object], param: str
) -> None:
    lacking = unfit(asked(strict=True, **fields))
    assert (lacking.refusal.param, lacking.refusal.code) == (param, "invalid_value")
    assert all(valid in lacking.refusal.message for valid in lacking.valid)


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "1536x864"},
        {"size": "auto"},
        {},
        {"size": "16:9"},
        {"aspect_ratio": "16:9", "resolution": "2K"},
    ],
)
def test_exact_auto_and_filled_sizes_pass(fields: dict[str, object]) -> None:
    assert fitted(asked(strict=True, **fields)).size.rule in (Rule.EXACT, Rule.AUTO, Rule.FILLED)


def test_a_field_that_contradicts_a_stronger_one_is_refused() -> None:
    error = unfit(asked(strict=True, size="1024x1024", aspect_ratio="16:9")).refusal
    assert (error.param, error.code) == ("aspect_ratio", "invalid_value")
    assert "1024x1024" in error.message


@pytest.mark.parametrize(
    ("fields", "model", "message"),
    [
        ({"quality": "xhigh"}, "gpt-image-2",
         "The model 'm' does not support quality 'xhigh'. Supported values are: "
         "'low', 'medium', 'high', and 'auto'."),
        ({"quality": "hd"}, "gpt-image-2",
         "Invalid value: 'hd'. Supported values are: 'low', 'medium', 'high', and 'auto'."),
        ({"output_format": "gif"}, "gpt-image-2",
         "Invalid value: 'gif'. Supported values are: 'png', 'webp', and 'jpeg'."),
        ({"background": "#fff"}, "gpt-image-2",
         "Invalid value: '#fff'. Supported values are: 'transparent', 'opaque', and 'auto'."),
        ({"complexity": "low"}, "gpt-image-2", "The model 'm' does not support the 'complexity' parameter."),
        ({"style": "vivid"}, "gpt-image-2", "Unknown parameter: 'style'."),
        ({"n": 2}, "dall-e-3",
         "Invalid 'n': integer above maximum value. Expected a value <= 1, but got 2 instead."),
        ({"output_format": "png", "output_compression": 50}, "gpt-image-2",
         "Compression less than 100 is not supported for PNG output format"),
        ({"output_compression": 50}, "gpt-image-2",
         "Compression less than 100 is not supported for PNG output format"),
        ({"output_format": "svg", "n": 2}, "gpt-image-2.6-flare",
         "SVG output makes one picture: 'n' must be 1."),
        ({"output_format": "svg", "stream": True}, "gpt-image-2.6-flare",
         "GIF and SVG output cannot be streamed: leave 'stream' out."),
        ({"output_format": "gif", "partial_images": 1}, "gpt-image-2.6-flare",
         "GIF and SVG output has no partial images."),
        ({"output_format": "gif", "output_compression": 50}, "gpt-image-2.6-flare",
         "GIF and SVG output takes no compression level."),
        ({"output_format": "png", "frame_count": 4}, "gpt-image-2.6-flare",
         "'frame_count' is only supported with the output format 'gif'."),
        ({"svg": {"model": "x"}}, "gpt-image-2.6-flare",
         "'svg' is only supported with the output format 'svg'."),
    ],
)  # fmt: skip
def test_fields_are_refused_as_openai_refuses_them(
    fields: dict[str, object], model: str, message: str
) -> None:
    assert unfit(asked(strict=True, **fields), model).refusal.message == message


@pytest.mark.parametrize(
    "fields",
    [{"n": 1}, {"stream": False}, {"quality": "auto"}, {"background": "opaque"}, {"output_format": "png"},
     {"partial_images": 0}, {"moderation": "auto"}, {"seed": 7}],
)  # fmt: skip
def test_what_a_target_without_the_field_does_anyway_is_no_reason_to_refuse(
    fields: dict[str, object],
) -> None:
    plain = entry_of("gpt-image-2").model_copy(
        update={"fields": ["seed"], "output_formats": ["png"], "backgrounds": ["opaque"], "max_n": 1}
    )
    assert not fitted(asked(strict=True, **fields), plain).adjustments
    for other in ({"n": 2}, {"stream": True}, {"quality": "low"}, {"background": "auto"},
                  {"output_format": "webp"}, {"partial_images": 1}, {"moderation": "low"}):  # fmt: skip
        assert unfit(asked(strict=True, **other), plain).param == next(iter(other))


def test_a_number_beyond_an_entrys_own_bounds_is_refused_and_in_snap_mode_left_out() -> None:
    own = entry_of("gpt-image-2").model_copy(
        update={"fields": ["seed"], "extensions": {"seed": Extension(type="integer", minimum=0, maximum=9)}}
    )
    assert sent(asked(strict=True, seed=9), own) == {"seed": 9}
    for seed in (-1, 10):
        error = unfit(asked(strict=True, seed=seed), own).refusal
        assert (error.param, error.code) == ("seed", "invalid_value")
        assert sent(asked(seed=seed), own) == {}
        assert changes(asked(seed=seed), own) == [("seed", str(seed), None, "dropped")]


def test_the_model_that_lacks_input_fidelity_is_named_with_openais_code() -> None:
    lacking = unfit(asked(strict=True, input_fidelity="high"))
    assert lacking.refusal.code == "invalid_input_fidelity_model"
    error = unfit(asked(strict=True, input_fidelity="high"), "gpt-image-1-mini").refusal
    assert error.message == "Invalid value: 'high'. Supported values are: 'low'."


def test_what_the_model_takes_goes_out_as_it_came() -> None:
    fields: dict[str, object] = {
        "n": 10,
        "output_compression": 0,
        "size": "3840x2160",
        "quality": "auto",
        "background": "transparent",
        "moderation": "low",
        "output_format": "webp",
        "stream": True,
        "partial_images": 3,
        "user": "",
        "safety_identifier": "u1",
    }
    assert list(sent(asked(strict=True, **fields)).items()) == list(fields.items())
    assert not fitted(asked(strict=True, **fields)).adjustments
    png = {"output_format": "png", "output_compression": 100}
    assert sent(asked(strict=True, **png)) == png


def test_models_differ_by_their_catalog_entry_alone() -> None:
    assert sent(asked(strict=True, quality="max"), "gpt-image-2.5-sunburst") == {"quality": "max"}
    gif = {"output_format": "gif", "frame_count": 4, "frame_duration_ms": 50, "complexity": "high"}
    assert sent(asked(strict=True, **gif), "gpt-image-2.6-flare") == gif


def test_forwarded_fields_pass_where_the_entry_says_passthrough() -> None:
    own = entry_of("gpt-image-2").model_copy(update={"passthrough": True})
    assert sent(asked(strict=True, zoom=3), own) == {"zoom": 3}
    assert unfit(asked(strict=True, zoom=3)).refusal.code == "unknown_parameter"


def test_a_model_nobody_published_facts_about_is_never_strict() -> None:
    fields: dict[str, object] = {"quality": "standard", "size": "1x1", "style": "vivid", "frame_count": 99}
    assert sent(asked(strict=True, **fields), FREE) == fields
