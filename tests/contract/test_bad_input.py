"""What a client can send wrong, and what it is told: in OpenAI's envelope, before anybody is asked to pay.

Promise of every row in strict mode, which gives OpenAI's refusals: the status, ``param`` and ``code`` it
names, the four keys of the envelope, ``x-should-retry`` as failures f01 to f07 ask, no call to the engine,
and no file left behind. In snap mode the same, but for what can be served there (:data:`SERVED`) and for
what has a code of its own there (:data:`OTHERWISE`).
"""

from __future__ import annotations

import base64
import gc
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.unit.api.serving import (
    KEY,
    NARROW_KEY,
    PNG,
    Face,
    Reply,
    face,
    file,
    form,
    settings_with,
    text,
    uploads_left,
)

UPLOAD = {
    "max_file": "64KiB",
    "max_request": "2MiB",
    "max_parts": 24,
    "max_field": "40KiB",
    "timeout": "600ms",
}
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
OK = {"model": "gpt-image-2", "prompt": "a dot"}
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()
PICTURE = {"image_url": DATA_URL}
BASICS = (text("model", "gpt-image-2"), text("prompt", "a dot"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    folder = tmp_path_factory.mktemp("uploads")
    with face(settings_with(folder, upload=UPLOAD)) as running:
        yield running


@dataclass(frozen=True)
class Row:
    """``says`` must stand in the message."""

    name: str
    send: Callable[[Face], Reply]
    status: int
    param: str | None
    code: str | None
    says: str = ""
    type: str = "invalid_request_error"
    retry: str = "false"


def raw(name: str, body: bytes, status: int, code: str, says: str, **more: Any) -> Row:
    """A body sent as JSON, byte by byte as given."""
    kind = more.pop("kind", "application/json")
    path = more.pop("path", GENERATIONS)
    headers = {**({"content-type": kind} if kind else {}), **more.pop("headers", {})}
    return Row(name, lambda f: f.request("POST", path, body, headers), status, None, code, says, **more)


def gen(name: str, changes: dict[str, object], param: str, code: str, says: str, **more: Any) -> Row:
    """A generation with fields changed; the value ``...`` leaves one out."""
    fields = {key: value for key, value in {**OK, **changes}.items() if value is not ...}
    return Row(name, lambda f: f.post_json(GENERATIONS, fields), 400, param, code, says, **more)


def edit(name: str, changes: dict[str, object], param: str, code: str, says: str, **more: Any) -> Row:
    """A JSON edit with fields changed."""
    fields = {**OK, "images": [PICTURE], **changes}
    fields = {key: value for key, value in fields.items() if value is not ...}
    return Row(name, lambda f: f.post_json(EDITS, fields), 400, param, code, says, **more)


def sent(
    name: str,
    parts: tuple[bytes, ...],
    param: str | None,
    code: str,
    says: str,
    status: int = 400,
    **more: Any,
) -> Row:
    """An edit as a form."""
    return Row(name, lambda f: f.edit_form(*parts), status, param, code, says, **more)


def bomb() -> bytes:
    """A PNG head that claims 30,000 x 30,000 pixels."""
    return PNG[:16] + (30_000).to_bytes(4, "big") * 2 + PNG[24:]


TYPE = "invalid_type"
VALUE = "invalid_value"
MISSING = "missing_required_parameter"
UNKNOWN = "unknown_parameter"
LOW = "integer_below_min_value"
HIGH = "integer_above_max_value"
JSON = "invalid_json"
FORM = "invalid_multipart"
KIND = "unsupported_content_type"
MIME = "unsupported_file_mimetype"
TWICE = "duplicate_parameter"
UNSUPPORTED = "unsupported_parameter"
USER = {"type": "image_generation_user_error"}
JSON_ROWS = [
    raw("empty body", b"", 400, JSON, "it is empty"),
    raw("blank body", b"   ", 400, JSON, "truncated"),
    raw("cut JSON", b'{"model": "gpt-image-2"', 400, JSON, "truncated"),
    raw("single quotes", b"{'model': 'x'}", 400, JSON, "malformed"),
    raw("trailing bytes", b"{} {}", 400, JSON, "trailing"),
    raw("byte order mark", b"\xef\xbb\xbf{}", 400, JSON, "malformed"),
    raw("NaN", b'{"n": NaN}', 400, JSON, "malformed"),
    raw("number out of range", b'{"n": 1e999}', 400, JSON, "out of range"),
    raw("integer of 5000 digits", b'{"n": ' + b"9" * 5000 + b"}", 400, JSON, "out of range"),
    raw("bad UTF-8", b'{"prompt": "\xff"}', 400, JSON, "UTF-8"),
    raw("half a surrogate pair", b'{"prompt": "\\ud800"}', 400, JSON, "parse"),
    raw("depth bomb", b"[" * 100_000, 400, JSON, "nested too deeply"),
    raw("depth bomb in a thread", b"[" * 300_000, 400, JSON, "nested too deeply"),
    raw("array at the top", b"[]", 400, TYPE, "an array"),
    raw("string at the top", b'"x"', 400, TYPE, "a string"),
    raw("null at the top", b"null", 400, TYPE, "null"),
    raw("no content type", b"{}", 415, KIND, "Missing Content-Type", kind=""),
    raw("text as content type", b"{}", 415, KIND, "text/plain", kind="text/plain"),
    raw(
        "form-encoded",
        b"model=x",
        415,
        KIND,
        "'application/json'",
        kind="application/x-www-form-urlencoded",
    ),
    raw(
        "generation as a form",
        form(*BASICS),
        415,
        KIND,
        "only accepts 'application/json'",
        kind="multipart/form-data; boundary=b",
    ),
    raw(
        "edit as text",
        b"x",
        415,
        KIND,
        "'multipart/form-data' or 'application/json'",
        kind="text/plain",
        path=EDITS,
    ),
    raw("UTF-16", b"{}", 415, KIND, "UTF-8", kind="application/json; charset=utf-16"),
    raw(
        "gzipped",
        b"{}",
        415,
        "unsupported_content_encoding",
        "gzip",
        headers={"content-encoding": "gzip"},
    ),
]
FIELD_ROWS = [
    gen("no model", {"model": ...}, "model", MISSING, "'model'"),
    gen("null model", {"model": None}, "model", TYPE, "but got null instead"),
    gen("number as model", {"model": 7}, "model", TYPE, "an integer instead"),
    gen(
        "unknown model",
        {"model": "gpt-9"},
        "model",
        VALUE,
        "The model 'gpt-9' does not exist.",
        **USER,
    ),
    gen("unknown model, offer", {"model": "gpt-9"}, "model", VALUE, "may use: gpt-image-2,", **USER),
    gen("retired model", {"model": "dall-e-3"}, "model", VALUE, "2026-05-12", **USER),
    gen("retired, successor", {"model": "gpt-image-1"}, "model", VALUE, "Use 'gpt-image-2", **USER),
    gen(
        "model without its key",
        {"model": "keyless"},
        "model",
        "model_not_configured",
        "OPENAI_API_KEY",
        **USER,
    ),
    gen(
        "model without its key, hint",
        {"model": "keyless"},
        "model",
        "model_not_configured",
        "'sandbox'",
        **USER,
    ),
    gen("model before prompt", {"model": ..., "prompt": ...}, "model", MISSING, "model"),
    gen("no prompt", {"prompt": ...}, "prompt", MISSING, "'prompt'"),
    gen("null prompt", {"prompt": None}, "prompt", TYPE, "expected a string, but got null"),
    gen("empty prompt", {"prompt": ""}, "prompt", "empty_string", "minimum length 1"),
    gen("long prompt", {"prompt": "é" * 32_001}, "prompt", "string_above_max_length", "length 32001"),
    gen("prompt as a list", {"prompt": ["a"]}, "prompt", TYPE, "an array"),
    gen("unknown key", {"zoom": 1}, "zoom", UNKNOWN, "Unknown parameter: 'zoom'."),
    gen("misspelt key", {"qualty": "low"}, "qualty", UNKNOWN, "Did you mean 'quality'?"),
    gen("unknown key before prompt", {"zoom": 1, "prompt": ...}, "zoom", UNKNOWN, "zoom"),
    gen("unknown key that is null", {"zoom": None}, "zoom", UNKNOWN, "zoom"),
    gen("style", {"style": "vivid"}, "style", UNKNOWN, "'style'"),
    gen("image on generations", {"image": "x"}, "image", UNKNOWN, "'image'"),
    gen("mask on generations", {"mask": "x"}, "mask", UNKNOWN, "'mask'"),
    gen(
        "fidelity on generations",
        {"input_fidelity": "low"},
        "input_fidelity",
        UNKNOWN,
        "fidelity",
    ),
    gen("n is 0", {"n": 0}, "n", LOW, "Expected a value >= 1, but got 0 instead."),
    gen("n is 11", {"n": 11}, "n", HIGH, "Expected a value <= 10, but got 11 instead."),
    gen("n is 1.5", {"n": 1.5}, "n", TYPE, "expected an integer, but got a decimal number instead."),
    gen("n is a string", {"n": "2"}, "n", TYPE, "got a string instead."),
    gen("n is true", {"n": True}, "n", TYPE, "got a boolean instead."),
    gen("n before the rest", {"quality": "ultra", "n": 0}, "n", LOW, "'n'"),
    gen(
        "compression 101",
        {"output_compression": 101},
        "output_compression",
        HIGH,
        "<= 100",
    ),
    gen("compression -1", {"output_compression": -1}, "output_compression", LOW, ">= 0"),
    gen("4 partial images", {"partial_images": 4}, "partial_images", HIGH, "<= 3"),
    gen(
        "quality",
        {"quality": "ultra"},
        "quality",
        VALUE,
        "Invalid value: 'ultra'. Supported values are: 'low', 'medium', 'high', and 'auto'.",
    ),
    gen(
        "another model's quality",
        {"quality": "xhigh"},
        "quality",
        VALUE,
        "The model 'gpt-image-2' does not support quality 'xhigh'",
    ),
    gen(
        "format",
        {"output_format": "bogus"},
        "output_format",
        VALUE,
        "'png', 'webp', and 'jpeg'.",
    ),
    gen("moderation", {"moderation": "bogus"}, "moderation", VALUE, "'auto' and 'low'."),
    gen(
        "background",
        {"background": "red"},
        "background",
        VALUE,
        "'transparent', 'opaque', and 'auto'.",
    ),
    gen(
        "transparent jpeg",
        {"background": "transparent", "output_format": "jpeg"},
        "background",
        VALUE,
        "'png' or 'webp'",
    ),
    gen("size", {"size": "bogus"}, "size", VALUE, "Expected WIDTHxHEIGHT", **USER),
    gen(
        "size 0x0",
        {"size": "0x0"},
        "size",
        VALUE,
        "Invalid size '0x0'. Expected WIDTHxHEIGHT",
        **USER,
    ),
    gen("size is a number", {"size": 1024}, "size", TYPE, "an integer"),
    gen("size step", {"size": "1792x936"}, "size", VALUE, "both be divisible by 16.", **USER),
    gen("size too small", {"size": "512x512"}, "size", VALUE, "below the current minimum", **USER),
    gen("size edge", {"size": "2304x4096"}, "size", VALUE, "less than or equal to 3840.", **USER),
    gen("size too large", {"size": "3840x3840"}, "size", VALUE, "above the current maximum", **USER),
    gen("size ratio", {"size": "3840x1024"}, "size", VALUE, "at most 3 times", **USER),
    gen(
        "size of a fixed model",
        {"model": "gpt-image-1.5", "size": "123x456"},
        "size",
        VALUE,
        "Supported sizes are 1024x1024, 1024x1536, 1536x1024, and auto.",
        **USER,
    ),
    gen("stream", {"stream": "yes"}, "stream", TYPE, "expected a boolean"),
    gen("user is a number", {"user": 5}, "user", TYPE, "expected a string"),
    gen("user with NUL", {"user": "a\x00b"}, "user", VALUE, "NUL"),
    gen("url answers", {"response_format": "url"}, "response_format", UNKNOWN, "response"),
    gen("another response_format", {"response_format": "png"}, "response_format", UNKNOWN, "response"),
    gen("null response_format", {"response_format": None}, "response_format", UNKNOWN, "response"),
    gen("complexity on 2", {"complexity": "low"}, "complexity", UNSUPPORTED, "does not support"),
    gen(
        "svg author",
        {"model": "gpt-image-2.6-flare", "svg": {"modle": "x"}},
        "svg.modle",
        UNKNOWN,
        "Did you mean 'svg.model'?",
    ),
]
EDIT_ROWS = [
    edit(
"no images", {"images": ...}, "images", MISSING, "'images'"),
    edit(
"empty images", {"images": []}, "images", "empty_array", "minimum length 1"),
    edit(
"images is an object", {"images": {}}, "images", TYPE, "expected an array"),
    edit(
"images of strings", {"images": ["s"]}, "images[0]", TYPE, "expected an object"),
    edit(
"17 images", {"images": [PICTURE] * 17}, "images", "array_above_max_length", "length 17"),
    edit(
"image in JSON", {"image": "x"},
        "image",
        VALUE,
        "Unknown parameter: 'image'. For application/json on /v1/images/edits, use 'images' (array).",
    ),
    edit(
"file id", {"images": [{"file_id": "f"}]}, "images[0].file_id", UNSUPPORTED, "no Files API"),
    edit(
"empty object", {"images": [{}]}, "images[0].image_url", MISSING, "image_url"),
    edit(
"key of a picture", {"images": [{"url": "x"}]}, "images[0].url", UNKNOWN, "images[0].url"),
    edit(
"plain http", {"images": [{"image_url": "http://a/b"}]}, "images[0].image_url", VALUE, "https"),
    edit(
"no URL", {"images": [PICTURE, {"image_url": "x"}]}, "images[1].image_url", VALUE, "https"),
    edit(
"bad base64", {"images": [{"image_url": "data:image/png;base64,@@@@"}]},
        "images[0].image_url",
        "invalid_base64",
        "base64",
    ),
    edit(
"cut base64", {"images": [{"image_url": DATA_URL[:-1]}]},
        "images[0].image_url",
        "invalid_base64",
        "padded",
    ),
    edit(
"bad base64 in a thread", {"images": [{"image_url": DATA_URL.rstrip("=") + "A" * 400_000 + "*"}]},
        "images[0].image_url",
        "invalid_base64",
        "base64",
    ),
    edit(
"text in a data URL", {"images": [{"image_url": "data:image/png;base64,aGVsbG8gd29ybGQh"}]},
        "images[0].image_url",
        MIME,
        "'image/jpeg', 'image/png', and 'image/webp'.",
    ),
    edit(
"mask is a string", {"mask": "x"}, "mask", TYPE, "expected an object"),
    edit(
"mask and markup", {"model": "gpt-image-2.5-sunburst", "mask": PICTURE, "markup": PICTURE},
         "markup", VALUE, "combined"),
    edit(
"markup on 2", {"markup": PICTURE}, "markup", UNSUPPORTED, "does not support"),
    edit(
"fidelity", {"input_fidelity": "low"},
        "input_fidelity",
        "invalid_input_fidelity_model",
        "The model 'gpt-image-2' does not support the 'input_fidelity' parameter.",
    ),
]  # fmt: skip
FORM_ROWS = [
    sent("form without model", (file("image"), text("prompt", "x")), "model", MISSING, ""),
    sent("form without prompt", (file("image"), BASICS[0]), "prompt", MISSING, ""),
    sent("form without image", BASICS, "image", MISSING, "'image'"),
    sent("17 files", (*BASICS, *[file("image[]")] * 17), "image", "array_above_max_length", "length 17"),
    sent(
        "images in a form",
        (*BASICS, file("images")),
        "images",
        VALUE,
        "Unknown parameter: 'images'. For multipart/form-data use 'image' or 'image[]'.",
    ),
    sent("images as text", (*BASICS, text("images", "x")), "images", VALUE, "use 'image'"),
    sent("n=abc", (*BASICS, file("image"), text("n", "abc")), "n", TYPE, "could not be converted"),
    sent("n=0", (*BASICS, file("image"), text("n", "0")), "n", LOW, ">= 1"),
    sent("stream=yes", (*BASICS, file("image"), text("stream", "yes")), "stream", TYPE, "a boolean"),
    sent("unknown field", (*BASICS, file("image"), text("zoom", "1")), "zoom", UNKNOWN, "zoom"),
    sent("unknown file", (*BASICS, file("image"), file("zoom")), "zoom", UNKNOWN, "zoom"),
    sent("prompt twice", (*BASICS, text("prompt", "y")), "prompt", TWICE, "Duplicate"),
    sent(
        "prompt as file",
        (BASICS[0], file("image"), file("prompt")),
        "prompt",
        TYPE,
        "got a file",
    ),
    sent(
        "quality as file",
        (*BASICS, file("image"), file("quality")),
        "quality",
        TYPE,
        "expected a string, but got a file instead.",
    ),
    sent("image as text", (*BASICS, text("image", "x")), "image", TYPE, "file name"),
    sent("two masks", (*BASICS, file("image"), file("mask"), file("mask")), "mask", TWICE, ""),
    sent("empty file", (*BASICS, file("image", b"")), "image", "empty_file", "empty"),
    sent(
        "text as picture",
        (*BASICS, file("image", b"hello world, no picture")),
        "image",
        MIME,
        "Invalid file 'image': unsupported mimetype ('application/octet-stream'). "
        "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'.",
    ),
    sent(
        "second of two is a gif",
        (*BASICS, file("image[]"), file("image[]", b"GIF89a" + bytes(20))),
        "image",
        MIME,
        "Invalid file 'image[1]': unsupported mimetype ('image/gif').",
    ),
    sent(
        "mask is a jpeg",
        (*BASICS, file("image"), file("mask", b"\xff\xd8\xff\xe0" + bytes(20))),
        "mask",
        MIME,
        "Supported file formats are 'image/png'.",
    ),
    sent(
        "f07 claims 900 megapixels",
        (*BASICS, file("image", bomb())),
        "image",
        "image_too_large",
        "30000x30000",
    ),
    sent(
        "bad UTF-8 in a text",
        (BASICS[0], text("prompt", b"\xff\xfe")),
        "prompt",
        FORM,
        "UTF-8",
    ),
    sent(
        "charset of a text",
        (BASICS[0], text("prompt", "x", "\r\nContent-Type: text/plain; charset=utf-16")),
        "prompt",
        FORM,
        "UTF-8",
    ),
    sent(
        "part without a name",
        (b"Content-Disposition: form-data\r\n\r\nx",),
        None,
        FORM,
        "name",
    ),
    sent("part without headers", (b"\r\nx",), None, FORM, "Content-Disposition"),
    sent(
        "part of another kind",
        (b"Content-Disposition: attachment; name=a\r\n\r\nx",),
        None,
        FORM,
        "Wrong type",
    ),
    sent("header that is no header", (b"hello\r\n\r\nx",), None, FORM, "Malformed"),
    sent("nested too deeply", (*BASICS, text("svg" + "[a]" * 9, "x")), None, FORM, "nested"),
    sent(
        "svg twice",
        (*BASICS, text("svg", "x"), text("svg[model]", "y")),
        "svg[model]",
        TWICE,
        "",
    ),
    sent("25 parts", tuple(text(f"f{i}", "x") for i in range(25)), None, "too_many_parts", "24 parts", 413),
    sent(
        "file too large",
        (*BASICS, file("image", PNG + bytes(65_536))),
        "image",
        "file_too_large",
        "65536",
        413,
    ),
    sent("text too large", (text("prompt", "x" * 41_000),), "prompt", "field_too_large", "40960", 413),
    sent("picture sent as text", (*BASICS, text("image", bytes(60_000))), "image", TYPE, "file name"),
    sent(
        "header too large",
        (text("a", "x", "\r\nX-A: " + "y" * 9_000),),
        None,
        "part_headers_too_large",
        "",
        413,
    ),
    sent("too many headers", (text("a", "x", "\r\nX-A: y" * 20),), None, "part_headers_too_large", "", 413),
    Row(
        "no boundary",
        lambda f: f.request("POST", EDITS, form(*BASICS), {"content-type": "multipart/form-data"}),
        400,
        None,
        FORM,
        "boundary",
    ),
    Row(
        "another boundary",
        lambda f: f.request(
            "POST", EDITS, form(*BASICS), {"content-type": "multipart/form-data; boundary=zz"}
        ),
        400,
        None,
        FORM,
        "end of multipart",
    ),
    Row(
        "cut form",
        lambda f: f.request(
            "POST",
            EDITS,
            form(*BASICS, file("image"))[:-6],
            {"content-type": "multipart/form-data; boundary=b"},
        ),
        400,
        None,
        FORM,
        "end of multipart",
    ),
    Row(
        "empty form",
        lambda f: f.request("POST", EDITS, b"", {"content-type": "multipart/form-data; boundary=b"}),
        400,
        None,
        FORM,
        "end of multipart",
    ),
    Row(
        "form with nothing in it",
        lambda f: f.request("POST", EDITS, b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}),
        400,
        "model",
        MISSING,
    ),
]
OTHER_ROWS = [
    Row("f02 no key", lambda f: f.post_json(GENERATIONS, OK, None), 401, None, None,
        "You didn't provide an API key"),
    Row("f02 wrong key", lambda f: f.post_json(GENERATIONS, OK, "sk-proj-" + "a" * 30), 401, None,
        "invalid_api_key", "Incorrect API key provided: sk-proj-"),
    Row("f03 model not allowed", lambda f: f.post_json(GENERATIONS, OK, NARROW_KEY), 403, "model",
        "model_not_allowed", "'narrow' of project 'Growth.Team' may not use the model 'gpt-image-2'"),
    Row("f04 declared too large", lambda f: f.request("POST", EDITS, bytes(3_000_000),
        {"content-type": "application/json"}), 413, None, "request_too_large", "2097152"),
    Row("client request id", lambda f: f.request("POST", GENERATIONS, json.dumps(OK).encode(),
        {"content-type": "application/json", "x-client-request-id": "é"}), 400, "X-Client-Request-Id",
        VALUE, "ASCII"),
    Row("GET", lambda f: f.request("GET", GENERATIONS), 405, None, "method_not_allowed", "POST"),
    Row("unknown path", lambda f: f.request("POST", "/v1/pictures"), 404, None, "unknown_url",
        "POST /v1/pictures"),
    Row("variations", lambda f: f.request("POST", "/v1/images/variations"), 404, None, "unsupported_endpoint",
        "edits"),
]  # fmt: skip
ROWS = JSON_ROWS + FIELD_ROWS + EDIT_ROWS + FORM_ROWS + OTHER_ROWS


SERVED = {
    "style",
    "fidelity on generations",
    "fidelity",
    "another model's quality",
    "size step",
    "size too small",
    "size edge",
    "size too large",
    "size ratio",
    "size of a fixed model",
    "url answers",
    "null response_format",
    "complexity on 2",
    "images in a form",
}
"""Rows that OpenAI refuses and that are served in snap mode."""

IMAGE = "unsupported_image"
OTHERWISE = {
    "another response_format": ("response_format", VALUE, "'url' and 'b64_json'"),
    "images is an object": ("images.image_url", MISSING, "image_url"),
    "images of strings": ("images[0]", VALUE, "https URL"),
    "mask is a string": ("mask", VALUE, "https URL"),
    "mask and markup": ("markup", "unsupported_value", "combined"),
    "images as text": ("images", VALUE, "https URL"),
    "image as text": ("image", VALUE, "https URL"),
    "picture sent as text": ("image", VALUE, "https URL"),
    "text in a data URL": ("images[0].image_url", IMAGE, "'image/jpeg', 'image/png', and 'image/webp'."),
    "text as picture": ("image", IMAGE, "Invalid file 'image': unsupported mimetype"),
    "second of two is a gif": ("image", IMAGE, "Invalid file 'image[1]': unsupported mimetype"),
    "mask is a jpeg": ("mask", IMAGE, "Supported file formats are 'image/png'."),
}
"""What snap mode says of a row: param, code and words."""


def test_the_table_is_long_and_its_names_differ() -> None:
    names = {row.name for row in ROWS}
    assert len(names) == len(ROWS) >= 60
    assert names >= SERVED | set(OTHERWISE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_f01_bad_input_is_refused_in_words_before_anything_is_paid(server: Face, row: Row) -> None:
    assert_refused(replace(server, mode="strict"), row)


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in SERVED], ids=lambda row: row.name)
def test_f01_so_it_is_in_snap_mode_where_nothing_near_it_can_be_served(server: Face, row: Row) -> None:
    param, code, says = OTHERWISE.get(row.name, (row.param, row.code, row.says))
    assert_refused(server, replace(row, param=param, code=code, says=says))


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in SERVED], ids=lambda row: row.name)
def test_what_openai_refuses_and_a_model_can_come_near_to_is_served_in_snap_mode(row: Row) -> None:
    with face() as server:
        assert row.send(server).status == 200
        assert len(server.engine.plans[0].candidates) == 1


