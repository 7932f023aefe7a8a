"""Two calls are the same call exactly when everything that decides what is made is the same."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from gateway.engine.fingerprint import Fingerprint
from gateway.images.call import Delivery, ImageCall
from providers.base import InputFile, InputRef, Operation


def call(**changes: Any) -> ImageCall:
    params = {"size": "1024x1024", "n": 2}
    return replace(ImageCall(Operation.GENERATE, "gpt-image-2", "a red kite", params), **changes)


def file(data: bytes, name: str = "a.png") -> InputFile:
    return InputFile(name, "image/png", len(data), lambda: io.BytesIO(data))


def url(text: str) -> InputRef:
    return InputRef(f"data:image/png;base64,{text}")


UNLIKE = [
    call(),
    call(operation=Operation.EDIT),
    call(model="gpt-image-1.5"),
    call(prompt="a red kite "),
    call(params={"size": "1024x1024", "n": 1}),
    call(params={"size": "1024x1024", "n": 2, "seed": 1}),
    call(params={"size": "1024x1024", "n": "2"}),
    call(strict=True),
    call(delivery=Delivery("url")),
    call(delivery=Delivery(report=True)),
    call(images=(file(b"one"),)),
    call(images=(file(b"two"),)),
    call(images=(file(b"one"), file(b"two"))),
    call(images=(file(b"two"), file(b"one"))),
    call(images=(file(b"onetwo"),)),
    call(images=(file(b"one"),), mask=file(b"two")),
    call(images=(file(b"one"),), markup=file(b"two")),
    call(images=(url("a" * 8000),)),
    call(images=(url("b" * 8000),)),
    call(images=(url("a"),)),
    call(images=(url("b"),)),
]


async def test_whatever_differs_makes_another_call() -> None:
    digests = [await Fingerprint(each).digest() for each in UNLIKE]
    assert len(set(digests)) == len(UNLIKE)


async def test_who_asks_for_it_makes_another_call() -> None:
    people = [("alice",), ("bob",), (None,), ("alice", "x"), ()]
    assert len({await Fingerprint(call(), *who).digest() for who in people}) == len(people)


async def test_the_order_of_fields_and_a_files_name_make_no_difference() -> None:
    params = {"n": 2, "size": "1024x1024"}
    assert await Fingerprint(call(params=params)).digest() == await Fingerprint(call()).digest()
    one, other = call(images=(file(b"one", "a.png"),)), call(images=(file(b"one", "b.png"),))
    assert await Fingerprint(one).digest() == await Fingerprint(other).digest()


async def test_calls_with_unlike_outlines_are_unlike() -> None:
    seen: dict[bytes, str] = {}
    for each in UNLIKE:
        fingerprint = Fingerprint(each)
        seen.setdefault(fingerprint.outline, await fingerprint.digest())
    assert len(seen) > len(UNLIKE) - 5


async def test_files_that_are_gone_were_read_before() -> None:
    handles = [io.BytesIO(b"one")]
    once = InputFile("a.png", "image/png", 3, handles.pop)
    fingerprint = Fingerprint(call(images=(once,)))
    fingerprint.begin()
    assert await fingerprint.digest() == await fingerprint.digest()
    with pytest.raises(IndexError):
        await Fingerprint(call(images=(once,))).digest()


async def test_half_a_surrogate_pair_is_a_prompt_like_any_other() -> None:
    assert await Fingerprint(call(prompt="\ud800")).digest() != await Fingerprint(call(prompt="?")).digest()
