"""What is accepted as asked, what is changed into JSON types, and that models differ by data alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import AnySizing, CatalogModel, FreeSizing, ListedSizing, load_catalog
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.inputs import URL_LENGTH
from gateway.images.raw import Encoding, RawFile, RawRequest
from gateway.images.sizing import check_size
from gateway.images.sniff import sniff
from gateway.images.validation import model_name, validate
from gateway.images.wording import listing, shown
from providers.base import InputFile, InputRef, Operation

PNG_HEAD = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x06\x00\x00\x00"
FREE = load_catalog().describe("openai-compatible", "anything")


def entry_of(name: str) -> CatalogModel:
    entry = load_catalog().get(name)
    assert entry is not None
    return entry


def generate(
    fields: Mapping[str, object],
    entry: CatalogModel | None = None,
    defaults: Mapping[str, object] | None = None,
    unknown: Any = "refuse",
) -> ImageCall:
    raw = RawRequest(Operation.GENERATE, Encoding.JSON, {"model": "m", "prompt": "x", **fields})
    return validate(
        raw, name="m", entry=entry or entry_of("gpt-image-2"), defaults=defaults or {}, unknown=unknown
    )


def edit(fields: Mapping[str, object], entry: CatalogModel, files: list[RawFile] | None = None) -> ImageCall:
    encoding = Encoding.JSON if files is None else Encoding.MULTIPART
    raw = RawRequest(Operation.EDIT, encoding, {"model": "m", "prompt": "x", **fields}, files or [])
    return validate(raw, name="m", entry=entry, defaults={}, unknown="refuse")


def picture(part: str = "image", data: bytes = PNG_HEAD, size: int | None = None) -> RawFile:
    length = len(data) if size is None else size
    return RawFile(part, InputFile("a.png", "image/png", length, lambda: io.BytesIO(data)), sniff(data))


def refusal(*arguments: Any, call: Any = generate, **more: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        call(*arguments, **more)
    return caught.value


def test_null_is_absence_for_every_optional_field() -> None:
    nulls = ("n", "size", "quality", "background", "user", "stream", "partial_images", "moderation", "svg")
    assert dict(generate(dict.fromkeys(nulls)).params) == {}


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


def test_b64_json_is_what_pictures_come_as_anyway() -> None:
    assert dict(generate({"response_format": "b64_json"}).params) == {}


def test_a_whitespace_prompt_and_32000_characters_are_fine() -> None:
    assert generate({"prompt": " "}).prompt == " "
    assert len(generate({"prompt": "☃" * 32_000}).prompt) == 32_000


def test_defaults_fill_what_is_absent_and_nothing_else() -> None:
    defaults = {"quality": "low", "size": "1024x1024"}
    call = generate({"quality": "high", "size": None}, defaults=defaults)
    assert dict(call.params) == {"quality": "high", "size": "1024x1024"}


def test_a_default_counts_when_fields_exclude_each_other() -> None:
    error = refusal({"background": "transparent"}, defaults={"output_format": "jpeg"})
    assert error.param == "background"


@pytest.mark.parametrize(("unknown", "kept"), [("drop", {}), ("forward", {"zoom": [1]})])
def test_unknown_fields_go_as_the_operator_says(unknown: str, kept: dict[str, object]) -> None:
    assert dict(generate({"zoom": [1]}, unknown=unknown).params) == kept


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [("2", "n", 2), ("+3", "n", 3), ("100", "output_compression", 100), ("true", "stream", True),
     ("False", "stream", False), ("low", "quality", "low")],
)  # fmt: skip
def test_a_forms_texts_take_the_types_of_their_fields(text: str, field: str, value: object) -> None:
    call = edit({field: text}, entry_of("gpt-image-2"), [picture()])
    assert call.params[field] == value
    assert type(call.params[field]) is type(value)


@pytest.mark.parametrize("text", ["", " 2", "2.0", "1e1", "٣", "0x1", "9" * 19])
def test_a_forms_text_that_is_no_integer_is_refused(text: str) -> None:
    error = refusal({"n": text}, entry_of("gpt-image-2"), [picture()], call=edit)
    assert error.code == "invalid_type"
    assert error.message.endswith(
        "expected an integer, but got a string value that could not be converted into an integer."
    )


def test_models_differ_by_their_catalog_entry_alone() -> None:
    assert generate({"quality": "max"}, entry_of("gpt-image-2.5-sunburst")).params["quality"] == "max"
    gif = {"output_format": "gif", "frame_count": 4, "frame_duration_ms": 50, "complexity": "high"}
    assert dict(generate(gif, entry_of("gpt-image-2.6-flare")).params) == gif
    fidelity = edit({"input_fidelity": "high"}, entry_of("gpt-image-1.5"), [picture()])
    assert fidelity.params["input_fidelity"] == "high"


def test_a_value_that_one_model_lacks_is_refused_with_those_it_has() -> None:
    error = refusal({"input_fidelity": "high"}, entry_of("gpt-image-1-mini"), [picture()], call=edit)
    assert error.message == "Invalid value: 'high'. Supported values are: 'low'."


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"output_format": "svg", "n": 2}, "n"),
        ({"output_format": "svg", "stream": True}, "stream"),
        ({"output_format": "gif", "partial_images": 1}, "partial_images"),
        ({"output_format": "gif", "output_compression": 50}, "output_compression"),
        ({"output_format": "png", "frame_count": 4}, "frame_count"),
        ({"svg": {"model": "x"}}, "svg"),
    ],
)
def test_fields_that_exclude_each_other_are_refused_by_name(fields: dict[str, object], param: str) -> None:
    assert refusal(fields, entry_of("gpt-image-2.6-flare")).param == param


def test_compressing_a_png_is_refused_in_openais_words() -> None:
    error = refusal({"output_format": "png", "output_compression": 50})
    assert (error.code, error.type) == ("invalid_png_output_compression", "image_generation_user_error")
    assert generate({"output_format": "png", "output_compression": 100}).params["output_compression"] == 100


def test_dropping_unknown_fields_holds_for_free_form_models_too() -> None:
    assert dict(generate({"seed": 7, "style": "vivid"}, FREE, unknown="drop").params) == {}


def test_a_model_nobody_published_facts_about_takes_anything_of_a_sane_type() -> None:
    fields: dict[str, object] = {
        "quality": "standard",
        "size": "1x1",
        "style": "vivid",
        "response_format": "url",
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
    files = [picture(name, b"Example data") for name in ("image", "mask", "markup")]
    call = edit({}, FREE, files)
    assert (call.mask, call.markup) == (files[1].file, files[2].file)


def test_an_operation_that_the_model_does_not_have_is_refused() -> None:
    entry = entry_of("gpt-image-2").model_copy(update={"operations": ["edits"]})
    error = refusal({}, entry)
    assert (error.param, error.type) == ("model", "image_generation_user_error")


def test_pictures_keep_their_order_and_a_mask_its_place() -> None:
    files = [picture("mask"), picture(), picture()]
    call = edit({}, entry_of("gpt-image-2"), files)
    assert list(call.images) == [files[1].file, files[2].file]
    assert call.mask is files[0].file


def test_a_file_over_the_models_size_is_413() -> None:
    error = refusal({}, entry_of("gpt-image-2"), [picture(size=50_000_001)], call=edit)
    assert (error.status, error.param, error.code) == (413, "image", "file_too_large")


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "HTTPS://example.com", "data:image/png;base64,", "DATA:;BASE64,"]
)
def test_https_and_data_urls_are_forwarded_as_given(url: str) -> None:
    if url.lower().startswith("data"):
        url += base64.b64encode(PNG_HEAD + bytes(3 - len(PNG_HEAD) % 3)).decode()
    call = edit({"images": [{"image_url": url}], "mask": {"image_url": url}}, entry_of("gpt-image-2"))
    assert list(call.images) == [InputRef(url)]
    assert call.mask == InputRef(url)


@pytest.mark.parametrize(
    "url", ["https://", "https://a b", "https://a\n", "file:///etc/passwd", "data:image/png,x", ""]
)
def test_other_urls_are_refused(url: str) -> None:
    error = refusal({"images": [{"image_url": url}]}, entry_of("gpt-image-2"), call=edit)
    assert (error.param, error.code) == ("images[0].image_url", "invalid_value")


def test_a_url_of_more_than_20_million_characters_is_refused_before_it_is_read() -> None:
    url = "data:image/png;base64," + "!" * URL_LENGTH
    error = refusal({"images": [{"image_url": url}]}, entry_of("gpt-image-2"), call=edit)
    assert error.code == "string_above_max_length"


@given(
    st.binary(min_size=1, max_size=60), st.integers(0, 3), st.sampled_from(["", "=", "==", "A", "\n", "-"])
)
def test_a_payload_is_good_exactly_when_strict_base64_says_so(data: bytes, cut: int, more: str) -> None:
    payload = base64.b64encode(PNG_HEAD + data).decode()
    payload = payload[: len(payload) - cut] + more
    try:
        base64.b64decode(payload, validate=True)
        good = payload.rstrip("=") + "=" * (-len(payload.rstrip("=")) % 4) == payload and "\n" not in payload
    except ValueError:
        good = False
    fields = {"images": [{"image_url": f"data:image/png;base64,{payload}"}]}
    if good:
        assert edit(fields, entry_of("gpt-image-2")).images
    else:
        assert refusal(fields, entry_of("gpt-image-2"), call=edit).code == "invalid_base64"


def test_base64_is_checked_over_slices_as_over_the_whole() -> None:
    payload = base64.b64encode(PNG_HEAD + bytes(600_000)).decode()
    fields = {"images": [{"image_url": f"data:image/png;base64,{payload}"}]}
    assert edit(fields, entry_of("gpt-image-2")).images
    for at in (1 << 18, (1 << 18) - 1, 300_001):
        broken = payload[:at] + "=" + payload[at + 1 :]
        fields = {"images": [{"image_url": f"data:image/png;base64,{broken}"}]}
        assert refusal(fields, entry_of("gpt-image-2"), call=edit).code == "invalid_base64"


SIZING = FreeSizing(
    kind="free", step=16, max_edge=3840, min_pixels=655_360, max_pixels=8_294_400, max_ratio=3
)


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_size_is_taken_exactly_when_every_published_rule_holds(a: int, b: int) -> None:
    width, height = a * 16, b * 16
    good = (
        max(width, height) <= 3840
        and 655_360 <= width * height <= 8_294_400
        and max(width, height) <= 3 * min(width, height)
    )
    try:
        check_size(f"{width}x{height}", SIZING)
    except InvalidRequest:
        assert not good
    else:
        assert good


@pytest.mark.parametrize("size", ["auto", "1024x640", "2880x2880", "3840x2160", "640x1024"])
def test_sizes_at_the_limits_are_taken(size: str) -> None:
    check_size(size, SIZING)


@pytest.mark.parametrize(
    "size", ["", "1024", "1024X1024", "01024x1024", "1024x1024 ", "-16x16", "１０x10", "9999999x16"]
)
def test_a_size_in_another_form_is_refused(size: str) -> None:
    error = refusal({"size": size})
    assert error.message == f"Invalid size '{size}'. Expected WIDTHxHEIGHT, for example '1824x1024'."


def test_listed_sizes_and_models_without_published_sizes() -> None:
    listed = ListedSizing(kind="sizes", sizes=["512x512"], auto=False)
    check_size("512x512", listed)
    with pytest.raises(InvalidRequest, match="Supported sizes are 512x512"):
        check_size("auto", listed)
    check_size("as you like", AnySizing(kind="any"))


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
    ["model", "prompt", "n", "size", "quality", "stream", "svg", "user", "images", "mask", "response_format"]
)


@given(st.dictionaries(NAMES, json_values), st.sampled_from(["gpt-image-2", "gpt-image-2.6-flare", "free"]),
       st.sampled_from(list(Operation)))  # fmt: skip
def test_no_json_whatever_makes_anything_but_a_call_or_a_refusal(
    fields: dict[str, object], name: str, operation: Operation
) -> None:
    entry = FREE if name == "free" else entry_of(name)
    raw = RawRequest(operation, Encoding.JSON, fields)
    outcome: ImageCall | InvalidRequest
    try:
        outcome = validate(raw, name="m", entry=entry, defaults={}, unknown="refuse")
    except InvalidRequest as error:
        outcome = error
    assert outcome.prompt if isinstance(outcome, ImageCall) else (outcome.message and outcome.code)
