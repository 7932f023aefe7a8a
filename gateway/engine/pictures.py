"""One picture of an answer on its way to the client: fetched where the provider gave a link, converted where
something else was asked for, stored where the client wants a link.

A picture that was paid for is delivered in any case that is honest: where it cannot be converted or stored,
the original goes out as base64, and what was not done is told. In strict mode it is an error instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from time import perf_counter
from typing import Protocol

import structlog

from gateway.engine.conversions import Conversions, NoRoomInTime
from gateway.engine.encoded import Content, NotBase64, encode_into, raw_chunks, sliced, whole_bytes
from gateway.engine.unfinished import (
    bad_base64,
    bad_upstream_url,
    conversion_failed,
    media_store_failed,
    spool_failed,
)
from gateway.images.conversion import (
    MAX_FRAMES,
    Unconvertible,
    convert,
    decoded_pixels,
    is_needed,
    keeps_frames,
)
from gateway.images.document import Span
from gateway.images.fitted import Adjustment, Finish, How
from gateway.images.look import look, may_move, of_file
from gateway.images.skeleton import Scanned
from gateway.images.sniff import Picture, judge_bytes, sniff
from gateway.media.links import FORMATS as LINKED
from gateway.media.shelf import MediaFailed
from gateway.media.spool import Spool, SpoolFailed, SpoolRoom, SpoolTooLarge
from gateway.media.store import Stored
from providers.guarded import FetchFailed, Reason

_log = structlog.get_logger("imagegate.engine")

_HEAD = 1 << 20
"""Bytes read to find a size: a JPEG may carry as much of other things before it."""
_TAIL = 96
_KIND = 64
"""Bytes that tell what kind of file it is."""

_STORING = 5.0
"""Seconds that the media store is given for a picture that came at the deadline: its client still waits a
little, and would rather have base64 than nothing."""


class Media(Protocol):
    """The part of ``gateway.media.store.MediaStore`` that is used here."""

    async def put(self, chunks: AsyncIterator[bytes], format: str, *, request_id: str) -> Stored: ...

    async def link(self, id: str, base_url: str, *, now: datetime) -> str: ...


class Fetch(Protocol):
    """The part of ``providers.guarded.GuardedFetch`` that is used here."""

    def fetch(
        self, url: str, *, seconds: float, also: Collection[str]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...


@dataclass(frozen=True, slots=True)
class Order:
    """How the pictures of one request are delivered. ``finish`` None: as they came. ``as_url``: as links that
    begin with ``base_url``. ``deadline`` is in ``perf_counter`` seconds. ``strict``: an error where it cannot
    be done as ordered. ``provider`` made them."""

    request_id: str
    deadline: float
    finish: Finish | None = None
    as_url: bool = False
    base_url: str = ""
    strict: bool = False
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """``item`` is what stands in ``data`` in place of ``b64_json`` and ``url``; empty where these stay.
    ``adjustments`` are what came out other than ordered."""

    picture: Picture
    item: Mapping[str, object]
    adjustments: tuple[Adjustment, ...] = ()


class Pictures:
    """One per process. ``pass_on``: a provider's own link goes to a client who wants links. ``homes`` are the
    providers' own servers by name: their answers may link to these wherever they stand."""

    def __init__(
        self,
        room: SpoolRoom,
        conversions: Conversions,
        media: Media | None = None,
        fetch: Fetch | None = None,
        *,
        pass_on: bool = False,
        homes: Mapping[str, str] | None = None,
    ) -> None:
        self._room = room
        self._conversions = conversions
        self._media = media
        self._fetch = fetch
        self._pass_on = pass_on
        self._homes = homes or {}

    def stays(self, item: Mapping[str, object], made: Picture, order: Order) -> bool:
        """Whether the item goes out as it came."""
        if order.finish is not None and is_needed(made, order.finish):
            return False
        return not order.as_url if has_base64(item) else order.as_url and self._pass_on

    async def measured(self, made: Picture, content: Content | None) -> Picture:
        """The picture with its size, where a longer look at its content tells one."""
        if content is None or made.size is not None or made.format not in ("jpeg", "avif"):
            return made
        head = b""
        try:
            async for chunk in raw_chunks(content, self._room):
                head += chunk
                seen = sniff(head)
                if seen.size is not None:
                    return seen
                if len(head) >= _HEAD:
                    break
        except (NotBase64, SpoolFailed):
            return made
        return made

    async def done(
        self, item: Mapping[str, object], scanned: Scanned, spool: Spool, made: Picture, order: Order,
        sources: list[Spool],
    ) -> Done:  # fmt: skip
        """Bring one item of ``data`` to what was ordered. New bodies are appended to ``sources``, which its
        caller closes; spans count them. Raises :class:`GatewayError`."""
        content = content_of(item, scanned, spool)
        if content is not None:
            return await self._finished(content, await self.measured(made, content), order, sources)
        fetched = self._room.spool()
        sources.append(fetched)
        content, made = await self._fetched(str(item.get("url")), order, fetched)
        done = await self._finished(content, made, order, sources)
        fetched.close()  # what is delivered is a copy, or lies in the media store
        return done

    async def _finished(self, content: Content, made: Picture, order: Order, sources: list[Spool]) -> Done:
        """As ordered, as far as that can be done."""
        if order.finish is None or not is_needed(made, order.finish):
            return await self._given(content, made, order, sources)
        try:
            data, picture = await self._converted(content, made, order.finish, order.deadline)
            done = await self._given(data, picture, order, sources)
            return replace(done, adjustments=(*_reformatted(order.finish, made), *done.adjustments))
        except NoRoomInTime:
            reason = "this gateway was too busy for it until the deadline"
        except (Unconvertible, NotBase64, SpoolFailed, SpoolTooLarge) as error:
            reason = str(error)
        _log.warning("conversion_failed", request_id=order.request_id, reason=reason)
        if order.strict:
            raise conversion_failed(reason, order.request_id)
        done = await self._given(content, made, order, sources)
        return replace(done, adjustments=(*_not_done(order.finish, made), *done.adjustments))

    async def _converted(
        self, content: Content, made: Picture, finish: Finish, deadline: float
    ) -> tuple[bytes, Picture]:
        if keeps_frames(made, finish):
            made = replace(made, frames=await self._frames(content))
        converted = await self._conversions.run_on(
            partial(whole_bytes, content, self._room),
            partial(convert, finish=finish),
            pixels=decoded_pixels(made, finish),
            deadline=deadline,
        )
        return converted.data, Picture(converted.format, converted.width, converted.height)

    async def _frames(self, content: Content) -> int:
        """How many are decoded. Only of what may be an animation is the whole looked at, and let go of again,
        since there may be no room for it yet."""
        head = b""
        async for chunk in raw_chunks(content, self._room):
            head += chunk
            if len(head) >= _KIND:
                break
        if not may_move(head):
            return 1
        data = await whole_bytes(content, self._room)
        seen = await self._room.in_thread(lambda: look(of_file(BytesIO(data)), len(data)))
        return min(seen.frames, MAX_FRAMES)

    async def _given(
        self, content: Content | bytes, picture: Picture, order: Order, sources: list[Spool]
    ) -> Done:
        """As a link or as base64."""
        failed: tuple[Adjustment, ...] = ()
        if order.as_url:
            try:
                return Done(picture, {"url": await self._link(self._raw(content), picture, order)})
            except NotBase64:
                raise bad_base64(order.request_id) from None
            except MediaFailed as error:
                _log.error("media_store_failed", request_id=order.request_id, reason=str(error))
                if order.strict:
                    raise media_store_failed(order.request_id) from None
                failed = (Adjustment("response_format", "url", How.MAPPED, "b64_json"),)
        if isinstance(content, Content) and content.encoded:
            return Done(picture, {}, failed)
        spool = self._room.spool()
        sources.append(spool)
        place = len(sources) - 1  # others append theirs while this is written
        await encode_into(spool, self._raw(content), self._room)
        return Done(picture, {"b64_json": Span(place, 0, spool.size)}, failed)

    def _raw(self, content: Content | bytes) -> AsyncIterator[bytes]:
        return raw_chunks(content, self._room) if isinstance(content, Content) else sliced(content)

    async def _link(self, chunks: AsyncIterator[bytes], picture: Picture, order: Order) -> str:
        if self._media is None or picture.format not in LINKED:
            raise MediaFailed("there is no media store, or none for this format")
        left = max(order.deadline - perf_counter(), _STORING)
        try:
            async with asyncio.timeout(left) as clock:
                stored = await self._media.put(chunks, picture.format, request_id=order.request_id)
                return await self._media.link(stored.id, order.base_url, now=datetime.now(UTC))
        except TimeoutError:
            if not clock.expired():
                raise
            raise MediaFailed("the media store was too slow") from None

    async def _fetched(self, url: str, order: Order, spool: Spool) -> tuple[Content, Picture]:
        """The picture behind a provider's link, whole, in ``spool``, and judged by its own bytes."""
        try:
            if self._fetch is None:
                raise FetchFailed(Reason.FORBIDDEN, "fetching is off")
            home = self._homes.get(order.provider)
            # It was paid for: the deadline bounds it, not the time that callers' own links are given.
            left = max(order.deadline - perf_counter(), 0.0)
            async with self._fetch.fetch(url, seconds=left, also=[home] if home else ()) as chunks:
                head, tail = await _spooled(chunks, spool)
            picture = judge_bytes(head, tail, spool.size)
        except FetchFailed as error:
            if error.kind is not None:
                _log.warning("ssrf_blocked", request_id=order.request_id, host=error.host, address=error.kind)
            raise bad_upstream_url(error.message, order.request_id) from None
        except SpoolTooLarge:
            raise bad_upstream_url("it leads to too many bytes", order.request_id) from None
        except SpoolFailed:
            raise spool_failed(order.request_id) from None
        except ValueError as error:
            raise bad_upstream_url(f"it leads to {error}", order.request_id) from None
        content = Content(spool, 0, spool.size, encoded=False)
        return content, await self.measured(picture, content)


