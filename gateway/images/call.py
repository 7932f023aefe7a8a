"""What a caller asked for, once its words have been read and found good.

An ``ImageCall`` is independent of the encoding it came in: JSON and multipart give equal calls. It is what
the engine plans with; for each target it becomes a ``providers.base.ImageRequest``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from providers.base import InputImage, Operation

if TYPE_CHECKING:
    from gateway.images.fitted import Adjustment


@dataclass(frozen=True, slots=True)
class InputSize:
    """Pixels of one input picture, upright; None where they cannot be seen (an https URL, an odd file).
    ``format`` is what its first bytes show (``png``), empty for nothing that is known, None where nobody has
    looked. ``turned``: its pixels are stored otherwise, and a tag says how, which not all readers heed."""

    width: int | None = None
    height: int | None = None
    format: str | None = None
    turned: bool = False

    @property
    def pixels(self) -> tuple[int, int] | None:
        return (self.width, self.height) if self.width and self.height else None


UNSEEN = InputSize()


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the caller wants its answer: bytes or links, and whether what was changed is told in the body."""

    response_format: Literal["b64_json", "url"] = "b64_json"
    report: bool = False


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
    labels: Sequence[str] = field(default=(), compare=False)
    """What the request itself calls each of them (``image[1]``, ``images[0].image_url``, ``mask``): messages
    about a picture name it so."""
    strict: bool = False
    """Whether a size or field that a target cannot serve exactly is refused instead of fitted."""
    delivery: Delivery = Delivery()
    adjusted: Sequence[Adjustment] = ()
    """What was changed before any target was looked at: defaults for ``auto``, a model's successor."""

    def changed(self, fields: Mapping[str, object]) -> ImageCall:
        """The same call with other values of some fields."""
        return replace(self, params={**self.params, **fields})

    def label(self, place: int) -> str:
        """Of picture number ``place`` of :attr:`inputs`."""
        return self.labels[place] if place < len(self.labels) else "image"

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
