"""Forms as clients really write them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from config.server import UploadSettings
from gateway.api.body import Body
from gateway.api.form_names import put, split_name
from gateway.api.multipart import Form, boundary_of, read_form
from gateway.errors import InvalidRequest
from gateway.media.uploads import MEMORY, Uploads
from tests.unit.api.serving import PNG, file, form, text


async def parsed(body: bytes, boundary: str = "b", step: int = 65_536) -> Form:
    """The form, fed in pieces of ``step`` bytes."""
    pieces = [body[at : at + step] for at in range(0, len(body), step)]

    async def receive() -> Any:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    source = Body(receive, {b"transfer-encoding": b"chunked"})
    source.limit(10**9)
    return await read_form(source, boundary, UploadSettings(), Uploads())


@pytest.mark.parametrize("step", [1, 7, 65_536])
async def test_a_form_reads_the_same_however_it_is_cut(step: int) -> None:
    found = await parsed(
        form(text("prompt", "a\r\n--b\r\nc ☃"[:3] + "☃"), file("image[]", PNG), text("n", "2")), step=step
    )
    assert found.fields == {"prompt": "a\r\n☃", "n": "2"}
    with found.files[0].file.open() as handle:
        assert handle.read() == PNG
    assert (found.files[0].part, found.files[0].picture.size) == ("image", "1x1")


DOTNET = (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=prompt\r\n\r\nhello",
    b"Content-Disposition: form-data; name=image; filename=a.png; filename*=utf-8''a.png\r\n\r\n" + PNG,
    b"Content-Disposition: form-data; name=mask; filename*=utf-8''m%20k.png\r\n\r\n" + PNG,
)


async def test_dotnets_unquoted_names_and_extended_file_names_are_read() -> None:
    boundary = boundary_of('multipart/form-data; boundary="=_(x)/?:,+d8=1"')
    assert boundary == "=_(x)/?:,+d8=1"
    found = await parsed(form(*DOTNET, boundary=boundary), boundary)
    assert found.fields == {"prompt": "hello"}
    assert [(raw.part, raw.file.content_type) for raw in found.files] == [
        ("image", "image/png"),
        ("mask", "image/png"),
    ]


@pytest.mark.parametrize("header", ["multipart/form-data", 'multipart/form-data; boundary=""',
                                    "multipart/form-data; boundary=" + "x" * 201])  # fmt: skip
def test_a_boundary_has_1_to_200_characters(header: str) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        boundary_of(header)


@pytest.mark.parametrize(
    ("data", "name", "declared", "filename", "content_type"),
    [
        (PNG, "upload", "application/octet-stream", "upload.png", "image/png"),
        (PNG, "A.PNG", "image/jpeg", "A.PNG", "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "x.jpg", None, "x.jpg", "image/jpeg"),
        (b"\xff\xd8\xff\xe0" + bytes(30), "x.png", "image/png", "x.png.jpeg", "image/jpeg"),
        (b"Example data", "upload", "application/octet-stream", "upload", "application/octet-stream"),
        (b"Example data", "", "image/png", "image", "image/png"),
        (b"Example data", "../../etc/pass\tword", "not a type", "pass_word", "application/octet-stream"),
        (PNG, "n" * 300, None, "n" * 100 + ".png", "image/png"),
        (PNG, "...", None, "upload.png", "image/png"),
    ],
)
async def test_what_goes_upstream_is_named_by_what_it_is(
    data: bytes, name: str, declared: str | None, filename: str, content_type: str
) -> None:
    found = await parsed(form(file("image", data, name, declared)))
    sent = found.files[0].file
    assert (sent.filename, sent.content_type, sent.size) == (filename, content_type, len(data))


async def test_a_picture_without_a_file_name_is_a_file_when_its_type_says_so() -> None:
    found = await parsed(
        form(file("image", PNG, None, "image/png"), text("user", "{}", "\r\nContent-Type: text/x"))
    )
    assert [raw.part for raw in found.files] == ["image"]
    assert found.fields == {"user": "{}"}


def test_bracketed_names_become_lists_and_objects() -> None:
    fields: dict[str, object] = {}
    for name, value in [
        ("svg[reasoning][effort]", "low"),
        ("svg[model]", "m"),
        ("t[]", "1"),
        ("t[]", "2"),
        ("a]", "x"),
    ]:
        put(fields, name, value)
    assert fields == {"svg": {"reasoning": {"effort": "low"}, "model": "m"}, "t": ["1", "2"], "a]": "x"}
    assert split_name("image[0]") == ("image", ["0"])


@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "a[]"), ("a[]", "a[b]"), ("a[b]", "a"), ("a[b]", "a[b][c]")]
)
def test_one_name_cannot_mean_two_things(names: tuple[str, str]) -> None:
    fields: dict[str, object] = {}
    put(fields, names[0], "x")
    with pytest.raises(InvalidRequest, match="Duplicate parameter"):
        put(fields, names[1], "y")


async def test_handles_are_independent_and_survive_the_uploads_end() -> None:
    uploads = Uploads()
    upload = uploads.begin()
    for _ in range(3):
        if upload.take(b"x" * MEMORY):
            await upload.flush()
    await upload.finish()
    first, second = upload.open(), upload.open()
    assert first.read(10) == b"x" * 10
    assert (first.tell(), second.tell(), first.seek(0, 2)) == (10, 0, 3 * MEMORY)
    uploads.close()
    del upload
    assert len(second.read()) == 3 * MEMORY
    first.close()
    second.close()


async def test_many_small_files_share_one_megabyte_of_memory() -> None:
    uploads = Uploads()
    made = [uploads.begin() for _ in range(4)]
    for upload in made:
        upload.take(b"x" * (MEMORY // 2))
        await upload.finish()
    assert [upload._stored is not None for upload in made] == [False, False, True, True]
    for upload in made:
        with upload.open() as handle:
            assert len(handle.read()) == MEMORY // 2


async def test_a_full_disk_is_a_503_and_no_traceback(tmp_path: Any) -> None:
    uploads = Uploads(str(tmp_path / "not there"))
    upload = uploads.begin()
    upload.take(b"x" * MEMORY)
    with pytest.raises(Exception, match="could not store your upload") as caught:
        await upload.flush()
    assert getattr(caught.value, "status", None) == 503


async def test_a_write_that_outlives_its_request_harms_nobody() -> None:
    uploads = Uploads()
    upload = uploads.begin()
    upload.take(bytes(8 * MEMORY))
    task = asyncio.ensure_future(upload.flush())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    uploads.close()
    with pytest.raises(ValueError, match="closed"):
        upload.open()
