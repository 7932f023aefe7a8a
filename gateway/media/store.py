"""Pictures that are answered as links: kept, linked to, given out, removed.

``storage.media`` says where: a folder of this machine, or a bucket that several replicas share. A picture is
served to whoever holds its link, until that expires or the picture is removed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from config.media import MediaSettings
from config.schema import Settings
from config.storage import Bucket as BucketPlace
from config.storage import media_place
from gateway.media.bucket import Bucket
from gateway.media.folder import Folder
from gateway.media.links import MediaLinks
from gateway.media.shelf import Opened, Shelf
from gateway.media.sweeping import Swept, sweep


@dataclass(frozen=True, slots=True)
class Stored:
    """``id`` is what :meth:`MediaStore.url` makes a link of; ``size`` in bytes."""

    id: str
    size: int


class MediaStore:
    """One per process; any number of processes over one place. Everything but ``url`` and ``check`` raises
    :class:`gateway.media.shelf.MediaFailed` where the place cannot be used."""

    def __init__(self, shelf: Shelf, links: MediaLinks, settings: MediaSettings) -> None:
        self._shelf = shelf
        self._links = links
        self._keep = timedelta(seconds=settings.keep)
        self._lifetime = timedelta(seconds=settings.link_lifetime)
        self._most = settings.max_total

    async def put(self, chunks: AsyncIterator[bytes], format: str, *, request_id: str) -> Stored:
        """Keep a picture, whole or not at all; ``format`` is what its bytes are (png jpeg webp gif avif svg;
        json and sse for whole answers). Raises what ``chunks`` raises; ValueError for another format."""
        id = self._links.new_id(format, request_id)
        return Stored(id, await self._shelf.put(id, chunks))

    def url(self, id: str, base_url: str, *, now: datetime) -> str:
        """A link that works for ``media.link_lifetime``."""
        return self._links.url(id, base_url, now=now)

    def renewed(self, url: str, base_url: str, *, now: datetime) -> str:
        """A link of ours that works again for ``media.link_lifetime``; any other URL as it is."""
        id = self._links.id_in(url)
        return url if id is None else self._links.url(id, base_url, now=now)

    def check(self, id: str, expires: str, signature: str, *, now: datetime) -> timedelta:
        """How long a link still works. Raises ``LinkInvalid`` or ``LinkExpired`` (links.py)."""
        return self._links.check(id, expires, signature, now=now)

    async def open(self, id: str) -> Opened:
        """Raises :class:`gateway.media.shelf.MediaGone`."""
        return await self._shelf.open(id)

    async def delete(self, id: str) -> bool:
        """Remove one picture, so that its links lead nowhere; whether it was there."""
        return await self._shelf.delete(id)

    async def of_request(self, request_id: str) -> list[str]:
        """The ids of all pictures that are kept for a request."""
        beginning = self._links.of_request(request_id)
        return [kept.id async for page in self._shelf.listing(beginning) for kept in page]

    async def sweep(self, *, now: datetime | None = None, most_removed: int = 10_000) -> Swept:
        """Remove what is older than ``media.keep``, and the oldest while all are more than
        ``media.max_total``."""
        now = now or datetime.now(UTC)
        await self._shelf.tidy(now)
        return await sweep(
            self._shelf,
            now=now,
            keep=self._keep,
            promised=self._lifetime,
            most_bytes=self._most,
            most_removed=most_removed,
        )

    async def aclose(self) -> None:
        await self._shelf.aclose()


def open_media(settings: Settings, base: Path, secret: bytes) -> MediaStore:
    """The store that ``storage.media`` names; nothing is connected to yet. Raises ``Unavailable`` where an
    extra is missing, and :class:`config.secrets.SecretMissing`."""
    place = media_place(settings.storage.media, base)
    links = MediaLinks(secret, timedelta(seconds=settings.media.link_lifetime))
    if isinstance(place, BucketPlace):
        s3 = settings.media.s3
        keys = None
        if s3.access_key_id is not None and s3.secret_access_key is not None:
            keys = (s3.access_key_id.resolve(base), s3.secret_access_key.resolve(base))
        return MediaStore(Bucket(place, s3, keys), links, settings.media)
    return MediaStore(Folder(place), links, settings.media)
