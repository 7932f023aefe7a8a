"""Input pictures that are drawn anew before they are sent: in threads, within the room for conversions, and
before anything is held for the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.engine.conversions import Conversions, NoRoomInTime
from gateway.errors import Unavailable
from gateway.media.uploads import Uploads
from providers.base import InputFile


@dataclass(frozen=True, slots=True)
class Redrawing:
    """Of one request. ``uploads`` owns what is made; ``deadline`` is in ``perf_counter`` seconds."""

    conversions: Conversions
    uploads: Uploads
    deadline: float

    async def redrawn(self, file: InputFile, redraw: Callable[[bytes], bytes], pixels: int) -> InputFile:
        """``file`` as ``redraw`` makes it of its bytes, under its own name and type; ``pixels`` are decoded
        for it. Raises what ``redraw`` raises, and ``Unavailable`` where it cannot be done in time."""
        data = await asyncio.to_thread(_read, file)
        try:
            made = await self.conversions.run(partial(redraw, data), pixels=pixels, deadline=self.deadline)
        except NoRoomInTime:
            raise Unavailable(
                "This gateway was too busy to prepare your pictures; nothing was sent to any provider. Try "
                "again in a few seconds.",
                code="conversion_busy",
                retry_after=5,
            ) from None
        upload = self.uploads.begin()
        if upload.take(made):
            await upload.flush()
        await upload.finish()
        return InputFile(file.filename, file.content_type, upload.size, upload.open)


def _read(file: InputFile) -> bytes:
    with file.open() as handle:
        return handle.read()
