"""A request as it came over the wire, before anybody judged its words.

JSON and multipart both become a :class:`RawRequest`; gateway/images/validation.py turns it into an
``ImageCall``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.images.sniff import Picture
from providers.base import InputFile, Operation


class Encoding(StrEnum):
    JSON = "json"
    MULTIPART = "multipart"


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file part. ``part`` is the name without brackets (``image`` for ``image[]`` and ``image[0]``),
    ``picture`` what its first bytes show, ``after`` how many text parts of the same name came before it."""

    part: str
    file: InputFile
    picture: Picture
    after: int = 0


@dataclass(frozen=True, slots=True)
class RawRequest:
    """``fields`` holds JSON values, or the texts of a form (str, list of str, or nested dicts of them)."""

    operation: Operation
    encoding: Encoding
    fields: Mapping[str, object]
    files: Sequence[RawFile] = ()
