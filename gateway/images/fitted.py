"""A call as one target can serve it: what is sent, what was changed on the way there, and what is left for
the gateway to do to the picture that comes back. Pure shapes; fitting.py makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall


class Rule(StrEnum):
    """How the size that was sent came about (docs/normalization.md)."""

    EXACT = "exact"
    AUTO = "auto"
    FILLED = "filled"
    CLAMPED = "clamped"
    STEP = "step"
    RAISED = "raised"
    LOWERED = "lowered"
    RATIO_CUT = "ratio_cut"
    NEAREST = "nearest"


class How(StrEnum):
    """What became of a field that is not served as it was asked."""

    MAPPED = "mapped"
    EMULATED = "emulated"
    DROPPED = "dropped"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class SizeChoice:
    """``requested`` and ``sent`` are in the words of ``x-imagegate-size`` (``16:9@4K``, ``3840x2160``,
    ``auto``; ``requested`` None where nothing was asked). ``fields`` are what goes to the target
    (``{"size": "3840x2160"}``, ``{"aspect_ratio": "16:9", "resolution": "4K"}``, ``{}`` for its default).
    ``pixels`` is the size that is expected back, None where the target chooses."""

    rule: Rule
    requested: str | None
    sent: str
    fields: Mapping[str, object]
    pixels: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One change besides the size. ``was`` and ``now`` are the values as text. ``was`` is None where the
    caller gave none, or gave words of its own (``user``, ``negative_prompt``), which are never repeated;
    ``now`` None where nothing is sent."""

    field: str
    was: str | None
    how: How
    now: str | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """What the gateway does to each picture once the model has made it.

    ``format`` is the format to deliver, None for as it came; ``compression`` 0 to 100 goes with it.
    ``pixels`` are the exact ones to deliver, cut (``cover``) or padded (``contain``) as ``fit`` says.
    ``background`` is the colour (``#rrggbb``) for what is transparent where the format has no alpha, and for
    padding; None: white where it must be something, transparent where it may be.
    """

    format: str | None = None
    compression: int | None = None
    pixels: tuple[int, int] | None = None
    fit: Literal["cover", "contain"] | None = None
    background: str | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """``call`` is in the target's terms: ``params`` are the fields that are sent, ``n`` still the whole
    number. ``batches`` are the n of each upstream call and add up to it. ``finish`` is None where the bytes
    of the answer go to the client as they came."""

    call: ImageCall
    size: SizeChoice
    batches: tuple[int, ...] = (1,)
    adjustments: tuple[Adjustment, ...] = ()
    finish: Finish | None = None

    def batch(self, ordinal: int) -> ImageCall:
        """The call of one upstream request; the whole call where there is one. A seed counts on from batch to
        batch, since the same one would make the same pictures again; a negative one stands for none."""
        if len(self.batches) == 1:
            return self.call
        changed: dict[str, object] = {"n": self.batches[ordinal]}
        seed = self.call.params.get("seed")
        if isinstance(seed, int) and seed >= 0:
            changed["seed"] = seed + sum(self.batches[:ordinal])
        return self.call.changed(changed)


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a target cannot serve a call: the capability that it lacks, in a word for programs (``edits``,
    ``mask``, ``transparent``, ``inputs``, ``size`` …), and the refusal that the caller gets where no other
    target can."""

    capability: str
    refusal: InvalidRequest
    valid: tuple[str, ...] = field(default=())
    """Values that it would take, the nearest first."""

    @property
    def param(self) -> str | None:
        """The field it hangs on."""
        return self.refusal.param

    @property
    def explanation(self) -> str:
        """In words for people."""
        return self.refusal.message
