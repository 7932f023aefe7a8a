"""``background``: a word for the model, or a colour that the gateway puts behind what is transparent."""

from __future__ import annotations

import re

from config.catalog import CatalogModel
from gateway.images.fields import takes
from gateway.images.fitted import How
from gateway.images.served import Served, adjusted

_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})", re.IGNORECASE | re.ASCII)
_NAMED = {"white": "#ffffff", "black": "#000000"}


def colour_of(background: object) -> str | None:
    """``#rrggbb`` where ``background`` names a colour (``#f80``, ``#ff8800``, ``white``, ``black``)."""
    if not isinstance(background, str):
        return None
    text = background.strip().lower()
    if text in _NAMED:
        return _NAMED[text]
    if not _HEX.fullmatch(text):
        return None
    return text if len(text) == 7 else "#" + "".join(digit * 2 for digit in text[1:])


def can_be_transparent(entry: CatalogModel) -> bool:
    return takes(entry, "background", "transparent", entry.backgrounds)


def serve_background(background: object, entry: CatalogModel, *, shows: bool) -> Served:
    """What is sent for ``background``. A colour is not: the gateway puts it there (``Finish``), where the
    delivered picture ``shows`` one."""
    if background is None:
        return Served()
    colour = colour_of(background)
    if colour is not None:
        done = adjusted("background", background, How.EMULATED, colour)
        return Served(adjustments=(done if shows else adjusted("background", background, How.IGNORED),))
    if takes(entry, "background", background, entry.backgrounds):
        return Served({"background": background})
    # What is left is opaque or auto at a target that offers no choice, and that is opaque.
    return Served()
