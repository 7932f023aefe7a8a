"""One document out of the answers of a request: untouched, merged, converted, or with links."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image

from gateway.engine import pictures as pictures_room
from gateway.engine.conversions import Conversions
from gateway.engine.finishing import Finishing
from gateway.engine.pictures import Pictures
from gateway.errors import GatewayError
from gateway.images.fitted import Adjustment, Finish, How
from gateway.media.spool import Spool, SpoolFailed, SpoolRoom
from gateway.media.store import Stored
from tests.unit.engine.finished import (
    USAGE,
    Shelves,
    document,
    drawn,
    item,
    order,
    picture_in,
    pictures,
    raw,
    read,
    received,
    sizes,
)

FROM_PNG = Adjustment("output_format", "webp", How.EMULATED, "png")


async def test_an_answer_that_is_right_goes_out_untouched(room: SpoolRoom) -> None:
    body = json.dumps(document(item(drawn())), indent=2).encode()
    answer = await received(room, body)
    finished = await Finishing(pictures(room)).whole([answer], order())
    assert finished.body is answer.spool
    assert sizes(finished.pictures) == ["64x48"]
    assert await read(finished.body) == body


async def test_size_and_format_are_those_of_the_bytes(room: SpoolRoom) -> None:
    told = document(item(drawn("webp"), revised_prompt="a"), size=None, output_format="png", odd=[1])
    finished = await Finishing(pictures(room)).whole([await received(room, told)], order())
    assert json.loads(await read(finished.body)) == {**told, "size": "64x48", "output_format": "webp"}
    told = document(item(drawn()), size="auto")
    finished = await Finishing(pictures(room)).whole([await received(room, told)], order())
    assert json.loads(await read(finished.body)) == {**told, "size": "64x48"}


async def test_answers_are_merged_into_one(room: SpoolRoom) -> None:
    one = document(item(drawn(), revised_prompt="x" * 9000), item(drawn(noise=False)))
    two = document(item(drawn(size=(50, 30))), created=2)
    answers = [await received(room, one), await received(room, raw(two, slashes=True))]
    finished = await Finishing(pictures(room)).whole(answers, order())
    told = json.loads(await read(finished.body))
    assert told == {
        **one,
        "data": [*one["data"], *two["data"]],  # type: ignore[misc]
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": 10},
            "output_tokens": 200,
            "total_tokens": 210,
        },
    }
    assert list(told) == list(one)
    assert sizes(finished.pictures) == ["64x48", "64x48", "50x30"]


async def test_the_report_is_the_last_key_and_knows_what_is_delivered(room: SpoolRoom) -> None:
    answer = await received(room, document(item(drawn())))
    finished = await Finishing(pictures(room)).whole(
        [answer],
        order(Finish(format="webp", pixels=(20, 10), fit="cover")),
        lambda delivered, adjustments: {"size": sizes(delivered), "adjustments": len(adjustments)},
    )
    told = json.loads(await read(finished.body))
    assert list(told)[-1] == "imagegate"
    assert told["imagegate"] == {"size": ["20x10"], "adjustments": 1}


@pytest.mark.parametrize("slashes", [False, True])
@pytest.mark.parametrize("noise", [False, True])
async def test_pictures_are_converted(room: SpoolRoom, slashes: bool, noise: bool) -> None:
    told = document(item(drawn(noise=noise), revised_prompt="a/b"), item(drawn(size=(200, 200), noise=noise)))
    finished = await Finishing(pictures(room)).whole(
        [await received(room, raw(told, slashes=slashes))],
        order(Finish(format="webp", compression=60, pixels=(40, 30), fit="contain")),
    )
    assert finished.adjustments == [FROM_PNG]
    assert sizes(finished.pictures) == ["40x30", "40x30"]
    got = json.loads(await read(finished.body))
    assert (got["output_format"], got["size"], got["usage"]) == ("webp", "40x30", USAGE)
    assert got["data"][0]["revised_prompt"] == "a/b"
    for entry in got["data"]:
        made = picture_in(entry)
        assert (made.format, made.size) == ("WEBP", (40, 30))


async def test_only_what_must_be_another_picture_is_touched(room: SpoolRoom) -> None:
    told = document(item(drawn("webp")), item(drawn("png")))
    finished = await Finishing(pictures(room)).whole(
        [await received(room, told)], order(Finish(format="webp"))
    )
    assert finished.adjustments == [FROM_PNG]
    got = json.loads(await read(finished.body))
    assert got["data"][0] == told["data"][0]  # type: ignore[index]
    assert picture_in(got["data"][1]).format == "WEBP"


def moving(format: str, frames: int) -> bytes:
    drawings = [Image.new("RGB", (64, 48), (80 * number, 9, 9)) for number in range(frames)]
    out = io.BytesIO()
    more = {"save_all": True, "append_images": drawings[1:]} if frames > 1 else {}
    drawings[0].save(out, format.upper(), **more)
    return out.getvalue()


class Room(Conversions):
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__(2)
        self.asked: list[int] = []

    async def run_on(self, load: Any, work: Any, *, pixels: int, deadline: float) -> Any:
        self.asked.append(pixels)
        return await super().run_on(load, work, pixels=pixels, deadline=deadline)


@pytest.mark.parametrize(
    ("source", "to", "frames", "counted"),
    [("gif", "webp", 3, 3), ("webp", "gif", 3, 3), ("avif", "webp", 3, 3), ("gif", "png", 3, 1),
     ("gif", "webp", 1, 1), ("webp", "gif", 1, 1), ("png", "webp", 1, 1)],
)  # fmt: skip
async def test_room_is_asked_for_every_frame_that_is_kept(
    room: SpoolRoom, source: str, to: str, frames: int, counted: int
) -> None:
    conversions = Room()
    told = document(item(moving(source, frames)), output_format=source)
    finished = await Finishing(Pictures(room, conversions)).whole(
        [await received(room, told)], order(Finish(format=to, pixels=(40, 30), fit="cover"))
    )
    assert conversions.asked == [(64 * 48 + 40 * 30) * counted]
    made = picture_in(json.loads(await read(finished.body))["data"][0])
    assert (made.format, getattr(made, "n_frames", 1)) == (to.upper(), counted)


async def test_a_picture_that_came_as_asked_is_no_emulation(room: SpoolRoom) -> None:
    answer = await received(room, document(item(drawn("webp")), output_format="webp"))
    finished = await Finishing(pictures(room)).whole([answer], order(Finish(format="webp")))
    assert (finished.body, list(finished.adjustments)) == (answer.spool, [])
    finished.body.close()


async def test_svg_is_never_converted(room: SpoolRoom) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="' + b"M0 0" * 4000 + b'"/></svg>'
    told = document(item(svg), output_format="svg", size="1024x1024")
    answer = await received(room, told)
    finished = await Finishing(pictures(room)).whole([answer], order(Finish(format="png")))
    assert finished.body is answer.spool
    assert json.loads(await read(finished.body)) == told


BROKEN = drawn()[:3000] + bytes(3000) + drawn()[6000:]


async def test_what_cannot_be_converted_is_delivered_as_it_was_made_and_told(room: SpoolRoom) -> None:
    told = document(item(BROKEN), item(drawn()))
    finish = Finish(format="webp", pixels=(9, 9), fit="cover")
    finished = await Finishing(pictures(room)).whole([await received(room, told)], order(finish))
    assert finished.adjustments == [
        Adjustment("output_format", "webp", How.DROPPED, "png"),
        Adjustment("fit", "cover", How.DROPPED, "none"),
        FROM_PNG,
    ]
    got = json.loads(await read(finished.body))
    assert got["data"][0] == told["data"][0]  # type: ignore[index]
    assert picture_in(got["data"][1]).size == (9, 9)
    assert (got["output_format"], got["size"]) == ("png", "64x48")


async def test_strict_mode_refuses_what_cannot_be_converted(room: SpoolRoom) -> None:
    answer = await received(room, document(item(BROKEN), item(drawn())))
    with pytest.raises(GatewayError) as refused:
        await Finishing(pictures(room)).whole([answer], order(Finish(format="webp"), strict=True))
    error = refused.value
    assert (error.status, error.code, error.retryable) == (500, "conversion_failed", False)
    assert "paid for" in error.message
    assert "req_1" in error.message


async def test_at_the_deadline_the_original_is_delivered(room: SpoolRoom) -> None:
    told = document(item(drawn()))
    finished = await Finishing(pictures(room)).whole(
        [await received(room, told)], order(Finish(format="webp"), seconds=0.0)
    )
    assert json.loads(await read(finished.body)) == told
    assert [adjustment.now for adjustment in finished.adjustments] == ["png"]


async def test_links_to_stored_pictures(room: SpoolRoom) -> None:
    media = Shelves()
    told = document(item(drawn(), revised_prompt="p"), item(drawn("jpeg", noise=False)))
    finished = await Finishing(pictures(room, media)).whole([await received(room, told)], order(as_url=True))
    got = json.loads(await read(finished.body))
    assert got["data"][0]["revised_prompt"] == "p"
    assert all("b64_json" not in entry for entry in got["data"])
    kept = [media.kept[entry["url"].removeprefix("https://images.example/media/")] for entry in got["data"]]
    assert kept == [("png", drawn(), "req_1"), ("jpeg", drawn("jpeg", noise=False), "req_1")]


async def test_links_to_converted_pictures(room: SpoolRoom) -> None:
    media = Shelves()
    finished = await Finishing(pictures(room, media)).whole(
        [await received(room, document(item(drawn())))], order(Finish(format="jpeg"), as_url=True)
    )
    assert json.loads(await read(finished.body))["output_format"] == "jpeg"
    ((format, data, _),) = media.kept.values()
    assert (format, data[:3]) == ("jpeg", b"\xff\xd8\xff")


async def test_f61_media_store_write_fails(room: SpoolRoom) -> None:
    told = document(item(drawn()))
    finished = await Finishing(pictures(room, Shelves(full=True))).whole(
        [await received(room, told)], order(as_url=True)
    )
    assert finished.adjustments == [Adjustment("response_format", "url", How.MAPPED, "b64_json")]
    assert json.loads(await read(finished.body)) == told
    with pytest.raises(GatewayError) as refused:
        await Finishing(pictures(room, Shelves(full=True))).whole(
            [await received(room, told)], order(as_url=True, strict=True)
        )
    assert (refused.value.status, refused.value.code) == (502, "media_store_failed")


LINK = "https://pictures.example/1"


async def test_a_providers_link_becomes_base64(room: SpoolRoom) -> None:
    page = drawn("webp", (90, 91))
    told = document({"url": LINK, "revised_prompt": "p"}, size=None, output_format=None)
    finished = await Finishing(pictures(room, web={LINK: page})).whole([await received(room, told)], order())
    got = json.loads(await read(finished.body))
    assert got["data"] == [{"b64_json": base64.b64encode(page).decode(), "revised_prompt": "p"}]
    assert (got["size"], got["output_format"]) == ("90x91", "webp")


async def test_a_providers_link_is_rehosted_or_passed_on(room: SpoolRoom) -> None:
    media, page = Shelves(), drawn()
    told = document({"url": LINK}, size=None, output_format=None)
    finished = await Finishing(pictures(room, media, {LINK: page})).whole(
        [await received(room, told)], order(as_url=True)
    )
    assert json.loads(await read(finished.body))["data"] == [{"url": "https://images.example/media/0.png"}]
    assert media.kept["0.png"][1] == page
    answer = await received(room, told)
    passed = await Finishing(pictures(room, media, {LINK: page}, pass_on=True)).whole(
        [answer], order(as_url=True)
    )
    assert passed.body is answer.spool
    passed.body.close()
    converted = await Finishing(pictures(room, media, {LINK: page}, pass_on=True)).whole(
        [await received(room, told)], order(Finish(format="gif"), as_url=True)
    )
    assert json.loads(await read(converted.body))["data"] == [{"url": "https://images.example/media/1.gif"}]


async def test_f61_a_fetched_picture_is_whole_where_the_media_store_fails_half_way(room: SpoolRoom) -> None:
    page = drawn(size=(300, 300))
    told = document({"url": LINK}, size=None, output_format=None)
    finished = await Finishing(pictures(room, Shelves(full=True), {LINK: page})).whole(
        [await received(room, told)], order(as_url=True)
    )
    assert json.loads(await read(finished.body))["data"] == [{"b64_json": base64.b64encode(page).decode()}]
    assert finished.adjustments == [Adjustment("response_format", "url", How.MAPPED, "b64_json")]
    finished.body.close()
    assert room.in_memory == 0


class Silent(Shelves):
    """A media store that takes bytes and never says a word."""

    async def put(self, chunks: AsyncIterator[bytes], format: str, *, request_id: str) -> Stored:
        async for _ in chunks:
            pass
        await asyncio.sleep(60)
        raise AssertionError


async def test_f61_a_media_store_that_says_nothing_holds_nobody_up_beyond_the_deadline(
    room: SpoolRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures_room, "_STORING", 0.1)
    told = document(item(drawn()))
    async with asyncio.timeout(30):
        finished = await Finishing(pictures(room, Silent())).whole(
            [await received(room, told)], order(as_url=True, seconds=0.2)
        )
    assert json.loads(await read(finished.body)) == told
    assert finished.adjustments == [Adjustment("response_format", "url", How.MAPPED, "b64_json")]


async def test_a_fetched_picture_is_whole_where_it_cannot_be_converted(room: SpoolRoom) -> None:
    page = drawn(size=(300, 300))
    broken = page[:-400] + bytes(388) + page[-12:]
    told = document({"url": LINK}, size=None, output_format=None)
    finished = await Finishing(pictures(room, web={LINK: broken})).whole(
        [await received(room, told)], order(Finish(format="webp"))
    )
    assert json.loads(await read(finished.body))["data"] == [{"b64_json": base64.b64encode(broken).decode()}]
    assert finished.adjustments == [Adjustment("output_format", "webp", How.DROPPED, "png")]


@pytest.mark.parametrize(
    "page", [b"no picture", drawn()[:-20], drawn("jpeg")[:2000]], ids=["text", "cut png", "cut jpeg"]
)
async def test_a_link_that_leads_to_no_whole_picture_is_an_error(room: SpoolRoom, page: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        await Finishing(pictures(room, web={LINK: page})).whole(
            [await received(room, document({"url": LINK}))], order()
        )
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (
        502,
        "bad_upstream_url",
        False,
    )


async def test_f63_a_providers_link_to_a_private_address(room: SpoolRoom) -> None:
    with pytest.raises(GatewayError) as refused:
        await Finishing(pictures(room, web={})).whole(
            [await received(room, document({"url": "http://169.254.169.254/x"}))], order()
        )
    assert (refused.value.status, refused.value.code) == (502, "bad_upstream_url")
    assert "169.254" not in refused.value.message


async def test_base64_that_breaks_in_the_middle_is_no_link(room: SpoolRoom) -> None:
    long = base64.b64encode(drawn(size=(200, 200))).decode()
    told = document({"b64_json": long[:12_000] + "*?" + long[12_002:]})
    with pytest.raises(GatewayError) as refused:
        await Finishing(pictures(room, Shelves())).whole([await received(room, told)], order(as_url=True))
    assert (refused.value.status, refused.value.code) == (502, "bad_upstream_payload")


async def test_a_jpeg_whose_size_stands_far_behind_is_measured(room: SpoolRoom) -> None:
    jpeg = drawn("jpeg")
    padding = b"\xff\xeb\xff\xfd" + bytes(65_531)
    told = document(item(jpeg[:2] + padding * 3 + jpeg[2:]), output_format="jpeg", size="auto")
    answer = await received(room, told)
    assert answer.pictures[0].size is None
    finished = await Finishing(pictures(room)).whole([answer], order())
    assert json.loads(await read(finished.body))["size"] == "64x48"


async def test_a_full_disk_is_told_as_such(room: SpoolRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await received(room, document({"url": LINK}))

    async def full(spool: Spool, chunk: bytes) -> None:
        raise SpoolFailed(28, "full")

    finishing = Finishing(pictures(room, web={LINK: drawn()}))
    monkeypatch.setattr(Spool, "write", full)
    with pytest.raises(GatewayError) as refused:
        await finishing.whole([answer], order())
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (503, "spool_failed", False)


async def test_who_gives_up_leaves_nothing_behind(room: SpoolRoom) -> None:
    answer = await received(room, document(*(item(drawn(size=(300, 300))) for _ in range(3))))
    task = asyncio.ensure_future(Finishing(pictures(room)).whole([answer], order(Finish(format="avif"))))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
