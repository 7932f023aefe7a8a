"""Another dialect's JSON goes past with its pictures copied and everything else kept, wherever chunks end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import Certainty, Kind, ProviderError
from providers.splicing import Path, Splicer, Unreadable, as_openai

TEXT = st.text(max_size=12) | st.sampled_from(['"', "\\", '\\"', "{[", "},", "é\u2028😀", "picture"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(TEXT, VALUES, max_size=5)
CUTS = st.lists(st.integers(0, 400), max_size=30)


def is_picture(path: Path) -> bool:
    return "picture" in path


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = [0, *sorted(place for place in at if place < len(data)), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def strings_of_pictures(value: Any, path: Path = ()) -> list[str]:
    if isinstance(value, dict):
        return [text for key, each in value.items() for text in strings_of_pictures(each, (*path, key))]
    if isinstance(value, list):
        return [
            text for place, each in enumerate(value) for text in strings_of_pictures(each, (*path, place))
        ]
    return [value] if isinstance(value, str) and is_picture(path) else []


def without_pictures(value: Any, path: Path = ()) -> Any:
    if isinstance(value, dict):
        return {key: without_pictures(each, (*path, key)) for key, each in value.items()}
    if isinstance(value, list):
        return [without_pictures(each, (*path, place)) for place, each in enumerate(value)]
    return "" if isinstance(value, str) and is_picture(path) else value


@given(DOCUMENTS, CUTS, st.booleans(), st.booleans())
def test_pictures_and_the_rest_are_told_apart_wherever_chunks_end(
    document: dict[str, Any], at: list[int], ascii_only: bool, spaced: bool
) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only, indent=1 if spaced else None).encode()
    splicer, found = Splicer(is_picture), []
    for chunk in cut(raw, at):
        for piece in splicer.feed(chunk):
            if piece.first:
                found.append(b"")
            found[-1] += piece.data
    assert [json.loads(b'"%b"' % text) for text in found] == strings_of_pictures(document)
    assert splicer.finish() == without_pictures(document)
    assert len(splicer.pictures) == len(found)


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b'"a"', b"{", b'{"a', b'{"a":"b', b'{"a":1}}', b"}", b'{"a":tru}', b"{}{}", b"[" * 100],
)
def test_what_is_no_whole_object_is_unreadable(raw: bytes) -> None:
    splicer = Splicer(is_picture)
    with pytest.raises(Unreadable):
        for _ in splicer.feed(raw):
            pass
        splicer.finish()


def test_a_long_string_that_is_no_picture_reads_as_empty_and_too_much_text_is_refused() -> None:
    splicer = Splicer(is_picture)
    assert list(splicer.feed(b'{"signature":"' + b"a" * 3_000_000 + b'","b":"c"}')) == []
    assert splicer.finish() == {"signature": "", "b": "c"}
    with pytest.raises(Unreadable, match="too much"):
        list(Splicer(is_picture).feed(b'{"a":[' + b'"word",' * 300_000))


async def spoken(chunks: list[bytes], rest: Mapping[str, object] | None = None) -> dict[str, Any]:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    def fields(document: dict[str, object], pictures: int) -> Mapping[str, object]:
        return {**(rest or {}), "seen": document, "pictures": pictures}

    answer = as_openai(body(), is_picture, fields, provider="it")
    return dict(json.loads(b"".join([piece async for piece in answer])))


@pytest.mark.parametrize("step", [1, 7, 10_000])
async def test_base64_data_urls_and_links_become_items_of_data(step: int) -> None:
    given = {
        "picture": ["QUJD", "data:image/png;base64,REVG", "https://example.com/a.png", "", "x" * 1000],
        "usage": {"n": 1},
    }
    raw = json.dumps(given).replace("/", "\\/").encode()
    document = await spoken([raw[at : at + step] for at in range(0, len(raw), step)], {"usage": {"a": 1}})
    assert document["data"] == [
        {"b64_json": "QUJD"},
        {"b64_json": "REVG"},
        {"url": "https://example.com/a.png"},
        {"b64_json": "x" * 1000},
    ]
    assert document["usage"] == {"a": 1}
    assert document["seen"] == {"picture": [""] * 5, "usage": {"n": 1}}
    assert list(document)[:2] == ["created", "data"]


async def test_an_answer_that_ends_early_is_a_bad_payload() -> None:
    with pytest.raises(ProviderError) as caught:
        await spoken([b'{"picture":["QUJD'])
    assert (caught.value.kind, caught.value.certainty) == (Kind.BAD_PAYLOAD, Certainty.ANSWERED)
