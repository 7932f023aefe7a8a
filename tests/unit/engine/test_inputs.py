"""Pictures given by reference: fetched or decoded where a target needs their bytes, and judged by content."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from PIL import Image

from config.catalog import CatalogModel, load_catalog
from config.inputs import Mask
from config.media import FetchSettings
from gateway.engine.inputs import materialise
from gateway.errors import GatewayError, InvalidRequest, Unavailable
from gateway.images.call import UNSEEN, ImageCall, InputSize
from gateway.images.input_sizes import input_sizes
from gateway.media.uploads import Uploads
from providers.base import InputFile, InputImage, InputRef, Operation
from providers.guarded import GuardedFetch
from tests.simulators.file_server import FileServer, drips, file_server, moves, never_ends, says
from tests.unit.images.test_look import bomb


def picture(format: str = "PNG", size: tuple[int, int] = (30, 20), **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, format, **options)
    return out.getvalue()


def inline(data: bytes) -> InputRef:
    return InputRef("data:image/png;base64," + base64.b64encode(data).decode())


def entry(*forms: str, mask: Mask | None = None) -> CatalogModel:
    known = load_catalog().get("gpt-image-2")
    assert known is not None
    return known.model_copy(
        update={"inputs": known.inputs.model_copy(update={"forms": list(forms), "mask": mask or Mask()})}
    )


ANY, FILES, NO_URLS = entry("file", "url", "data"), entry("file"), entry("file", "data")


def edit(*images: InputImage, **more: Any) -> ImageCall:
    labels = [f"images[{place}].image_url" for place in range(len(images))] + ["mask.image_url"]
    call = ImageCall(Operation.EDIT, "gpt-image-2", "a dot", images=images, labels=labels, **more)
    return replace(call, inputs=input_sizes(call))


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    async with file_server({"/a.png": says(picture())}) as running:
        yield running


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    made = Uploads(str(tmp_path))
    yield made
    made.close()


@pytest.fixture
async def fetch(server: FileServer) -> AsyncIterator[GuardedFetch]:
    settings = FetchSettings(private_origins=[server.origin], max_bytes=1 << 20, timeout=2)
    made = GuardedFetch(settings)
    yield made
    await made.aclose()


def bytes_of(image: InputImage | None) -> bytes:
    assert isinstance(image, InputFile)
    with image.open() as file:
        data = file.read()
    assert len(data) == image.size
    return data


async def refusal(call: ImageCall, fetch: GuardedFetch, uploads: Uploads) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        await materialise(call, [FILES], fetch=fetch, uploads=uploads)
    assert refused.value.status == 400
    assert "127.0.0.1" not in refused.value.message
    return refused.value


async def test_what_every_target_takes_stays_as_it_is(
    server: FileServer, fetch: GuardedFetch, uploads: Uploads
) -> None:
    call = edit(InputRef("https://pictures.example/a.png"), inline(picture()))
    assert await materialise(call, [ANY, ANY], fetch=fetch, uploads=uploads) is call
    assert server.visits == []


async def test_what_lies_inside_is_fetched_since_no_upstream_can(
    server: FileServer, fetch: GuardedFetch, uploads: Uploads
) -> None:
    made = await materialise(edit(InputRef(f"{server.origin}/a.png")), [ANY], fetch=fetch, uploads=uploads)
    assert bytes_of(made.images[0]) == picture()


async def test_a_target_without_urls_makes_a_file_of_one(
    server: FileServer, fetch: GuardedFetch, uploads: Uploads
) -> None:
    data = inline(picture(size=(7, 5)))
    call = edit(data, InputRef(f"{server.origin}/a.png"))
    assert call.inputs[1] == UNSEEN
    made = await materialise(call, [ANY, NO_URLS], fetch=fetch, uploads=uploads)
    assert made.images[0] is data
    assert bytes_of(made.images[1]) == picture()
    assert made.inputs == (InputSize(7, 5, "png"), InputSize(30, 20, "png"))
    file = made.images[1]
    assert isinstance(file, InputFile)
    assert (file.filename, file.content_type) == ("image.png", "image/png")


async def test_a_target_without_data_urls_makes_a_file_of_one(fetch: GuardedFetch, uploads: Uploads) -> None:
    large = picture("JPEG", (900, 700), quality=100) + bytes(3 << 20)
    call = edit(inline(picture()), mask=inline(picture(size=(9, 9))), markup=inline(large))
    made = await materialise(call, [FILES], fetch=fetch, uploads=uploads)
    assert [bytes_of(each) for each in (*made.images, made.mask, made.markup)] == [
        picture(),
        picture(size=(9, 9)),
        large,
    ]
    assert made.inputs == (InputSize(30, 20, "png"), InputSize(9, 9, "png"), InputSize(900, 700, "jpeg"))


async def test_the_shape_of_the_first_picture_is_fetched_where_it_decides_the_size(
    server: FileServer, fetch: GuardedFetch, uploads: Uploads
) -> None:
    exif = Image.Exif()
    exif[0x112] = 8
    server.pages["/side.jpeg"] = says(picture("JPEG", exif=exif))
    call = edit(InputRef(f"{server.origin}/side.jpeg"), InputRef("https://pictures.example/a.png"))
    made = await materialise(call, [ANY], fetch=fetch, uploads=uploads, needs_ratio=True)
    assert made.inputs == (InputSize(20, 30, "jpeg", turned=True), UNSEEN)
    assert [visit.target for visit in server.visits] == ["/side.jpeg"]
    seen = edit(inline(picture()))
    assert await materialise(seen, [ANY], fetch=fetch, uploads=uploads, needs_ratio=True) is seen


async def test_a_mask_that_is_redrawn_needs_its_bytes_and_the_first_picture(
    server: FileServer, fetch: GuardedFetch, uploads: Uploads
) -> None:
    white = entry("file", "url", "data", mask=Mask(polarity="white"))
    url, far = InputRef(f"{server.origin}/a.png"), InputRef("https://pictures.example/a.png")
    made = await materialise(edit(url, far, mask=url), [white], fetch=fetch, uploads=uploads)
    assert [isinstance(each, InputFile) for each in (*made.images, made.mask)] == [True, False, True]


async def test_files_are_left_alone(fetch: GuardedFetch, uploads: Uploads) -> None:
    file = InputFile("a.png", "image/png", 3, lambda: io.BytesIO(b"abc"))
    call = edit(file)
    assert await materialise(call, [FILES], fetch=fetch, uploads=uploads, needs_ratio=True) is call


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (says(b"<html>not a picture</html>", kind="image/png"), "unsupported_image"),
        (says(b"", kind="image/png"), "unsupported_image"),
        (says(b"<svg xmlns='http://www.w3.org/2000/svg'/>", kind="image/png"), "unsupported_image"),
        (says(bomb(), kind="image/png"), "image_too_large"),
        (says(picture() + bytes(2 << 20)), "image_too_large"),
        (never_ends(picture()), "image_too_large"),
        (never_ends(b"<html>" * 9), "unsupported_image"),
        (says(picture(), 404), "image_not_fetched"),
        (says(picture(), length=10_000), "image_not_fetched"),
        (moves("https://127.0.0.1/a.png"), "url_not_allowed"),
        (moves("http://169.254.169.254/latest/"), "url_not_allowed"),
        (moves("/again"), "image_not_fetched"),
    ],
)
async def test_what_is_wrong_with_a_picture_is_the_callers_400(
    server: FileServer, fetch: GuardedFetch, uploads: Uploads, page: Any, code: str
) -> None:
    server.pages["/again"] = page
    good, bad = InputRef(f"{server.origin}/a.png"), InputRef(f"{server.origin}/again")
    refused = await refusal(edit(good, bad), fetch, uploads)
    assert (refused.param, refused.code) == ("images[1].image_url", code)
    masked = await refusal(edit(good, mask=bad), fetch, uploads)
    assert masked.param == "mask.image_url"


async def test_all_pictures_of_a_call_together_are_bounded(
    server: FileServer, fetch: GuardedFetch, uploads: Uploads
) -> None:
    server.pages["/large.png"] = says(picture() + bytes(900_000))
    large = InputRef(f"{server.origin}/large.png")
    await materialise(edit(*[large] * 4), [FILES], fetch=fetch, uploads=uploads)
    assert (await refusal(edit(*[large] * 6), fetch, uploads)).code == "image_too_large"


async def test_a_server_that_drips_is_given_up_in_time(server: FileServer, uploads: Uploads) -> None:
    server.pages["/slow"] = drips(picture(), 0.05)
    fetch = GuardedFetch(FetchSettings(private_origins=[server.origin], timeout=0.3))
    async with asyncio.timeout(15):
        refused = await refusal(edit(InputRef(f"{server.origin}/slow")), fetch, uploads)
    assert refused.code == "image_not_fetched"
    await fetch.aclose()


async def test_f08_the_log_learns_what_was_blocked_and_the_caller_does_not(
    fetch: GuardedFetch, uploads: Uploads
) -> None:
    with structlog.testing.capture_logs() as logs:
        refused = await refusal(edit(InputRef("https://10.0.0.7/secret?token=x")), fetch, uploads)
    assert refused.code == "url_not_allowed"
    assert "10.0.0.7" not in refused.message
    (line,) = (line for line in logs if line["event"] == "ssrf_blocked")
    assert (line["host"], line["address"]) == ("10.0.0.7", "private")
    assert "token" not in str(line)


async def test_a_form_that_lies_of_its_type_is_named_by_its_content(
    server: FileServer, fetch: GuardedFetch, uploads: Uploads
) -> None:
    server.pages["/lie.png"] = says(picture("WEBP"), kind="text/html")
    made = await materialise(
        edit(InputRef(f"{server.origin}/lie.png")), [FILES], fetch=fetch, uploads=uploads
    )
    file = made.images[0]
    assert isinstance(file, InputFile)
    assert (file.filename, file.content_type) == ("image.webp", "image/webp")


async def test_a_full_disk_is_not_the_callers_fault(
    server: FileServer, fetch: GuardedFetch, tmp_path: Path
) -> None:
    uploads = Uploads(str(tmp_path / "nowhere"))
    call = edit(*[inline(picture("PNG") + bytes(800_000))] * 2)
    with pytest.raises(GatewayError) as failed:
        await materialise(call, [FILES], fetch=fetch, uploads=uploads)
    assert isinstance(failed.value, Unavailable)
    uploads.close()
