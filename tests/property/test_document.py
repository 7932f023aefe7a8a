"""A document composed around spans is the JSON that building it naively gives."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.images.document import Span, changed, compose, pieces, seal, summed
from gateway.images.events import EventSplitter
from gateway.images.skeleton import SHORT, Scanned, Scanner

words = st.text(max_size=12) | st.sampled_from(
    [
        "\x00long:0",
        "\x00long:1",
        '"\x00long:0"',
        '\\"\x00long:0',
        ':"\x00long:1"',
        "\x00",
        "a/b",
        "\x000:1:2\x00",
    ]
)
strings = words | st.builds(lambda word, times: (word or "x") * times, words, st.integers(SHORT, SHORT + 200))
encodeds = st.builds(
    lambda word, length: (word * length)[:length],
    st.text("ABab/+", min_size=1, max_size=9),
    st.integers(SHORT + 1, SHORT + 400),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=6,
)
items = st.dictionaries(st.sampled_from(["b64_json", "url", "revised_prompt", "x"]), strings, max_size=3)
documents = st.builds(
    lambda fields, data: {**fields, "data": data},
    st.dictionaries(st.sampled_from(["created", "size", "imagegate", "usage"]) | strings, values, max_size=4),
    st.lists(items, min_size=1, max_size=3),
)


def scan(body: bytes, step: int = 997) -> Scanned:
    scanner = Scanner()
    for at in range(0, len(body), step):
        scanner.feed(body[at : at + step])
    return scanner.finish()


def delivered(composed: list[bytes | Span], bodies: list[bytes]) -> bytes:
    return b"".join(
        bodies[piece.source][piece.start : piece.stop] if isinstance(piece, Span) else piece
        for piece in composed
    )


def data_of(scanned: Scanned) -> list[dict[str, object]]:
    data = scanned.document["data"]
    assert isinstance(data, list)
    return data


@settings(max_examples=80, deadline=None)
@given(st.lists(documents, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_composition_equals_json_built_naively(
    answers: list[dict[str, object]], escaped: bool, reported: bool
) -> None:
    bodies = [json.dumps(answer, ensure_ascii=escaped).encode("utf-8", "surrogatepass") for answer in answers]
    if any(b"\xed" in body and not escaped for body in bodies):
        bodies = [json.dumps(answer).encode() for answer in answers]
    scans = [scan(body) for body in bodies]
    changes = {"size": "64x64", "usage": {"total_tokens": 7}}
    last = {"imagegate": {"cost_usd": "0.1"}} if reported else {}
    sealed = [
        seal(item, scanned, source) for source, scanned in enumerate(scans) for item in data_of(scanned)
    ]
    composed = compose(scans[0], sealed, changes, last)
    merged = [item for answer in answers for item in answer["data"]]  # type: ignore[attr-defined]
    expected = changed({**answers[0], "data": merged}, changes, last)
    told = json.loads(delivered(composed, bodies))
    assert told == expected
    assert not reported or list(told)[-1] == "imagegate"


@settings(max_examples=50, deadline=None)
@given(encodeds, st.text("xyz/", max_size=400), words)
def test_a_new_picture_takes_the_place_of_the_old(old: str, new: str, prompt: str) -> None:
    body = json.dumps({"data": [{"b64_json": old, "revised_prompt": prompt}], "size": "a"}).encode()
    scanned = scan(body)
    other = b"head" + new.encode() + b"tail"
    item = {**data_of(scanned)[0], "b64_json": Span(1, 4, 4 + len(new))}
    composed = compose(scanned, [seal(item, scanned)], {}, {})
    told = json.loads(delivered(composed, [body, other]))
    assert told == {"data": [{"b64_json": new, "revised_prompt": prompt}], "size": "a"}


@settings(max_examples=60, deadline=None)
@given(
    encodeds,
    strings,
    st.integers(1, 5000),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_events_say_where_their_strings_lie(
    encoded: str, prompt: str, step: int, newline: bytes, named: bool, pretty: bool
) -> None:
    document = {"type": "image_generation.completed", "b64_json": encoded, "revised_prompt": prompt}
    text = json.dumps(document, indent=1 if pretty else None).encode()
    lines = [b"data: " + line for line in text.split(b"\n")]
    event = newline.join([*([b"event: image_generation.completed"] if named else []), *lines, b"", b""])
    stream = b": ping" + newline * 2 + event + event
    splitter, found, body = EventSplitter(), [], b""
    for at in range(0, len(stream), step):
        for piece, whole in splitter.feed(stream[at : at + step]):
            body += piece
            if whole is not None:
                found.append((body, whole))
                body = b""
    assert [whole.name for _, whole in found] == [
        "",
        "image_generation.completed",
        "image_generation.completed",
    ]
    for raw, whole in found[1:]:
        told = pieces(seal(whole.located().document, whole.located()))
        assert json.loads(delivered(told, [raw])) == document


def test_usages_are_added_up_key_by_key() -> None:
    one = {
        "input_tokens": 3,
        "output_tokens": 10,
        "total_tokens": 13,
        "input_tokens_details": {"text_tokens": 3},
    }
    two = {
        "input_tokens": 4,
        "total_tokens": 4,
        "input_tokens_details": {"text_tokens": 1, "image_tokens": 2},
        "note": "x",
    }
    assert summed([one, None, two]) == {
        "input_tokens": 7,
        "output_tokens": 10,
        "total_tokens": 17,
        "input_tokens_details": {"text_tokens": 4, "image_tokens": 2},
        "note": "x",
    }
    assert summed([None, None]) is None
