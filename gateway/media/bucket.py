"""Pictures in an S3-compatible bucket, through obstore (the extra ``storage``).

Small ones are one request; larger ones go up in parts, so that memory holds a few parts and never a picture.
The bucket can give its pictures out itself, to holders of presigned URLs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from config.media import S3Settings
from config.storage import Bucket as Place
from gateway.media.links import DOCUMENTS, disposition_of, format_of
from gateway.media.s3_client import Keys, client_of, library
from gateway.media.shelf import Kept, MediaFailed, MediaGone, Opened

PART = 5 << 20
"""Bytes of a part, and of what goes up in one request: the least that S3 takes."""

PUT_SECONDS = 120.0
"""For one picture. A bucket that takes single bytes would hold up a client who waits for its answer."""

_PARTS_AT_ONCE = 2
_PAGE = 1000


class Bucket:
    """One shelf. ``keys`` None: AWS's own chain is asked. ``lifetime`` is how long presigned links work."""

    def __init__(
        self,
        place: Place,
        settings: S3Settings,
        keys: Keys | None,
        lifetime: timedelta = timedelta(hours=1),
    ) -> None:
        """Raises :class:`gateway.errors.Unavailable`, for the operator, where obstore is not installed, and
        :class:`config.secrets.SecretMissing`."""
        self._obstore = library()
        self._store = client_of(place, settings, keys, settings.endpoint)
        # A signature covers the host, so links that begin with another one are signed by a client of it.
        public = settings.public_endpoint
        self._public = self._store if public is None else client_of(place, settings, keys, public)
        self._lifetime = lifetime

    async def put(self, id: str, chunks: AsyncIterator[bytes]) -> int:
        try:
            async with asyncio.timeout(PUT_SECONDS) as clock:
                return await self._put(id, chunks)
        except TimeoutError:
            if not clock.expired():
                raise
            raise MediaFailed(0, "the media bucket: too slow") from None

    async def _put(self, id: str, chunks: AsyncIterator[bytes]) -> int:
        format = format_of(id)
        if format is None:
            raise ValueError("this is no id of media")
        source = _Parts(chunks)
        first = await source.part()
        body: Any = first if source.ended else source.parts(first)
        try:
            await self._obstore.put_async(
                self._store,
                _key(id),
                body,
                attributes=self._attributes(id, format),
                chunk_size=PART,
                max_concurrency=_PARTS_AT_ONCE,
                use_multipart=not source.ended,
            )
        except Exception as error:
            if source.failed is not None:
                raise source.failed from None
            raise _failed(error) from error
        return source.size

    async def open(self, id: str) -> Opened:
        if format_of(id) is None:
            raise MediaGone(id)
        try:
            found = await self._obstore.get_async(self._store, _key(id))
        except Exception as error:
            raise _meaning(error) from error
        stream = found.stream(min_chunk_size=256 << 10)

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in stream:
                    yield bytes(chunk)
            except Exception as error:
                raise _meaning(error) from error

        async def aclose() -> None:
            """The stream goes with its last reference."""

        return Opened(int(found.meta["size"]), chunks(), aclose)

    async def presigned(self, id: str) -> str:
        """A URL of the bucket's own that gives the picture to whoever holds it, for ``lifetime``; not longer
        than the keys themselves work. Nothing is asked but, without keys of the settings, AWS's own chain.
        Raises :class:`MediaFailed`, and ValueError for what is no id."""
        if format_of(id) is None:
            raise ValueError("this is no id of media")
        try:
            url = await self._obstore.sign_async(self._public, "GET", _key(id), self._lifetime)
        except Exception as error:
            raise _failed(error) from error
        return str(url)

    async def delete(self, id: str) -> bool:
        if format_of(id) is None:
            return False
        try:
            await self._obstore.head_async(self._store, _key(id))
            await self._obstore.delete_async(self._store, _key(id))
        except Exception as error:
            meaning = _meaning(error)
            if isinstance(meaning, MediaGone):
                return False
            raise meaning from error
        return True

    async def listing(self, beginning: str = "") -> AsyncIterator[list[Kept]]:
        pages = self._obstore.list(self._store, beginning[:2] or None, chunk_size=_PAGE)
        try:
            async for page in pages:
                found = [
                    Kept(name, int(entry["size"]), entry["last_modified"])
                    for entry in page
                    if format_of(name := entry["path"].rpartition("/")[2]) is not None
                    and name.startswith(beginning)
                ]
                if found:
                    yield found
        except Exception as error:
            raise _meaning(error) from error

    async def tidy(self, now: datetime) -> None:
        """What interrupted uploads leave is the bucket's to remove (docs/media.md)."""

    async def aclose(self) -> None:
        """obstore closes its connections with its last reference."""

    def _attributes(self, id: str, format: str) -> dict[str, str]:
        """What the bucket itself says to whoever comes with a presigned URL. A page that a picture would be
        must not run there, either."""
        return {
            "Content-Type": _type_of(format),
            "Content-Disposition": disposition_of(id),
            "Cache-Control": f"private, max-age={int(self._lifetime.total_seconds())}, immutable",
        }


def _failed(error: Exception) -> MediaFailed:
    """obstore's own words quote addresses and request ids."""
    return MediaFailed(0, f"the media bucket: {type(error).__name__}")


def _meaning(error: Exception) -> Exception:
    return MediaGone() if isinstance(error, FileNotFoundError) else _failed(error)


def _type_of(format: str) -> str:
    return DOCUMENTS.get(format) or ("image/svg+xml" if format == "svg" else f"image/{format}")


def _key(id: str) -> str:
    return f"{id[:2]}/{id}"


class _Parts:
    """Chunks of any size, joined to parts; remembers what went wrong at their source, which obstore tells
    only as a failure of its own."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0
        self.ended = False
        self.failed: BaseException | None = None

    async def part(self) -> bytes:
        """At least :data:`PART` bytes, fewer at the end."""
        gathered = bytearray()
        async for chunk in self._chunks:
            gathered += chunk
            self.size += len(chunk)
            if len(gathered) >= PART:
                return bytes(gathered)
        self.ended = True
        return bytes(gathered)

    async def parts(self, first: bytes) -> AsyncIterator[bytes]:
        yield first
        try:
            while not self.ended:
                part = await self.part()
                if part:
                    yield part
        except BaseException as error:
            self.failed = error
            raise