def assert_refused(server: Face, row: Row) -> None:
    reply = row.send(server)
    error = reply.error
    assert (reply.status, error["param"], error["code"]) == (row.status, row.param, row.code), error
    assert row.says in error["message"]
    assert error["type"] == row.type
    assert list(error) == ["message", "type", "param", "code"]
    assert reply.headers["x-should-retry"] == row.retry
    assert server.engine.calls == []
    assert_nothing_left(server)


@dataclass
class Wire:
    """One raw connection."""

    link: socket.socket
    received: bytes = field(default=b"")

    def head(self, path: str, *lines: str, key: str = KEY) -> None:
        text = "\r\n".join([f"POST {path} HTTP/1.1", "host: h", f"authorization: Bearer {key}", *lines])
        self.link.sendall(f"{text}\r\n\r\n".encode())

    def until_closed(self) -> bytes:
        with self.link:
            while chunk := self.link.recv(65_536):
                self.received += chunk
        return self.received


@pytest.fixture
def wire(server: Face) -> Iterator[Wire]:
    link = server.connect()
    yield Wire(link)
    link.close()


JSON_LINE = "content-type: application/json"
FORM_LINE = "content-type: multipart/form-data; boundary=b"


def test_f04_a_declared_body_over_the_limit_is_refused_before_it_is_sent(server: Face, wire: Wire) -> None:
    wire.head(EDITS, FORM_LINE, "content-length: 999999999", "expect: 100-continue")
    answer = wire.until_closed()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer
    assert b"connection: close" in answer
    assert server.engine.calls == []


