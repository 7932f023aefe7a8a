"""What a caller asked for, once its words have been read and found good.

An ``ImageCall`` is independent of the encoding it came in: JSON and multipart give equal calls. It is what
the engine plans with; for each target it becomes a ``providers.base.ImageRequest``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from providers.base import InputImage, Operation


@dataclass(frozen=True, slots=True)
class InputSize:
    """Pixels of one input picture; None where they cannot be seen (an https URL, an odd file)."""

    width: int | None = None
    height: int | None = None

    @property
    def pixels(self) -> tuple[int, int] | None:
        return (self.width, self.height) if self.width and self.height else None


UNSEEN = InputSize()


@dataclass(frozen=True, slots=True)
class ImageCall:
    """``params`` holds every accepted field other than model, prompt, images, mask and markup, in JSON
    types; a field that the caller left out or sent as null is absent. ``model`` is the name the caller
    used, ``images`` keep their order."""

    operation: Operation
    model: str
    prompt: str
    params: Mapping[str, object] = field(default_factory=dict)
    images: Sequence[InputImage] = ()
    mask: InputImage | None = None
    markup: InputImage | None = None
    inputs: Sequence[InputSize] = ()
    """How large the pictures that go in are: ``images``, then mask and markup."""

    def changed(self, fields: Mapping[str, object]) -> ImageCall:
        """The same call with other values of some fields."""
        return replace(self, params={**self.params, **fields})

    @property
    def n(self) -> int:
        n = self.params.get("n")
        return n if isinstance(n, int) else 1

    @property
    def stream(self) -> bool:
        return self.params.get("stream") is True

    @property
    def end_user(self) -> str | None:
        """``safety_identifier`` wins over the deprecated ``user`` when it is not empty (OpenAI's rule)."""
        for name in ("safety_identifier", "user"):
            value = self.params.get(name)
            if isinstance(value, str) and value:
                return value
        return None