def has_base64(item: Mapping[str, object]) -> bool:
    encoded = item.get("b64_json")
    return isinstance(encoded, str) and bool(encoded)


def content_of(item: Mapping[str, object], scanned: Scanned, spool: Spool) -> Content | None:
    """Where an item's base64 lies; None where it has none."""
    encoded = item.get("b64_json")
    if not isinstance(encoded, str) or not encoded:
        return None
    long = scanned.long(encoded)
    if long is None:
        return Content(None, text=encoded.encode())
    return Content(spool, long.start, long.end, escaped=long.escapes > 0)


async def _spooled(chunks: AsyncIterator[bytes], spool: Spool) -> tuple[bytes, bytes]:
    """Everything into the spool; the first and the last bytes."""
    head = tail = b""
    async for chunk in chunks:
        if len(head) < _HEAD:
            head += chunk[: _HEAD - len(head)]
        tail = (tail + chunk)[-_TAIL:]
        await spool.write(chunk)
    await spool.finish()
    return head, tail


def _reformatted(finish: Finish, made: Picture) -> tuple[Adjustment, ...]:
    """From what a picture was made: of some targets this is not known before."""
    if finish.format in (None, made.format):
        return ()
    return (Adjustment("output_format", finish.format, How.EMULATED, made.format),)


def _not_done(finish: Finish, made: Picture) -> tuple[Adjustment, ...]:
    """What a picture that goes out as it was made is not."""
    told = []
    if finish.format is not None and finish.format != made.format:
        told.append(Adjustment("output_format", finish.format, How.DROPPED, made.format))
    elif finish.compression is not None:
        told.append(Adjustment("output_compression", str(finish.compression), How.DROPPED))
    if finish.pixels is not None and finish.pixels != (made.width, made.height):
        told.append(Adjustment("fit", finish.fit or "cover", How.DROPPED, "none"))
    return tuple(told)
