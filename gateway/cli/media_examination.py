"""A look at the bucket of ``storage.media``: a picture is kept, read, linked to, fetched as a client would
fetch it, and removed again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import Bucket as Place
from config.storage import media_place
from gateway.cli.examination import Finding, Level
from gateway.errors import Unavailable
from gateway.media.bucket import Bucket
from gateway.media.links import MediaLinks
from gateway.media.shelf import MediaFailed, MediaGone
from gateway.media.store import open_bucket
from providers.base import ProviderError
from providers.http import UpstreamClient

PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080000000"
    "03a7e9b550000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)
"""A PNG of one pixel."""

_SECONDS = 20.0
_MUST_FIT = (
    "region and keys must be the bucket's own, media.s3.public_endpoint the address that clients use, and "
    "a proxy before the bucket must leave the host, the path and the query as they are"
)
_TEMPORARY = (
    "presigned links are signed with temporary keys and end with these, which may be before "
    "media.link_lifetime; give media.s3 an access key that lasts"
)


@dataclass(frozen=True, slots=True)
class MediaExamined:
    """``keeps``: it took a picture and gave it back. ``linked``: a presigned link gave it too; None where
    links lead to the gateway, and where the bucket's address could not be reached from here."""

    bucket: str
    keeps: bool
    linked: bool | None
    findings: tuple[Finding, ...]


async def examine_media(settings: Settings, *, base: Path) -> MediaExamined | None:
    """None where pictures are kept in a folder."""
    place = media_place(settings.storage.media, base)
    if not isinstance(place, Place):
        return None
    try:
        bucket = open_bucket(place, settings.media, base)
    except (SecretMissing, Unavailable) as missing:
        return MediaExamined(place.name, False, None, (Finding(Level.ERROR, str(missing)),))
    client = UpstreamClient(settings.upstream, base=base)
    look = _Look(bucket, client, presigned=settings.media.s3.links == "presigned")
    try:
        await look.take()
    except (MediaFailed, MediaGone) as failed:
        # In a terminal of the operator's own, the words of the library help more than they tell.
        reason = str(failed.__cause__ or "what was kept is not there").partition("\n")[0]
        look.tell(Level.ERROR, f"cannot be used: {reason}")
    finally:
        await client.aclose()
    return MediaExamined(place.name, look.keeps, look.linked, tuple(look.findings))


class _Look:
    """One picture's way in and out."""

    def __init__(self, bucket: Bucket, client: UpstreamClient, *, presigned: bool) -> None:
        self._bucket = bucket
        self._client = client
        self._presigned = presigned
        self.keeps = False
        self.linked: bool | None = None
        self.findings: list[Finding] = []

    def tell(self, level: Level, text: str) -> None:
        self.findings.append(Finding(level, text))

    async def take(self) -> None:
        """Raises :class:`MediaFailed` and :class:`MediaGone`."""
        id = MediaLinks(secrets.token_bytes(32), timedelta(hours=1)).new_id("png", "doctor")
        try:
            await self._bucket.put(id, _picture())
            opened = await self._bucket.open(id)
            self.keeps = b"".join([chunk async for chunk in opened.chunks]) == PICTURE
            await opened.aclose()
            url = await self._bucket.presigned(id)
            if self._presigned:
                self.linked = await self._follow(url)
            if await self._status(url.partition("?")[0]) == 200:
                self.tell(Level.ERROR, "is public: whoever knows where a picture lies reads it for ever")
            await self._bucket.delete(id)
            if self.linked:
                await self._follow_removed(url)
        finally:
            with suppress(MediaFailed):
                await self._bucket.delete(id)

    async def _follow(self, url: str) -> bool | None:
        """Whether a link gives what was kept; None where nobody can tell from here."""
        try:
            status, kind, body = await self._got(url)
        except ProviderError as error:
            reason = error.message.rpartition(": ")[2].rstrip(".")
            self.tell(Level.WARNING, f"a presigned link could not be followed from here: {reason}")
            return None
        if (status, body) != (200, PICTURE):
            self.tell(Level.ERROR, f"a presigned link is answered {status}: {_MUST_FIT}")
            return False
        if kind != "image/png":
            self.tell(Level.WARNING, f"pictures are given out as {kind!r} and not as image/png")
        query = parse_qs(urlsplit(url).query)
        if "X-Amz-Security-Token" in query:
            self.tell(Level.WARNING, _TEMPORARY)
        signature = query["X-Amz-Signature"][0]
        if await self._status(url.replace(signature, signature[::-1])) == 200:
            self.tell(Level.ERROR, "gives pictures to links with a wrong signature: none of them ever ends")
        return True

    async def _follow_removed(self, url: str) -> None:
        status = await self._status(url)
        if status == 200:
            self.tell(
                Level.WARNING, "still gives out a picture that was removed; is there a cache before it?"
            )
        elif status == 403:
            self.tell(Level.WARNING, "says 403 of a removed picture and not 404: allow s3:ListBucket, too")

    async def _status(self, url: str) -> int | None:
        with suppress(ProviderError):
            return (await self._got(url))[0]
        return None

    async def _got(self, url: str) -> tuple[int, str, bytes]:
        """Status, type and first bytes. Raises :class:`ProviderError`."""
        ends_at = asyncio.get_running_loop().time() + _SECONDS
        reply = await self._client.send("GET", url, {}, ends_at=ends_at, provider="media")
        try:
            return reply.status, reply.headers.get("content-type", ""), await reply.read(4096)
        finally:
            await reply.aclose()


async def _picture() -> AsyncIterator[bytes]:
    yield PICTURE