def test_f05_a_chunked_body_over_the_limit_is_refused_and_the_connection_closed(
    server: Face, wire: Wire
) -> None:
    wire.head(EDITS, FORM_LINE, "transfer-encoding: chunked")
    part = b"--b\r\n" + file("image", bytes(60_000)) + b"\r\n"
    for _ in range(40):
        wire.link.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    answer = wire.until_closed()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"request_too_large"' in answer or b'"too_many_parts"' in answer
    assert server.engine.calls == []
    assert_nothing_left(server)


@pytest.mark.parametrize(
    ("line", "begun"),
    [
        (JSON_LINE, b'{"model":'),
        (FORM_LINE, b"--b\r\n" + text("prompt", "half")),
        (FORM_LINE, b"--b\r\n" + file("image", PNG)),
        (FORM_LINE, b""),
    ],
    ids=["json", "text part", "file part", "nothing"],
)
@pytest.mark.parametrize("declared", [900, 100_000])
def test_f06_a_body_that_does_not_come_is_a_408_at_its_deadline(
    server: Face, wire: Wire, line: str, begun: bytes, declared: int
) -> None:
    started = time.monotonic()
    wire.head(EDITS, line, f"content-length: {declared}")
    wire.link.sendall(begun)
    answer = wire.until_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"request_timeout"' in answer
    assert b"x-should-retry: true" in answer
    assert time.monotonic() - started > 0.5
    assert server.engine.calls == []
    assert_nothing_left(server)


