import base64
import io
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.images.skeleton import SHORT, BadAnswer, EmptyAnswer, Scanned, Scanner, pictures


def picture(form: str = "PNG", size: tuple[int, int] = (640, 480)) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(out, form)
    return out.getvalue()


def scan(body: bytes, step: int) -> Scanned:
    scanner = Scanner()
    for at in range(0, len(body), step):
        scanner.feed(body[at : at + step])
    return scanner.finish()


def answer(*texts: str, **more: object) -> bytes:
    return json.dumps({"created": 1, "data": [{"b64_json": text} for text in texts], **more}).encode()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
@pytest.mark.parametrize("step", [7, 4096, 262144])
def test_each_format_is_recognised_with_its_size_whatever_the_chunks(form: str, step: int) -> None:
    text = base64.b64encode(picture(form)).decode()
    scanned = scan(answer(text, text, usage={"output_tokens": 5}), step)
    found = pictures(scanned)
    assert [(p.format, p.size) for p in found] == [(form.lower(), "640x480")] * 2
    assert scanned.document["usage"] == {"output_tokens": 5}


def test_a_long_string_is_kept_as_its_place_only() -> None:
    text = base64.b64encode(picture()).decode()
    body = answer(text)
    scanned = scan(body, 1000)
    (long,) = scanned.longs
    assert body[long.start : long.end].decode() == text
    assert len(long.head) == SHORT


@pytest.mark.parametrize("size", [(8, 8), (640, 480)])
@pytest.mark.parametrize("step", [1, 8191, 262144])
def test_escaped_slashes_are_counted_out(size: tuple[int, int], step: int) -> None:
    text = base64.b64encode(picture("PNG", size)).decode().replace("/", "\\/")
    body = b'{"data":[{"b64_json":"' + text.encode() + b'"}]}'
    assert pictures(scan(body, step))[0].size == f"{size[0]}x{size[1]}"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
def test_a_picture_cut_at_a_multiple_of_four_is_still_seen_as_cut(form: str) -> None:
    text = base64.b64encode(picture(form)).decode()
    with pytest.raises(BadAnswer):
        pictures(scan(answer(text[: len(text) // 8 * 4]), 4096))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"created":1,"data":[]}', EmptyAnswer),
        (b'{"created":1}', EmptyAnswer),
        (b'{"created":1,"data":null}', EmptyAnswer),
        (b'{"created":1,"data":[{}]}', EmptyAnswer),
        (b'{"created":1,"data":[{"b64_json":""}]}', EmptyAnswer),
        (b'{"created":1,"data":["x"]}', BadAnswer),
        (b'{"created":1,"data":[{"b64_json":"abc"}]}', BadAnswer),
        (b'{"created":1,"data":[{"b64_json":"????"}]}', BadAnswer),
        (b'{"created":1,"data":[{"b64_json":"AAAA"}]}', BadAnswer),
        (b'{"created":1,"data":[{"b64_json":"AA', BadAnswer),
        (b'{"created":1,"data":[', BadAnswer),
        (b"[]", BadAnswer),
        (b"", BadAnswer),
        (b"<html>", BadAnswer),
        (b'{"a":' * 100_000, BadAnswer),
    ],
)
def test_an_unusable_answer_is_refused(body: bytes, error: type[BadAnswer]) -> None:
    with pytest.raises(error):
        pictures(scan(body, 5))


def test_too_much_json_beside_the_pictures_is_refused_while_it_arrives() -> None:
    scanner = Scanner()
    with pytest.raises(BadAnswer, match="besides"):
        for _ in range(100):
            scanner.feed(b'{"k":0},' * 4000)


def test_a_url_is_not_judged() -> None:
    assert pictures(scan(b'{"data":[{"url":"https://x.example/a.png"}]}', 9))[0].format is None


_texts = st.text(max_size=40) | st.text(alphabet='\\"/ab\u00e9', min_size=SHORT - 4, max_size=SHORT + 40)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=5), _texts, max_size=4), st.integers(1, 9000), st.booleans())
def test_short_strings_survive_and_long_ones_are_found(
    document: dict[str, str], step: int, ascii_only: bool
) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    scanned = scan(body, step)
    assert scanned.document.keys() == document.keys()
    for key, value in document.items():
        long = scanned.long(scanned.document[key])
        if long is None or value.startswith("\x00long:"):
            assert scanned.document[key] == value
        else:
            assert json.loads(b'"' + body[long.start : long.end] + b'"') == value


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 50))
def test_arbitrary_bytes_give_an_answer_or_bad_answer(body: bytes, step: int) -> None:
    with suppress(BadAnswer):
        assert pictures(scan(body, step))
