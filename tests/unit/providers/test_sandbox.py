"""The sandbox: real pictures, believable answers, and failures on demand."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image, ImageChops

from config.accounts.sandbox import SandboxProvider
from config.upstream import UpstreamSettings
from providers.base import (
    Certainty,
    ImageRequest,
    InputFile,
    InputImage,
    InputRef,
    Kind,
    Operation,
    Provider,
    ProviderError,
)
from providers.registry import build
from providers.sandbox import directives
from providers.sandbox.usage import image_tokens, output_tokens, usage
from tests.unit.providers.wire import body_of, failure, generation, picture_file

RED = (200, 30, 30, 255)


def sandbox(**settings: object) -> Provider:
    config = SandboxProvider(type="sandbox", **{"latency": 0, **settings})  # type: ignore[arg-type]
    return build("sandbox", config, UpstreamSettings(), base=Path())


async def answer(request: ImageRequest, provider: Provider | None = None) -> dict[str, object]:
    result = await (provider or sandbox()).send(request, 30)
    assert result.content_type == "application/json"
    assert result.upstream_request_id
    found = json.loads(await body_of(result))
    assert isinstance(found, dict)
    return found


def pictures(document: dict[str, object]) -> list[Image.Image]:
    listed = document["data"]
    assert isinstance(listed, list)
    found = [Image.open(io.BytesIO(base64.b64decode(item["b64_json"], validate=True))) for item in listed]
    for picture in found:
        picture.load()
    return found


def png(picture: Image.Image, format: str = "PNG") -> InputFile:
    out = io.BytesIO()
    picture.save(out, format)
    return picture_file(out.getvalue())


def edit(
    images: Sequence[InputImage], *, mask: InputImage | None = None, prompt: str = "a pond", **params: object
) -> ImageRequest:
    return ImageRequest(Operation.EDIT, "gpt-image-2", prompt, params, images, mask)


def same(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox() is None


class TestGenerations:
    @pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
    @pytest.mark.parametrize("size", ["64x64", "256x128", "1024x640"])
    async def test_it_draws_what_was_asked_for(self, output_format: str, size: str) -> None:
        said = await answer(generation(size=size, output_format=output_format, quality="low"))
        (picture,) = pictures(said)
        assert picture.format == output_format.upper()
        assert f"{picture.width}x{picture.height}" == size == said["size"]
        assert (said["output_format"], said["quality"], said["background"]) == (
            output_format,
            "low",
            "opaque",
        )
        assert len(picture.convert("RGB").getcolors(picture.width * picture.height) or ()) > 100

    async def test_every_auto_is_resolved_and_the_keys_stand_in_openais_order(self) -> None:
        said = await answer(generation(size="auto", quality="auto", background="auto"))
        assert list(said) == ["created", "background", "data", "output_format", "quality", "size", "usage"]
        assert (said["size"], said["quality"]) == ("1024x1024", "medium")
        assert abs(int(str(said["created"])) - time.time()) < 60

    async def test_the_prompt_decides_the_picture(self) -> None:
        (one,) = pictures(await answer(generation("a", size="128x128")))
        (again,) = pictures(await answer(generation("a", size="128x128")))
        (other,) = pictures(await answer(generation("b", size="128x128")))
        assert same(one, again)
        assert not same(one, other)

    async def test_several_pictures_differ_from_each_other(self) -> None:
        one, two, three = pictures(await answer(generation(n=3, size="128x128")))
        assert not same(one, two)
        assert not same(two, three)

    @pytest.mark.parametrize("output_format", ["png", "webp"])
    async def test_a_transparent_background_is_real_alpha(self, output_format: str) -> None:
        request = generation(size="256x256", background="transparent", output_format=output_format)
        said = await answer(request)
        lowest, highest = pictures(said)[0].convert("RGBA").getchannel("A").getextrema()
        assert (lowest, highest) == (0, 255)
        assert said["background"] == "transparent"

    async def test_quality_is_detail(self) -> None:
        sizes = [
            len(str((await answer(generation("x", size="512x512", quality=quality)))["data"]))
            for quality in ("low", "high")
        ]
        assert sizes[1] > sizes[0]

    async def test_compression_is_obeyed(self) -> None:
        sizes = [
            len(str((await answer(generation(output_format="jpeg", output_compression=level)))["data"]))
            for level in (10, 90)
        ]
        assert sizes[1] > 2 * sizes[0]

    @pytest.mark.parametrize(
        ("params", "param"),
        [
            ({"size": "big"}, "size"),
            ({"size": "0x64"}, "size"),
            ({"size": "9000x9000"}, "size"),
            ({"size": "99999x1"}, "size"),
            ({"output_format": "gif"}, "output_format"),
            ({"background": "transparent", "output_format": "jpeg"}, "background"),
        ],
    )
    async def test_what_it_cannot_draw_is_refused_by_name(
        self, params: dict[str, object], param: str
    ) -> None:
        error = await failure(sandbox(), generation(**params))
        assert (error.kind, error.certainty, error.status) == (Kind.INVALID, Certainty.REJECTED, 400)
        assert error.param == param

    @pytest.mark.parametrize("prompt", ["", " ", "漢字 🙂", "x" * 32_000, "\ud800", "word " * 5000])
    async def test_any_prompt_can_be_drawn(self, prompt: str) -> None:
        assert pictures(await answer(generation(prompt, size="128x96")))

    async def test_the_event_loop_stays_free_while_it_draws(self) -> None:
        """Other tasks get their turns meanwhile; drawn on the loop there would be a handful."""
        turns = 0

        async def watch() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        watching = asyncio.create_task(watch())
        await answer(generation(size="2048x2048", quality="high", n=2))
        watching.cancel()
        assert turns > 20


class TestEdits:
    BASE = Image.new("RGBA", (128, 96), RED)

    async def test_the_edit_shows_the_original_and_a_change(self) -> None:
        (picture,) = pictures(await answer(edit([png(self.BASE)], size="128x96")))
        pixels = list(picture.convert("RGBA").get_flattened_data())
        assert 0.1 < sum(pixel == RED for pixel in pixels) / len(pixels) < 0.95

    async def test_a_mask_opens_its_transparent_part_and_keeps_every_other_pixel(self) -> None:
        base = Image.effect_mandelbrot((128, 96), (-2, -1.2, 1, 1.2), 40).convert("RGBA")
        mask = Image.new("RGBA", (128, 96), (0, 0, 0, 255))
        hole = (30, 20, 90, 70)
        mask.paste((0, 0, 0, 0), hole)
        (picture,) = pictures(await answer(edit([png(base)], mask=png(mask), size="128x96")))
        assert not same(picture.crop(hole), base.crop(hole))
        picture, base = picture.convert("RGBA"), base.copy()
        for whole in (picture, base):
            whole.paste((0, 0, 0, 255), hole)
        assert same(picture, base)

    async def test_a_mask_of_another_size_is_refused(self) -> None:
        error = await failure(sandbox(), edit([png(self.BASE)], mask=png(Image.new("RGBA", (64, 64)))))
        assert (error.kind, error.param) == (Kind.INVALID, "mask")
        assert "64x64" in error.message
        assert "128x96" in error.message

    async def test_every_further_input_shows(self) -> None:
        blue = Image.new("RGB", (50, 80), (10, 10, 250))
        (picture,) = pictures(await answer(edit([png(self.BASE), png(blue, "JPEG")], size="256x256")))
        close = [
            p for p in picture.convert("RGB").get_flattened_data() if p[2] > 230 and p[0] < 40 and p[1] < 40
        ]
        assert len(close) > 500

    @pytest.mark.parametrize(
        ("shape", "size"),
        [((300, 200), "1536x1024"), ((200, 300), "1024x1536"), ((300, 290), "1024x1024")],
    )
    async def test_auto_takes_the_shape_of_the_first_picture(self, shape: tuple[int, int], size: str) -> None:
        said = await answer(edit([png(Image.new("RGB", shape))], quality="low"))
        assert said["size"] == size

    async def test_a_data_url_is_read_and_an_address_is_not_fetched(self) -> None:
        out = io.BytesIO()
        self.BASE.save(out, "PNG")
        data = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
        assert pictures(await answer(edit([InputRef(data)], size="128x96")))
        error = await failure(sandbox(), edit([InputRef("https://example.org/a.png")]))
        assert (error.kind, error.certainty, error.status) == (Kind.INVALID, Certainty.REJECTED, 400)
        assert "fetches nothing" in error.message
        broken = await failure(sandbox(), edit([InputRef("data:image/png;base64,???")]))
        assert broken.code == "invalid_base64"

    @pytest.mark.parametrize("data", [b"Example data", b"", b"GIF89a", b"\x89PNG\r\n\x1a\n"])
    async def test_what_is_no_picture_is_a_400_or_a_grey_tile_when_lenient(self, data: bytes) -> None:
        request = edit([png(self.BASE), picture_file(data)], mask=picture_file(data), size="64x64")
        error = await failure(sandbox(), request)
        assert (error.kind, error.certainty, error.status) == (Kind.INVALID, Certainty.REJECTED, 400)
        assert (error.code, error.param) == ("unsupported_image", "image[1]")
        assert pictures(await answer(request, sandbox(lenient=True)))

    async def test_a_cut_picture_is_a_400(self) -> None:
        out = io.BytesIO()
        Image.effect_mandelbrot((64, 64), (-2, -1.2, 1, 1.2), 40).save(out, "PNG")
        error = await failure(sandbox(), edit([picture_file(out.getvalue()[:200])], size="64x64"))
        assert (error.code, error.param) == ("unsupported_image", "image")

    @pytest.mark.parametrize("edge", [7000, 30_000])
    async def test_a_bomb_is_refused_by_its_header(self, edge: int) -> None:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        head = chunk(b"IHDR", struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
        error = await failure(sandbox(lenient=True), edit([picture_file(bomb)]))
        assert error.code == "image_too_large"

    async def test_a_mask_without_alpha_is_refused(self) -> None:
        error = await failure(sandbox(), edit([png(self.BASE)], mask=png(Image.new("RGB", (128, 96)))))
        assert (error.kind, error.param) == (Kind.INVALID, "mask")
        assert "alpha" in error.message

    async def test_an_input_that_cannot_be_opened_is_not_sent_and_its_path_is_not_told(self) -> None:
        def gone() -> BinaryIO:
            raise FileNotFoundError("/spool/secret-name")

        error = await failure(sandbox(), edit([InputFile("a.png", "image/png", 3, gone)]))
        assert (error.kind, error.certainty) == (Kind.SERVER, Certainty.NOT_SENT)
        assert "secret-name" not in error.message

    async def test_an_edit_without_a_picture_is_a_400(self) -> None:
        assert (await failure(sandbox(), edit([]))).param == "image"


class TestUsage:
    @pytest.mark.parametrize(
        ("quality", "size", "tokens"),
        [
            ("low", (1024, 1024), 196),
            ("medium", (1024, 1024), 1756),
            ("high", (1024, 1024), 7024),
            ("low", (1536, 1024), 158),
            ("medium", (1024, 1536), 1372),
            ("high", (3840, 2160), 13342),
            ("high", (2880, 2880), 23719),
            ("medium", (1024, 640), 956),
            ("max", (1024, 1024), 7024),
            ("xhigh", (1024, 1024), 3122),
        ],
    )
    def test_output_tokens_are_the_published_ones(
        self, quality: str, size: tuple[int, int], tokens: int
    ) -> None:
        assert output_tokens(quality, *size) == tokens

    @pytest.mark.parametrize(
        ("size", "tokens"),
        [((1024, 1024), 1024), ((1536, 1024), 1536), ((341, 512), 704), ((1179, 2556), 1482)],
    )
    def test_input_pictures_cost_what_live_calls_cost(self, size: tuple[int, int], tokens: int) -> None:
        assert image_tokens(*size) == tokens

    def test_the_sums_are_right(self) -> None:
        found = usage("a" * 40, [(1024, 1024)], quality="low", size=(1024, 1024), n=2, partials=3)
        assert found == {
            "input_tokens": 2 * (16 + 1024),
            "input_tokens_details": {"image_tokens": 2048, "text_tokens": 32},
            "output_tokens": 2 * 196 + 300,
            "output_tokens_details": {"image_tokens": 692, "text_tokens": 0},
            "total_tokens": 2 * (16 + 1024) + 692,
        }


class TestStreams:
    @staticmethod
    async def events(request: ImageRequest) -> list[dict[str, object]]:
        result = await sandbox().send(request, 30)
        assert result.content_type == "text/event-stream"
        found = []
        for block in (await body_of(result)).decode().split("\n\n")[:-1]:
            name, data = block.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            found.append(event)
        return found

    @pytest.mark.parametrize(("operation", "word"), [("generations", "generation"), ("edits", "edit")])
    async def test_partials_come_before_the_finished_picture(self, operation: str, word: str) -> None:
        images = [png(Image.new("RGB", (64, 64)))] if operation == "edits" else []
        params = {"stream": True, "partial_images": 2, "size": "64x64", "quality": "low"}
        found = await self.events(ImageRequest(Operation(operation), "m", "p", params, images))
        assert [event["type"] for event in found] == [
            f"image_{word}.partial_image",
            f"image_{word}.partial_image",
            f"image_{word}.completed",
        ]
        assert [event.get("partial_image_index") for event in found] == [0, 1, None]
        for event in found:
            assert Image.open(io.BytesIO(base64.b64decode(str(event["b64_json"])))).size == (64, 64)
            assert {"created_at", "size", "quality", "background", "output_format"} <= set(event)
            assert "error" not in event
        spent = found[-1]["usage"]
        assert isinstance(spent, dict)
        assert spent["output_tokens"] == output_tokens("low", 64, 64) + 200

    async def test_several_pictures_are_completed_one_after_another(self) -> None:
        found = await self.events(generation(stream=True, n=3, size="64x64"))
        assert [event["type"] for event in found] == ["image_generation.completed"] * 3

    async def test_events_are_spread_over_the_latency(self) -> None:
        request = generation(stream=True, partial_images=3, size="64x64", quality="low")
        result = await sandbox(latency=1.2).send(request, 30)
        times = [time.perf_counter() async for _ in result.body]
        await result.aclose()
        assert len(times) == 4
        assert times[-1] - times[0] > 0.1


class TestLatency:
    async def test_it_takes_its_time_and_quality_takes_more(self) -> None:
        async def seconds(quality: str) -> float:
            started = time.perf_counter()
            await answer(generation(size="64x64", quality=quality), sandbox(latency=0.4))
            return time.perf_counter() - started

        low, high = await seconds("low"), await seconds("high")
        assert 0.09 < low < high

    async def test_the_deadline_ends_it_as_silence(self) -> None:
        error = await asyncio.wait_for(failure(sandbox(latency=60), generation(size="64x64"), 0.2), 20)
        assert (error.kind, error.certainty) == (Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED)


class TestDirectives:
    @pytest.mark.parametrize(
        ("word", "kind", "certainty"),
        [
            ("400", Kind.INVALID, Certainty.REJECTED),
            ("401", Kind.AUTH, Certainty.REJECTED),
            ("403", Kind.AUTH, Certainty.REJECTED),
            ("404", Kind.NOT_FOUND, Certainty.REJECTED),
            ("429", Kind.THROTTLED, Certainty.REJECTED),
            ("quota", Kind.AUTH, Certainty.REJECTED),
            ("500", Kind.SERVER, Certainty.FAILED),
            ("502", Kind.SERVER, Certainty.MAYBE_ACCEPTED),
            ("503", Kind.OVERLOADED, Certainty.REJECTED),
            ("504", Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
            ("moderation", Kind.MODERATION, Certainty.REJECTED),
            ("moderation-output", Kind.MODERATION, Certainty.REJECTED),
            ("refused", Kind.SERVER, Certainty.NOT_SENT),
            ("reset", Kind.SERVER, Certainty.MAYBE_ACCEPTED),
            ("timeout 10ms", Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
            ("html", Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        ],
    )
    async def test_each_failure_has_its_meaning(self, word: str, kind: Kind, certainty: Certainty) -> None:
        error = await failure(sandbox(), generation(f"a kite [Sandbox: {word.upper()} ]", size="64x64"))
        assert (error.kind, error.certainty) == (kind, certainty)

    async def test_refusals_carry_what_real_ones_carry(self) -> None:
        limited = await failure(sandbox(), generation("[sandbox: 429]"))
        assert (limited.status, limited.code, limited.retry_after) == (429, "rate_limit_exceeded", 1.0)
        blocked = await failure(sandbox(), generation("[sandbox: moderation]"))
        assert blocked.code == "moderation_blocked"
        assert blocked.details == {"moderation_stage": "input", "categories": ["other"]}

    async def test_timeout_without_seconds_lasts_until_the_deadline(self) -> None:
        started = time.perf_counter()
        error = await asyncio.wait_for(failure(sandbox(), generation("[sandbox: timeout]"), 0.2), 20)
        assert time.perf_counter() - started > 0.15
        assert (error.kind, error.certainty) == (Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED)

    async def test_bad_bodies_are_bad_in_the_way_they_say(self) -> None:
        async def raw(word: str, **params: object) -> bytes:
            return await body_of(
                await sandbox().send(generation(f"x [sandbox: {word}]", size="64x64", **params), 5)
            )

        assert json.loads(await raw("empty"))["data"] == []
        assert len(json.loads(await raw("partial", n=3))["data"]) == 2
        assert "usage" not in json.loads(await raw("no-usage"))
        with pytest.raises(ValueError):
            json.loads(await raw("cut"))
        short = base64.b64decode(json.loads(await raw("truncated"))["data"][0]["b64_json"], validate=True)
        with pytest.raises(Exception, match=r"truncated|broken|cannot identify"):
            Image.open(io.BytesIO(short)).load()
        assert b"completed" not in await raw("empty", stream=True)

    async def test_slow_adds_time_and_goes_with_any_other(self) -> None:
        started = time.perf_counter()
        error = await failure(sandbox(), generation("[sandbox: slow 200ms] a kite [sandbox: 500]"))
        assert error.status == 500
        assert time.perf_counter() - started > 0.19

    async def test_the_picture_is_that_of_the_prompt_without_its_directives(self) -> None:
        (plain,) = pictures(await answer(generation("a kite", size="128x128")))
        (told,) = pictures(await answer(generation("a kite [sandbox: no-usage]", size="128x128")))
        assert same(plain, told)

    @pytest.mark.parametrize(
        "word", ["", "bogus", "slow", "slow often", "slow 5h 3", "timeout -1", "500 now"]
    )
    async def test_an_unknown_directive_is_a_400_that_lists_the_known_ones(self, word: str) -> None:
        error = await failure(sandbox(), generation(f"a kite [sandbox: {word}]"))
        assert (error.kind, error.status, error.param) == (Kind.INVALID, 400, "prompt")
        for known in ("429", "moderation", "slow SECONDS"):
            assert known in error.message

    def test_every_word_is_in_the_docstring_and_nothing_else_is(self) -> None:
        table = (directives.__doc__ or "").split("\n====")[2]
        rows = re.findall(r"^``(.+?)``(?:, ``(.+?)``)?", table, re.MULTILINE)
        documented = {word.split(" ")[0] for row in rows for word in row if word}
        assert documented == {word.split(" ")[0] for word in directives.WORDS}


async def test_a_probe_is_free_and_says_so() -> None:
    found = await sandbox().probe()
    assert found.reachable
    assert found.detail


async def test_it_raises_nothing_but_provider_errors_for_broken_pictures() -> None:
    out = io.BytesIO()
    Image.effect_mandelbrot((40, 40), (-2, -1.2, 1, 1.2), 40).convert("RGB").save(out, "WEBP")
    whole = out.getvalue()
    here = sandbox()
    for position in range(0, len(whole), max(1, len(whole) // 60)):
        broken = whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :]
        try:
            await answer(edit([picture_file(broken)], size="32x32"), here)
        except ProviderError as error:
            assert error.kind is Kind.INVALID  # noqa: PT017