def test_f06_a_body_that_trickles_is_a_408_however_often_a_byte_comes(server: Face, wire: Wire) -> None:
    wire.head(EDITS, JSON_LINE, "content-length: 100000")
    wire.link.setblocking(False)
    until = time.monotonic() + 20
    answer = b""
    while time.monotonic() < until and b"\r\n\r\n" not in answer:
        time.sleep(0.05)
        try:
            wire.link.send(b" ")
            answer += wire.link.recv(65_536)
        except BlockingIOError:
            continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert server.engine.calls == []


@pytest.mark.parametrize(
    "begun", [b"", b"--b\r\n" + file("image", PNG + bytes(30_000))], ids=["nothing", "half"]
)
def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing(
    server: Face, wire: Wire, begun: bytes
) -> None:
    wire.head(EDITS, FORM_LINE, "content-length: 200000")
    wire.link.sendall(begun)
    time.sleep(0.05)
    wire.link.close()
    time.sleep(0.1)
    assert server.engine.calls == []
    assert_nothing_left(server)


def test_a_body_that_waits_for_leave_is_not_asked_for_when_it_is_refused(server: Face, wire: Wire) -> None:
    wire.head(EDITS, FORM_LINE, "content-length: 900", "expect: 100-continue", key="sk-wrong")
    answer = wire.until_closed()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answer
    assert server.engine.calls == []


