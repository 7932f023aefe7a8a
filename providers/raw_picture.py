"""An answer that is the picture itself, as the document that everybody else's answers are."""

from __future__ import annotations

import time
from binascii import b2a_base64
from collections.abc import AsyncIterator


async def raw_as_openai(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes of an ``ImagesResponse`` around the picture's own, encoded as they come. Nothing at all
    stands for no picture."""
    yield b'{"created":%d,"data":[' % int(time.time())
    begun, rest = False, b""
    async for chunk in body:
        if not begun and chunk:
            begun = True
            yield b'{"b64_json":"'
        whole = rest + chunk
        # Threes join without padding between them.
        end = len(whole) - len(whole) % 3
        rest = whole[end:]
        if end:
            yield b2a_base64(memoryview(whole)[:end], newline=False)
    yield (b2a_base64(rest, newline=False) + b'"}]}') if begun else b"]}"
