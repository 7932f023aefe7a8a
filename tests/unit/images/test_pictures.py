"""Input pictures: wherever they stand and whatever form they have, they mean the same."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.images.call import InputSize
from gateway.images.inputs import MAX_PIXELS, URL_LENGTH
from gateway.images.raw import RawFile
from providers.base import InputRef
from tests.unit.images.asking import PNG_HEAD, STRICT, edit, picture, png, refusal

WHOLE = PNG_HEAD + bytes(-len(PNG_HEAD) % 3)
B64 = base64.b64encode(WHOLE).decode()
DATA = f"data:image/png;base64,{B64}"
HTTPS = "https://example.com/a.png"


def test_files_keep_their_order_and_a_mask_its_place() -> None:
    files = [picture("mask"), picture(), picture()]
    call = edit({}, files=files)
    assert list(call.images) == [files[1].file, files[2].file]
    assert call.mask is files[0].file


def test_how_large_they_are_and_what_is_seen_in_them_stands_beside_them() -> None:
    call = edit({"image": [HTTPS, "data:;base64,AAAA"]}, files=[picture(data=png(800, 600))])
    assert list(call.inputs) == [InputSize(800, 600, "png"), InputSize(), InputSize(None, None, "")]


@pytest.mark.parametrize("url", [HTTPS, "HTTPS://example.com", DATA, DATA.replace("data", "DATA")])
def test_openais_objects_of_json_are_taken_as_given(url: str) -> None:
    for reading in (None, STRICT):
        call = edit({"images": [{"image_url": url}], "mask": {"image_url": url}}, reading=reading)
        assert list(call.images) == [InputRef(url)]
        assert call.mask == InputRef(url)


@pytest.mark.parametrize("name", ["image", "images"])
@pytest.mark.parametrize(("text", "url"), [(HTTPS, HTTPS), (DATA, DATA), (B64, DATA)])
def test_a_string_means_the_same_in_json_and_in_forms(name: str, text: str, url: str) -> None:
    in_json = [edit({name: text}), edit({name: [text]}), edit({name: [{"image_url": url}]})]
    in_forms = [
        edit({name: text}, files=[]),
        edit({name: [text]}, files=[]),
        edit({name: {"0": text}}, files=[]),
    ]
    for call in (*in_json, *in_forms):
        assert list(call.images) == [InputRef(url)]
        assert call == in_json[0]


@pytest.mark.parametrize("overlay", ["mask", "markup"])
def test_so_do_masks_and_markups(overlay: str) -> None:
    calls = [
        edit({"image": HTTPS, overlay: B64}),
        edit({"image": HTTPS, overlay: {"image_url": DATA}}),
        edit({"image": HTTPS, overlay: DATA}, files=[]),
    ]
    assert all(getattr(call, overlay) == InputRef(DATA) for call in calls)
    assert calls[0] == calls[1] == calls[2]


def test_each_picture_is_called_what_its_request_calls_it() -> None:
    in_json = edit({"images": [HTTPS, {"image_url": HTTPS}], "mask": {"image_url": HTTPS}})
    assert in_json.labels == ("images[0]", "images[1].image_url", "mask.image_url")
    assert edit({"image": HTTPS, "markup": B64}).labels == ("image", "markup")
    in_form = edit({"image": [HTTPS], "mask": HTTPS}, files=[picture()])
    assert in_form.labels == ("image[0]", "image[1]", "mask")


def test_files_and_texts_of_a_form_keep_their_common_order() -> None:
    first, second = picture(after=1), picture(after=2)
    call = edit({"image": ["https://a.example/1", "https://a.example/2", "https://a.example/3"]},
                files=[first, second])  # fmt: skip
    assert list(call.images) == [
        InputRef("https://a.example/1"),
        first.file,
        InputRef("https://a.example/2"),
        second.file,
        InputRef("https://a.example/3"),
    ]


def test_indexed_texts_of_a_form_stand_in_the_order_of_their_numbers() -> None:
    texts = {str(number): f"https://a.example/{number}" for number in (10, 2, 0)}
    call = edit({"image": texts}, files=[])
    assert [image.image_url[-2:] for image in call.images if isinstance(image, InputRef)] == [
        "/0",
        "/2",
        "10",
    ]


@pytest.mark.parametrize(
    ("fields", "files", "param", "code"),
    [
        ({"image": HTTPS}, None, "image", "invalid_value"),
        ({"images": [HTTPS]}, None, "images[0]", "invalid_type"),
        ({"images": HTTPS}, None, "images", "invalid_type"),
        ({"images": [{"image_url": HTTPS}], "mask": HTTPS}, None, "mask", "invalid_type"),
        ({"image": HTTPS}, [], "image", "invalid_type"),
        ({"images": HTTPS}, [], "images", "invalid_value"),
        ({"mask": HTTPS}, [picture()], "mask", "invalid_type"),
        ({}, [picture("images")], "images", "invalid_value"),
    ],
)
def test_strict_mode_refuses_them_as_openai_does(
    fields: dict[str, object], files: list[RawFile] | None, param: str, code: str
) -> None:
    error = refusal(fields, files=files, reading=STRICT, call=edit)
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize("files", [None, []])
def test_an_edit_without_a_picture_is_refused_in_the_words_of_its_encoding(
    files: list[RawFile] | None,
) -> None:
    error = refusal({}, files=files, call=edit)
    assert error.message == f"Missing required parameter: '{'images' if files is None else 'image'}'."


@pytest.mark.parametrize("strict", [False, True])
def test_pictures_under_two_names_are_refused(strict: bool) -> None:
    reading = STRICT if strict else None
    both = {"image": HTTPS, "images": [{"image_url": HTTPS}]}
    assert refusal(both, reading=reading, call=edit).param == "image"
    files = [picture(), picture("images")]
    assert refusal({}, files=files, reading=reading, call=edit).param == "images"


@pytest.mark.parametrize("name", ["image", "images", "mask", "markup"])
def test_a_generation_takes_no_picture_and_says_who_does(name: str) -> None:
    error = refusal({name: HTTPS})
    assert (error.param, error.code) == (name, "unknown_parameter")
    assert error.message == f"Unknown parameter: '{name}'. Pictures go to /v1/images/edits."


def test_a_mask_that_comes_twice_is_refused() -> None:
    for fields, files in (({}, [picture("mask")] * 2), ({"mask": HTTPS}, [picture("mask")])):
        error = refusal(fields, files=[picture(), *files], call=edit)
        assert (error.param, error.code) == ("mask", "duplicate_parameter")


def test_a_file_id_is_refused_where_it_stands() -> None:
    for reading in (None, STRICT):
        error = refusal({"images": [{"file_id": "file-1"}]}, reading=reading, call=edit)
        assert error.param == "images[0].file_id"
        assert "no Files API" in error.message


@pytest.mark.parametrize(
    "url", ["https://", "https://a b", "https://a\n", "file:///etc/passwd", "data:image/png,x", "",
            "http://example.com/a.png", "a.png"],
)  # fmt: skip
def test_what_is_no_picture_is_refused_by_its_place(url: str) -> None:
    for fields, param in (
        ({"images": [{"image_url": url}]}, "images[0].image_url"),
        ({"images": [url]}, "images[0]"),
        ({"image": url}, "image"),
    ):
        error = refusal(fields, call=edit)
        assert (error.param, error.code) == (param, "invalid_value")
        assert "https URL" in error.message


def test_base64_that_holds_no_picture_is_refused() -> None:
    text = base64.b64encode(b"this is no picture but text").decode()
    error = refusal({"image": text}, call=edit)
    assert (error.param, error.code) == ("image", "unsupported_image")


def test_a_url_of_more_than_20_million_characters_is_refused_before_it_is_read() -> None:
    for url in ("data:image/png;base64," + "!" * URL_LENGTH, "A" * (URL_LENGTH + 1)):
        for fields in ({"images": [{"image_url": url}]}, {"image": url}):
            assert refusal(fields, call=edit).code == "string_above_max_length"


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
    for fields in ({"images": [{"image_url": f"data:image/png;base64,{payload}"}]}, {"image": payload}):
        if good:
            assert edit(fields).images
        else:
            assert refusal(fields, call=edit).code == "invalid_base64"


def test_base64_is_checked_over_slices_as_over_the_whole() -> None:
    payload = base64.b64encode(PNG_HEAD + b"\xff" * 600_000).decode()
    assert edit({"images": [{"image_url": f"data:image/png;base64,{payload}"}]}).images
    for at in (1 << 18, (1 << 18) - 1, 300_001):
        broken = payload[:at] + "=" + payload[at + 1 :]
        fields = {"images": [{"image_url": f"data:image/png;base64,{broken}"}]}
        assert refusal(fields, call=edit).code == "invalid_base64"


def test_an_empty_file_is_refused() -> None:
    error = refusal({}, files=[picture(size=0)], call=edit)
    assert (error.param, error.code) == ("image", "empty_file")


BOMB = png(20_000, MAX_PIXELS // 20_000 + 1)


@pytest.mark.parametrize("part", ["image", "mask", "markup"])
def test_f07_a_picture_that_claims_too_many_pixels_is_refused_from_its_head(part: str) -> None:
    files = [picture(), picture(part, BOMB)] if part != "image" else [picture(data=BOMB)]
    error = refusal({}, files=files, call=edit)
    assert (error.status, error.param, error.code) == (400, part, "image_too_large")
    assert f"20000x{MAX_PIXELS // 20_000 + 1}" in error.message


def test_f07_so_is_one_that_is_inlined_in_json() -> None:
    payload = base64.b64encode(BOMB + bytes(-len(BOMB) % 3)).decode()
    for fields, param in (
        ({"images": [{"image_url": f"data:image/png;base64,{payload}"}]}, "images[0].image_url"),
        ({"image": payload}, "image"),
    ):
        error = refusal(fields, call=edit)
        assert (error.param, error.code) == (param, "image_too_large")
