"""What is accepted in the caller's words, what becomes JSON types, and what nobody could serve."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import Extension
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.fields import KNOWN
from gateway.images.raw import Encoding, RawRequest
from gateway.images.validation import Reading, model_name, validate
from gateway.images.wording import listing, shown
from providers.base import Operation
from tests.unit.images.asking import FREE, STRICT, edit, entry_of, generate, picture, refusal


def test_null_is_absence_for_every_optional_field() -> None:
    assert dict(generate({**dict.fromkeys(KNOWN), "response_format": None}).params) == {}


def test_values_that_openai_takes_pass_unchanged() -> None:
    fields: dict[str, object] = {
        "n": 10,
        "size": "3840x2160",
        "quality": "auto",
        "background": "transparent",
        "moderation": "low",
        "output_format": "webp",
        "output_compression": 0,
        "stream": True,
        "partial_images": 3,
        "user": "",
        "safety_identifier": "u1",
    }
    assert dict(generate(fields).params) == fields
    assert dict(generate(fields, reading=STRICT).params) == fields


def test_what_goes_beyond_openai_passes_in_the_callers_own_words() -> None:
    fields: dict[str, object] = {
        "size": "16:9",
        "resolution": "2K",
        "aspect_ratio": "21:9",
        "fit": "cover",
        "quality": "hd",
        "output_format": "avif",
        "background": "#ff8800",
        "seed": 7,
        "negative_prompt": "fog",
        "style": "vivid",
        "guidance_scale": 3.5,
    }
    assert dict(generate(fields).params) == fields


def test_a_whitespace_prompt_and_32000_characters_are_fine() -> None:
    assert generate({"prompt": " "}).prompt == " "
    assert len(generate({"prompt": "☃" * 32_000}).prompt) == 32_000


@pytest.mark.parametrize(
    ("fields", "usual", "wanted"),
    [
        ({}, "b64_json", "b64_json"),
        ({"response_format": None}, "b64_json", "b64_json"),
        ({"response_format": "url"}, "b64_json", "url"),
        ({}, "url", "url"),
        ({"response_format": None}, "url", "url"),
        ({"response_format": "b64_json"}, "url", "b64_json"),
    ],
)
def test_response_format_says_how_it_is_delivered_and_is_no_parameter(
    fields: dict[str, object], usual: str, wanted: str
) -> None:
    call = generate(fields, reading=Reading(default_format="url" if usual == "url" else "b64_json"))
    assert call.delivery.response_format == wanted
    assert dict(call.params) == {}


@pytest.mark.parametrize("name", ["dall-e-2", "dall-e-3"])
def test_callers_of_dall_e_get_links_unless_they_say_otherwise(name: str) -> None:
    def read(**fields: object) -> ImageCall:
        raw = RawRequest(Operation.GENERATE, Encoding.JSON, {"model": name, "prompt": "x", **fields})
        entries = (entry_of("gpt-image-2"),)
        return validate(raw, name=name, entries=entries, defaults={}, reading=Reading())

    assert read().delivery.response_format == read(response_format=None).delivery.response_format == "url"
    assert read(response_format="b64_json").delivery.response_format == "b64_json"


@pytest.mark.parametrize(("wanted", "code"), [("png", "invalid_value"), (1, "invalid_type")])
def test_a_response_format_that_is_none_is_refused(wanted: object, code: str) -> None:
    error = refusal({"response_format": wanted})
    assert (error.param, error.code) == ("response_format", code)


@pytest.mark.parametrize("wanted", ["url", "b64_json", None])
def test_strict_mode_knows_response_format_of_no_current_model_of_openai(wanted: object) -> None:
    error = refusal({"response_format": wanted}, reading=STRICT)
    assert error.message == "Unknown parameter: 'response_format'."
    links = Reading(strict=True, default_format="url")
    assert generate({"response_format": "b64_json"}, reading=links).delivery.response_format == "b64_json"
    assert generate({"response_format": "url"}, FREE, reading=STRICT).delivery.response_format == "url"


@pytest.mark.parametrize("strict", [False, True])
def test_a_name_that_no_model_knows_is_refused_with_the_nearest_in_both_modes(strict: bool) -> None:
    error = refusal({"qualty": "low"}, reading=Reading(strict=strict))
    assert (error.param, error.code) == ("qualty", "unknown_parameter")
    assert error.message == "Unknown parameter: 'qualty'. Did you mean 'quality'?"


@pytest.mark.parametrize("model", ["gpt-image-2", "free"])
def test_unknown_fields_go_as_the_operator_says(model: str) -> None:
    entry = FREE if model == "free" else entry_of(model)
    dropped = generate({"zoom": [1]}, entry, reading=Reading(unknown="drop"))
    assert dict(dropped.params) == {}
    assert [(one.field, one.was, one.how.value) for one in dropped.adjusted] == [("zoom", None, "dropped")]
    forwarded = generate({"zoom": [1]}, entry, reading=Reading(unknown="forward"))
    assert dict(forwarded.params) == {"zoom": [1]}
    assert refusal({"zoom": [1]}, entry).code == "unknown_parameter"


def test_a_field_of_another_models_entry_is_known() -> None:
    known = Reading(known=frozenset({*KNOWN, "tiling"}))
    assert dict(generate({"tiling": True}, reading=known).params) == {"tiling": True}


def test_strict_mode_knows_openais_fields_and_the_models_own() -> None:
    for name in ("style", "seed", "input_fidelity", "negative_prompt"):
        error = refusal({name: "x"}, reading=STRICT)
        assert (error.param, error.code) == (name, "unknown_parameter")
    assert generate({"aspect_ratio": "16:9"}, reading=STRICT).params == {"aspect_ratio": "16:9"}
    assert generate({"style": "vivid"}, entry_of("dall-e-3"), reading=STRICT).params == {"style": "vivid"}


def test_strict_mode_knows_no_moderation_in_forms() -> None:
    assert edit({"moderation": "low"}, files=[picture()]).params == {"moderation": "low"}
    error = refusal({"moderation": "low"}, files=[picture()], reading=STRICT, call=edit)
    assert (error.param, error.code) == ("moderation", "unknown_parameter")


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [("2", "n", 2), ("+3", "n", 3), ("100", "output_compression", 100), ("true", "stream", True),
     ("False", "stream", False), ("low", "quality", "low"), ("7", "seed", 7), ("-1", "seed", -1),
     ("3.5", "guidance_scale", 3.5), ("3", "guidance_scale", 3), ("16:9", "aspect_ratio", "16:9")],
)  # fmt: skip
def test_a_forms_texts_take_the_types_of_their_fields(text: str, field: str, value: object) -> None:
    call = edit({field: text}, files=[picture()])
    assert call.params[field] == value
    assert type(call.params[field]) is type(value)


@pytest.mark.parametrize("text", ["", " 2", "2.0", "1e1", "٣", "0x1", "9" * 19])
def test_a_forms_text_that_is_no_integer_is_refused(text: str) -> None:
    error = refusal({"n": text}, files=[picture()], call=edit)
    assert error.code == "invalid_type"
    assert error.message.endswith(
        "expected an integer, but got a string value that could not be converted into an integer."
    )


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e9", "1.", ".5", "1,5"])
def test_a_forms_text_that_is_no_number_is_refused(text: str) -> None:
    error = refusal({"guidance_scale": text}, files=[picture()], call=edit)
    assert (error.param, error.code) == ("guidance_scale", "invalid_type")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"n": 0}, "integer_below_min_value"),
        ({"n": 11}, "integer_above_max_value"),
        ({"n": True}, "invalid_type"),
        ({"output_compression": 101}, "integer_above_max_value"),
        ({"partial_images": 4}, "integer_above_max_value"),
        ({"frame_count": 17}, "integer_above_max_value"),
        ({"steps": 0}, "integer_below_min_value"),
        ({"seed": 1.5}, "invalid_type"),
        ({"seed": "7"}, "invalid_type"),
        ({"style": 1}, "invalid_type"),
        ({"guidance_scale": "3"}, "invalid_type"),
        ({"guidance_scale": True}, "invalid_type"),
        ({"guidance_scale": float("inf")}, "invalid_type"),
        ({"aspect_ratio": 1.5}, "invalid_type"),
        ({"resolution": 512}, "invalid_type"),
        ({"fit": "stretch"}, "invalid_value"),
        ({"quality": "ultra"}, "invalid_value"),
        ({"output_format": "bmp"}, "invalid_value"),
        ({"background": "mauve"}, "invalid_value"),
        ({"background": "#12345"}, "invalid_value"),
        ({"moderation": "off"}, "invalid_value"),
        ({"style": "a\x00b"}, "invalid_value"),
        ({"size": "bogus"}, "invalid_value"),
        ({"size": "0x0"}, "invalid_value"),
        ({"aspect_ratio": "0:1"}, "invalid_value"),
        ({"resolution": "17K"}, "invalid_value"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_what_no_model_could_serve_is_refused_by_name(
    fields: dict[str, object], code: str, strict: bool
) -> None:
    entry = entry_of("gpt-image-2").model_copy(
        update={"fields": [*entry_of("gpt-image-2").fields, "seed", "steps", "style", "guidance_scale"]}
    )
    (param,) = fields
    error = refusal(fields, entry, reading=Reading(strict=strict))
    assert (error.param, error.code) == (param, code)


def test_a_word_nobody_knows_is_refused_in_openais_sentence() -> None:
    error = refusal({"quality": "ultra"})
    assert error.message == (
        "Invalid value: 'ultra'. Supported values are: 'low', 'medium', 'high', and 'auto'."
    )


def test_words_of_an_operators_own_entry_are_known_for_its_model() -> None:
    own = entry_of("gpt-image-2").model_copy(update={"qualities": ["1k-fast", "low"]})
    assert generate({"quality": "1k-fast"}, own).params == {"quality": "1k-fast"}
    assert refusal({"quality": "1k-fast"}).code == "invalid_value"


def test_an_extension_is_judged_as_its_entry_describes_it() -> None:
    own = entry_of("gpt-image-2").model_copy(
        update={
            "fields": ["n", "tiles", "look", "weights"],
            "extensions": {
                "tiles": Extension(type="integer", minimum=1, maximum=4),
                "look": Extension(type="string"),
                "weights": Extension(type="array"),
            },
            "values": {"look": ["flat", "deep"]},
        }
    )
    known = Reading(known=frozenset({*KNOWN, *own.fields}))
    fields = {"tiles": 2, "look": "deep", "weights": [1]}
    assert dict(generate(fields, own, reading=known).params) == fields
    assert edit({"tiles": "3"}, own, [picture()], known).params == {"tiles": 3}
    for wrong in ({"tiles": 5}, {"tiles": "2"}, {"look": "round"}, {"weights": {}}):
        assert refusal(wrong, own, reading=known).param == next(iter(wrong))


@pytest.mark.parametrize("output_format", ["jpeg", "gif"])
def test_a_format_that_cannot_show_what_is_asked_is_refused_in_both_modes(output_format: str) -> None:
    for reading in (Reading(), STRICT):
        error = refusal({"background": "transparent", "output_format": output_format}, reading=reading)
        assert (error.param, error.code) == ("background", "invalid_value")
    assert refusal({"background": "transparent"}, defaults={"output_format": output_format}).param == (
        "background"
    )


@pytest.mark.parametrize(
    ("size", "format", "taken"),
    [
        ("8000x8000", "png", True),
        ("8000x8001", "png", False),
        ("16384x100", "webp", False),
        ("16384x100", "png", True),
        ("16384x100", None, True),
        ("99999x99999", None, False),
    ],
)
def test_exact_pixels_that_cannot_be_delivered_are_refused_before_anything_is_paid_for(
    size: str, format: str | None, taken: bool
) -> None:
    fields = {"size": size, "fit": "cover", "output_format": format}
    for entry in (FREE, entry_of("gpt-image-2")):
        if taken:
            assert generate(fields, entry).params["fit"] == "cover"
            continue
        error = refusal(fields, entry)
        assert (error.param, error.code) == ("size", "invalid_value")
        assert "64000000 pixels" in error.message
        assert generate({**fields, "fit": "none"}, entry).params["size"] == size


def test_a_model_nobody_published_facts_about_takes_anything_of_a_sane_type() -> None:
    fields: dict[str, object] = {
        "quality": "standard",
        "size": "1x1",
        "style": "vivid",
        "output_format": "png",
        "output_compression": 50,
        "svg": {"model": "string", "reasoning": {"effort": "none"}},
        "frame_count": 99,
        "seed": 7,
        "moderation": "off",
    }
    assert dict(generate(fields, FREE).params) == fields
    assert refusal({"n": "2"}, FREE).code == "invalid_type"
    assert refusal({"n": 0}, FREE).code == "integer_below_min_value"


def test_a_model_name_is_taken_from_the_body_or_the_default() -> None:
    def named(fields: dict[str, object], default: str | None = None) -> str:
        return model_name(RawRequest(Operation.GENERATE, Encoding.JSON, fields), default)

    assert named({"model": "a"}, "b") == "a"
    assert named({}, "b") == named({"model": None}, "b") == "b"
    with pytest.raises(InvalidRequest, match="Missing required parameter: 'model'"):
        named({})
    with pytest.raises(InvalidRequest, match="expected a string, but got null instead"):
        named({"model": None})


def test_lists_of_words_read_as_openai_writes_them() -> None:
    assert listing(["a"]) == "a"
    assert listing(["a", "b"]) == "a and b"
    assert listing(["a", "b", "c"]) == "a, b, and c"
    assert len(shown("x" * 5000)) == 101


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["model", "prompt", "n", "size", "quality", "stream", "svg", "user", "image", "images", "mask",
     "response_format", "aspect_ratio", "resolution", "fit", "background", "guidance_scale"]
)  # fmt: skip


@given(st.dictionaries(NAMES, json_values), st.sampled_from(["gpt-image-2", "gpt-image-2.6-flare", "free"]),
       st.sampled_from(list(Operation)), st.booleans())  # fmt: skip
def test_no_json_whatever_makes_anything_but_a_call_or_a_refusal(
    fields: dict[str, object], name: str, operation: Operation, strict: bool
) -> None:
    entry = FREE if name == "free" else entry_of(name)
    raw = RawRequest(operation, Encoding.JSON, fields)
    outcome: ImageCall | InvalidRequest
    try:
        outcome = validate(raw, name="m", entries=(entry,), defaults={}, reading=Reading(strict=strict))
    except InvalidRequest as error:
        outcome = error
    assert outcome.prompt if isinstance(outcome, ImageCall) else (outcome.message and outcome.code)
