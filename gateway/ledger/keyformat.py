"""The text of a key: how it is made, recognised, digested and shown. Pure but for the random bytes.

``sk-ig-`` + 32 random bytes in base62 (43 characters) + 6 characters of CRC-32 over all before it. The
checksum lets a secret scanner, and the gateway before any look-up, tell a key of ours from a typing error.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
import zlib

PREFIX = "sk-ig-"
ADMIN_PREFIX = "sk-admin-"
_OURS = (PREFIX, ADMIN_PREFIX)

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY = 43  # 62**43 > 2**256
_CHECK = 6  # 62**6 > 2**32


def new_key(prefix: str = PREFIX) -> str:
    """A fresh key of 256 random bits."""
    body = prefix + _base62(int.from_bytes(secrets.token_bytes(32)), _BODY)
    return body + _checksum(body)


def well_formed(key: str) -> bool:
    """False for a key with one of our prefixes that cannot be ours; True for any other text."""
    for prefix in _OURS:
        if key.startswith(prefix):
            body, check = key[:-_CHECK], key[-_CHECK:]
            return len(key) == len(prefix) + _BODY + _CHECK and key.isascii() and check == _checksum(body)
    return True


def digest(key: str, pepper: bytes) -> str:
    """HMAC-SHA-256 in hex: what is stored and looked up. Fast on purpose: 256 random bits need no slow
    hash."""
    if not pepper:
        raise ValueError("keys cannot be digested without server.secret")
    return hmac.new(pepper, key.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def redact(key: str) -> str:
    """What may be shown and logged: our prefix and the last four characters; a short text shows nothing."""
    prefix = next((prefix for prefix in _OURS if key.startswith(prefix)), "")
    return f"{prefix}...{key[-4:] if len(key) - len(prefix) >= 16 else ''}"


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode("utf-8", "surrogatepass")), _CHECK)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
