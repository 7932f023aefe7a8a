"""Pictures in an S3-compatible bucket, through obstore (the extra ``storage``).

Small ones are one request; larger ones go up in parts, so that memory holds a few parts and never a picture.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from config.media import S3Settings
from config.secrets import Secret
from config.storage import Bucket as Place
from gateway.errors import Unavailable
from gateway.media.links import DOCUMENTS, format_of
from gateway.media.shelf import Kept, MediaFailed, MediaGone, Opened

PART = 5 << 20
"""Bytes of a part, and of what goes up in one request: the least that S3 takes."""

_PARTS_AT_ONCE = 2
_PAGE = 1000
_TRIES = 3


class Bucket:
    """One shelf. ``keys`` are the access key's id and its secret; None: AWS's own chain."""

    def __init__(self, place: Place, settings: S3Settings, keys: tuple[Secret, Secret] | None) -> None:
        """Raises :class:`gateway.errors.Unavailable`, for the operator, where obstore is not installed."""
        try:
            import obstore
            from obstore.store import S3Store
        except ImportError:
            raise Unavailable(
                "storage.media names an S3 bucket, which needs the extra 'storage': install "
                "'imagegate[storage]' and start the gateway again."
            ) from None
        options: dict[str, Any] = {"region": settings.region}
        if settings.endpoint is not None:
            options["endpoint"] = settings.endpoint
        path_style = settings.endpoint is not None if settings.path_style is None else settings.path_style
        if keys is not None:
            options |= {"access_key_id": keys[0].reveal(), "secret_access_key": keys[1].reveal()}
        self._obstore: Any = obstore
        self._store: Any = S3Store(
            place.name,
            prefix=place.prefix or None,
            virtual_hosted_style_request=not path_style,
            client_options={
                "allow_http": (settings.endpoint or "").startswith("http://"),
                "connect_timeout": "5s",
                # Of one read, and of a whole exchange, which a slow client draws out.
                "read_timeout": "30s",
                "timeout": "600s",
            },
            retry_config={"max_retries": _TRIES, "retry_timeout": timedelta(seconds=15)},
            **options,
        )

    async def put(self, id: str, chunks: AsyncIterator[bytes]) -> int:
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
                attributes={"Content-Type": _type_of(format)},
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
