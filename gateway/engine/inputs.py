"""Input pictures that are given by reference, made into files where a target needs their bytes.

Done once, before the plan: what is wrong with a picture is the caller's mistake whichever target it meets,
and the targets that a call moves to find its files ready. Pictures that every target takes as they are given
stay as they are, unless their shape decides the size that is made.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from http import HTTPStatus

import structlog

from config.catalog import CatalogModel
from gateway.errors import GatewayError, InvalidRequest
from gateway.images.call import UNSEEN, ImageCall, InputSize
from gateway.images.input_sizes import size_of_picture
from gateway.images.inputs import check_pixels, media_type_of, param_of
from gateway.images.mask_work import mask_work
from gateway.images.sniff import sniff_format
from gateway.media.uploads import Uploads, look_at
from providers.base import InputFile, InputImage, InputRef
from providers.guarded import FetchFailed, GuardedFetch, Reason

AT_ONCE = 4
"""Pictures of one call that are fetched at the same time."""

_TOGETHER = 4
"""All pictures of one call together may be as large as so many of the largest: one request must not fill the
disk."""

_SLICE = 1 << 20  # characters of base64 decoded at a time, in a thread
_TELLING = 32  # first bytes that tell a format
_CODES = {
    Reason.FORBIDDEN: "url_not_allowed",
    Reason.TOO_LARGE: "image_too_large",
}
_log = structlog.get_logger("imagegate.inputs")


async def materialise(
    call: ImageCall,
    entries: Sequence[CatalogModel],
    *,
    fetch: GuardedFetch,
    uploads: Uploads,
    needs_ratio: bool = False,
) -> ImageCall:
    """The call with files in place of references that some entry (of the targets it may go to) does not take,
    and with the sizes that this shows. What lies at an origin that the operator named is always fetched: no
    upstream reaches it; what is stored on its side is always made a file, to be turned. ``needs_ratio``: the
    shape of the first picture decides the size. ``uploads`` owns the files. Raises :class:`InvalidRequest`,
    and ``Unavailable`` when the disk is full."""
    wanted = [
        place
        for place, picture in enumerate(_pictures(call))
        if isinstance(picture, InputRef)
        and (
            fetch.is_named(picture.image_url)
            or (place < len(call.inputs) and call.inputs[place].turned)
            or _is_wanted(call, entries, place, picture, needs_ratio)
        )
    ]
    if not wanted:
        return call
    work = _Work(fetch, uploads)
    pictures = list(_pictures(call))
    sizes = [*call.inputs, *[UNSEEN] * (len(pictures) - len(call.inputs))]
    refused: GatewayError | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {
                place: group.create_task(work.file_of(pictures[place], call.label(place))) for place in wanted
            }
    except* GatewayError as several:
        refused = _first(several)
    # Raised out here: what is raised inside except* leaves it in a group, on some Pythons always.
    if refused is not None:
        raise refused
    for place, task in tasks.items():
        pictures[place], sizes[place] = task.result()
    return _with(call, pictures, sizes)


def _is_wanted(
    call: ImageCall, entries: Sequence[CatalogModel], place: int, picture: InputRef, needs_ratio: bool
) -> bool:
    inline = _is_inline(picture)
    form = "data" if inline else "url"
    if any(form not in entry.inputs.forms for entry in entries):
        return True
    # The gateway redraws some masks itself, at the size of the first picture.
    is_masking = call.mask is not None and place in (0, len(call.images))
    if is_masking and any(mask_work(call, entry) is not None for entry in entries):
        return True
    return needs_ratio and place == 0 and not inline


class _Work:
    """One call's references on their way to files."""

    def __init__(self, fetch: GuardedFetch, uploads: Uploads) -> None:
        self._fetch = fetch
        self._uploads = uploads
        self._room = asyncio.Semaphore(AT_ONCE)
        self._left = _TOGETHER * fetch.settings.max_bytes

    async def file_of(self, picture: InputImage, label: str) -> tuple[InputFile, InputSize]:
        assert isinstance(picture, InputRef)
        async with self._room:
            if _is_inline(picture):
                return await self._kept(_decoded(picture.image_url), label)
            try:
                async with self._fetch.fetch(picture.image_url) as chunks:
                    return await self._kept(chunks, label)
            except FetchFailed as failed:
                raise _refusal(failed, label) from None

    async def _kept(self, chunks: AsyncIterator[bytes], label: str) -> tuple[InputFile, InputSize]:
        """Type by content, as early as it shows: what a server says of its answer is not asked for."""
        upload = self._uploads.begin()
        head = b""
        async for chunk in chunks:
            self._left -= len(chunk)
            if self._left < 0:
                raise _together_too_large(label)
            if len(head) < _TELLING:
                head += chunk[:_TELLING]
                if len(head) >= _TELLING:
                    _check_format(head, label)
            if upload.take(chunk):
                await upload.flush()
        await upload.finish()
        format = _check_format(head, label)
        picture = await look_at(upload)
        check_pixels(picture, label)
        file = InputFile(f"image.{format}", media_type_of(format), upload.size, upload.open)
        return file, size_of_picture(picture)


async def _decoded(url: str) -> AsyncIterator[bytes]:
    """The bytes of a data URL, whose base64 has been checked."""
    for at in range(url.index(",") + 1, len(url), _SLICE):
        yield await asyncio.to_thread(binascii.a2b_base64, url[at : at + _SLICE])


def _check_format(head: bytes, label: str) -> str:
    format = sniff_format(head)
    if format is None or format == "svg":
        what = "an SVG, which is not taken" if format else "no picture in a known format"
        raise InvalidRequest(
            f"Invalid '{label}': it is {what}. Send PNG, JPEG or WebP.",
            param=param_of(label),
            code="unsupported_image",
            noted={"picture_type": format or "unknown"},
        )
    return format


def _refusal(failed: FetchFailed, label: str) -> InvalidRequest:
    """The caller learns what is wrong with its URL, the operator's log what it led to."""
    if failed.kind is not None:
        _log.warning("ssrf_blocked", host=failed.host, address=failed.kind)
    return InvalidRequest(
        f"Invalid '{label}': the picture could not be fetched: {failed.message}.",
        param=param_of(label),
        code=_CODES.get(failed.reason, "image_not_fetched"),
        status=HTTPStatus.BAD_REQUEST,
        noted={"host": failed.host, "address": failed.kind},
    )


def _together_too_large(label: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{label}': the pictures of this request are too large together.",
        param=param_of(label),
        code="image_too_large",
    )


def _first(several: BaseExceptionGroup[GatewayError]) -> GatewayError:
    found = several.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _is_inline(picture: InputRef) -> bool:
    return picture.image_url[:5].lower() == "data:"


def _pictures(call: ImageCall) -> Iterator[InputImage]:
    """In the order of ``call.inputs``."""
    yield from call.images
    yield from (extra for extra in (call.mask, call.markup) if extra is not None)


def _with(call: ImageCall, pictures: Sequence[InputImage], sizes: Sequence[InputSize]) -> ImageCall:
    extras = iter(pictures[len(call.images) :])
    return replace(
        call,
        images=tuple(pictures[: len(call.images)]),
        mask=None if call.mask is None else next(extras),
        markup=None if call.markup is None else next(extras),
        inputs=tuple(sizes),
    )
