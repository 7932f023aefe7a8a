"""Pictures that are answered as links: kept, linked to, given out, removed.

``storage.media`` says where: a folder of this machine, or a bucket that several replicas share. A picture is
served to whoever holds its link, until that expires or the picture is removed: by the gateway, or with
``media.s3.links: presigned`` by the bucket itself. Whole answers are given out by the gateway in any case,
since it renews the links in them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from config.media import MediaSettings
from config.schema import Settings
from config.secrets import Secret
from config.storage import Bucket as BucketPlace
from config.storage import media_place
from gateway.media.answers import LINKS_WITHIN, with_fresh_links
from gateway.media.bucket import Bucket
from gateway.media.folder import Folder
from gateway.media.links import MediaLinks, format_of, id_in, of_one_request
from gateway.media.shelf import Opened, Shelf
from gateway.media.sweeping import Swept, sweep


class Presigner(Protocol):
    """What can make links that lead past the gateway."""

    async def presigned(self, id: str) -> str:
        """Raises :class:`gateway.media.shelf.MediaFailed`."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """``id`` is what :meth:`MediaStore.link` makes a link of; ``size`` in bytes."""

    id: str
    size: int


class MediaStore:
    """One per process; any number of processes over one place. Everything but ``url`` and ``check`` raises
    :class:`gateway.media.shelf.MediaFailed` where the place cannot be used. ``presigner`` makes the links to
    pictures; None: they lead to the gateway."""

    def __init__(
        self, shelf: Shelf, links: MediaLinks, settings: MediaSettings, presigner: Presigner | None = None
    ) -> None:
        self._shelf = shelf
        self._links = links
        self._presigner = presigner
        self._keep = timedelta(seconds=settings.keep)
        self._lifetime = timedelta(seconds=settings.link_lifetime)
        self._most = settings.max_total

    async def put(self, chunks: AsyncIterator[bytes], format: str, *, request_id: str) -> Stored:
        """Keep a picture, whole or not at all; ``format`` is what its bytes are (png jpeg webp gif avif svg;
        json and sse for whole answers). Raises what ``chunks`` raises; ValueError for another format."""
        id = self._links.new_id(format, request_id)
        return Stored(id, await self._shelf.put(id, chunks))

    async def link(self, id: str, base_url: str, *, now: datetime) -> str:
        """A link to a picture that works for ``media.link_lifetime``: to the bucket where it gives pictures
        out itself, else to the gateway at ``base_url``. It is a permission, and no business of a log."""
        if self._presigner is not None:
            return await self._presigner.presigned(id)
        return self.url(id, base_url, now=now)

    def url(self, id: str, base_url: str, *, now: datetime) -> str:
        """A link to the gateway that works for ``media.link_lifetime``."""
        return self._links.url(id, base_url, now=now)

    def check(self, id: str, expires: str, signature: str, *, now: datetime) -> timedelta:
        """How long a link still works. Raises ``LinkInvalid`` or ``LinkExpired`` (links.py)."""
        return self._links.check(id, expires, signature, now=now)

    async def open(self, id: str) -> Opened:
        """As it was kept. Raises :class:`gateway.media.shelf.MediaGone`."""
        return await self._shelf.open(id)

    async def open_renewed(self, id: str, base_url: str) -> Opened:
        """As it was kept, but the links in a whole answer work again for ``media.link_lifetime``. Raises
        :class:`gateway.media.shelf.MediaGone`."""
        opened = await self.open(id)
        if format_of(id) != "json" or opened.size > LINKS_WITHIN:
            return opened
        now = datetime.now(UTC)

        async def renewed(url: str) -> str:
            # A provider's own link may stand there, and must lead to nothing but what it leads to.
            named = id_in(url)
            if named is None or not of_one_request(named, id):
                return url
            return await self.link(named, base_url, now=now)

        try:
            return await with_fresh_links(opened, renewed)
        except BaseException:
            await opened.aclose()
            raise

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
        bucket = open_bucket(place, settings.media, base)
        presigner = bucket if settings.media.s3.links == "presigned" else None
        return MediaStore(bucket, links, settings.media, presigner)
    return MediaStore(Folder(place), links, settings.media)


def open_bucket(place: BucketPlace, settings: MediaSettings, base: Path) -> Bucket:
    """As :func:`open_media`, for one that is a bucket."""
    s3 = settings.s3
    id, secret = s3.access_key_id, s3.secret_access_key

    def keys() -> tuple[Secret, Secret]:
        assert id is not None
        assert secret is not None
        return id.resolve(base), secret.resolve(base)

    return Bucket(place, s3, None if id is None else keys, timedelta(seconds=settings.link_lifetime))
