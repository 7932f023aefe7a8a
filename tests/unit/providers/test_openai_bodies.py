"""Request bodies, read back by parsers that are not ours."""

from __future__ import annotations

import base64
import json
from email import message_from_bytes
from email.message import Message

import pytest

from providers.base import ImageRequest, InputImage, InputRef, Operation
from providers.openai_bodies import body_of
from providers.upload import Upload
from tests.unit.providers.wire import Counted, picture_file

URL = InputRef("https://example.org/a.png")


async def sent(upload: Upload) -> bytes:
    body = b"".join([piece async for piece in upload])
    assert len(body) == upload.length
    return body


async def parts(upload: Upload) -> list[tuple[str, Message]]:
    """Each part's name and the part, by the standard library's parser."""
    head = f"Content-Type: {upload.content_type}\r\n\r\n".encode()
    found = message_from_bytes(head + await sent(upload)).get_payload()
    return [(str(part.get_param("name", header="content-disposition")), part) for part in found]  # type: ignore[union-attr]


def edit(images: list[InputImage], mask: InputImage | None = None, **params: object) -> ImageRequest:
    return ImageRequest(Operation.EDIT, "m", "grün ☂", params, images, mask)


async def test_a_generation_is_json_with_every_field_in_its_type() -> None:
    request = ImageRequest(Operation.GENERATE, "m", "grün ☂")
    svg = {"model": "a", "reasoning": {"effort": "low"}}
    upload = await body_of(request, {"model": "m", "n": 2, "stream": True, "svg": svg})
    assert upload.content_type == "application/json"
    assert json.loads(await sent(upload)) == {
        "model": "m",
        "prompt": "grün ☂",
        "n": 2,
        "stream": True,
        "svg": svg,
    }


async def test_one_picture_goes_as_image_and_several_as_image_with_brackets() -> None:
    one = await parts(await body_of(edit([picture_file(b"A")]), {"model": "m"}))
    assert [name for name, _ in one] == ["model", "prompt", "image"]
    two = await parts(
        await body_of(edit([picture_file(b"A"), picture_file(b"B")], picture_file(b"M")), {"model": "m"})
    )
    assert [name for name, _ in two] == ["model", "prompt", "image[]", "image[]", "mask"]
    assert [part.get_payload(decode=True) for _, part in two[2:]] == [b"A", b"B", b"M"]
    assert two[2][1].get_filename() == "a.png"
    assert two[2][1].get_content_type() == "image/png"


async def test_an_edit_with_a_field_that_forms_do_not_have_is_json() -> None:
    """OpenAI documents ``moderation`` for JSON edits and not for forms."""
    upload = await body_of(edit([picture_file(b"A")], picture_file(b"M")), {"moderation": "low"})
    assert upload.content_type == "application/json"
    body = json.loads(await sent(upload))
    assert body["moderation"] == "low"
    assert body["images"] == [{"image_url": "data:image/png;base64," + base64.b64encode(b"A").decode()}]
    assert body["mask"] == {"image_url": "data:image/png;base64," + base64.b64encode(b"M").decode()}
    form = await body_of(edit([picture_file(b"A")]), {"moderation": None})
    assert form.content_type.startswith("multipart/form-data")


async def test_text_parts_are_strings_nested_values_take_brackets_and_none_is_left_out() -> None:
    params = {
        "n": 2,
        "stream": False,
        "user": None,
        "svg": {"model": "a", "reasoning": {"effort": "low"}},
        "tags": ["x", "y"],
    }
    found = await parts(await body_of(edit([picture_file(b"A")]), params))
    texts = [(name, part.get_payload(decode=True).decode()) for name, part in found[:-1]]  # type: ignore[union-attr]
    assert texts == [
        ("n", "2"),
        ("stream", "false"),
        ("svg[model]", "a"),
        ("svg[reasoning][effort]", "low"),
        ("tags[]", "x"),
        ("tags[]", "y"),
        ("prompt", "grün ☂"),
    ]


async def test_nothing_in_a_name_can_end_its_header() -> None:
    evil = 'a"\r\nX-Evil: 1\r\n\r\n'
    upload = await body_of(edit([picture_file(b"A", name=evil)]), {evil: "v"})
    assert b"\r\nX-Evil" not in await sent(upload)


async def test_markup_goes_along_with_the_picture() -> None:
    request = ImageRequest(Operation.EDIT, "m", "p", {}, [picture_file(b"A")], None, picture_file(b"O"))
    assert [name for name, _ in await parts(await body_of(request, {}))] == ["prompt", "image", "markup"]


async def test_pictures_by_url_make_it_json() -> None:
    upload = await body_of(
        edit([URL, InputRef("data:image/png;base64,AAAA")], URL), {"model": "m", "n": None}
    )
    assert json.loads(await sent(upload)) == {
        "model": "m",
        "prompt": "grün ☂",
        "images": [{"image_url": "https://example.org/a.png"}, {"image_url": "data:image/png;base64,AAAA"}],
        "mask": {"image_url": "https://example.org/a.png"},
    }


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 3 * 256 * 1024, 3 * 256 * 1024 + 1, 2_000_000])
async def test_a_file_among_urls_becomes_a_data_url_piece_by_piece(size: int) -> None:
    source = Counted(bytes(range(256)) * (size // 256) + bytes(size % 256))
    upload = await body_of(edit([source.file(), URL]), {})
    first, second = json.loads(await sent(upload))["images"]
    head, _, data = first["image_url"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == source.data
    assert second == {"image_url": "https://example.org/a.png"}
    assert source.largest_read <= 3 * 256 * 1024
    assert source.open_now == 0


async def test_a_large_data_url_arrives_whole() -> None:
    data = "data:image/png;base64," + "A" * 1_000_000
    upload = await body_of(edit([InputRef(data)]), {})
    assert json.loads(await sent(upload))["images"][0]["image_url"] == data


async def test_handed_over_is_true_from_the_last_piece_on_and_not_before() -> None:
    upload = await body_of(edit([picture_file(bytes(600 * 1024))]), {})
    seen = []
    upload.on_progress = lambda: seen.append((upload.handed_over, upload.finished))
    assert (upload.started, upload.handed_over) == (False, False)
    await sent(upload)
    assert [handed for handed, _ in seen] == [False] * (len(seen) - 2) + [True, True]
    assert [finished for _, finished in seen] == [False] * (len(seen) - 1) + [True]
