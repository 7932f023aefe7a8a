"""Values of structured HTTP fields (RFC 9651), written; nothing here reads any.

The few shapes that the gateway's own headers need: tokens, strings, inner lists of strings, and items with
parameters. Text beyond printable ASCII becomes a display string, which is what those are for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*", re.ASCII)
_PLAIN = re.compile(r"[\x20-\x7e]*", re.ASCII)


def string(text: str) -> str:
    """``"text"``; ``%"…"`` where a plain string cannot hold it."""
    if _PLAIN.fullmatch(text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    octets = text.encode("utf-8", "replace")
    return '%"' + "".join(_display(octet) for octet in octets) + '"'


def token(text: str) -> str:
    """``text`` as a token, or as a string where it is none."""
    return text if _TOKEN.fullmatch(text) else string(text)


def inner_list(texts: Iterable[str]) -> str:
    """``("a" "b")``"""
    return f"({' '.join(string(text) for text in texts)})"


def item(bare: str, parameters: Mapping[str, str]) -> str:
    """``bare;key=value``; all written already, keys in lower case."""
    return bare + "".join(f";{key}={value}" for key, value in parameters.items())


def listing(members: Sequence[str]) -> str:
    return ", ".join(members)


def dictionary(members: Mapping[str, str]) -> str:
    """Values written already, keys in lower case."""
    return ", ".join(f"{key}={value}" for key, value in members.items())


def _display(octet: int) -> str:
    """RFC 9651 §4.1.11: percent, quote and what is not printable ASCII as ``%`` and lower-case hex."""
    if octet in b'%"' or octet < 0x20 or octet > 0x7E:
        return f"%{octet:02x}"
    return chr(octet)