@pytest.mark.parametrize(
    "lines",
    [
        ("content-length: 2", "transfer-encoding: chunked"),
        ("content-length: 2", "content-length: 3"),
        ("content-length: -1",),
        ("content-length: x",),
    ],
    ids=["length and chunked", "two lengths", "negative length", "no number"],
)
def test_lengths_that_can_be_read_in_two_ways_are_refused_by_the_server(
    server: Face, wire: Wire, lines: tuple[str, ...]
) -> None:
    wire.head(GENERATIONS, JSON_LINE, *lines)
    wire.link.sendall(b"{}")
    answer = wire.until_closed()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'{"error":{"message":' in answer
    assert server.engine.calls == []


def test_what_follows_a_length_that_was_too_short_is_not_taken_for_a_request(
    server: Face, wire: Wire
) -> None:
    body = json.dumps({**OK, "size": "bogus"}).encode()
    wire.head(GENERATIONS, JSON_LINE, f"content-length: {len(body) - 5}")
    wire.link.sendall(body)
    answer = wire.until_closed()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"invalid_json"' in answer or b'"bad_http"' in answer
    assert b"200 OK" not in answer
    assert server.engine.calls == []


def test_a_refusal_before_the_body_was_read_reaches_a_client_that_still_sends(
    server: Face, wire: Wire
) -> None:
    wire.head(EDITS, FORM_LINE, "content-length: 1500000", key="sk-wrong-key-000000000000000")
    wire.link.sendall(bytes(1_500_000))
    answer = wire.until_closed()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(b"}}")
    assert b"connection: close" in answer


def assert_nothing_left(server: Face) -> None:
    """Within a moment no upload is open any more, and none has a name."""
    until = time.monotonic() + 15
    while uploads_left(server.uploads) and time.monotonic() < until:
        time.sleep(0.02)
        gc.collect()
    assert uploads_left(server.uploads) == []


def test_json_bodies_share_a_bounded_memory() -> None:
    """One more than fits is told to try again, and what was taken is given back."""
    with face(settings_with(upload={"json_memory": 100_000})) as server:
        picture = "data:image/png;base64," + "A" * 120_000
        document = {"model": "gpt-image-2", "prompt": "x", "images": [{"image_url": picture}]}
        reply = server.post_json(EDITS, document)
        assert (reply.status, reply.error["code"]) == (503, "too_many_json_bodies")
        assert reply.headers["x-should-retry"] == "true"
        assert [server.generate(user="u" * 40_000).status for _ in range(6)] == [200] * 6
