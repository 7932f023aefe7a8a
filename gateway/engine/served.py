"""How a request is served, told in the same words in its headers, in its body's report and in its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from gateway.images.amounts import NanoDollars, dollars
from gateway.images.fitted import Adjustment, Fitted, How
from gateway.images.sniff import Picture
from gateway.images.telling import (
    ADJUSTMENTS_HEADER,
    SIZE_HEADER,
    adjustments_header,
    report,
    size_header,
    told,
)
from gateway.routing.plan import Candidate


@dataclass(frozen=True, slots=True)
class ServedRecord:
    """Of the request's row. ``size_received`` holds one size where all pictures are alike, else one for each;
    ``adjustments`` is a JSON list."""

    size_requested: str | None
    size_sent: str
    size_received: str | None
    size_rule: str
    adjustments: str | None


@dataclass(frozen=True, slots=True)
class Served:
    """By which candidate. ``pictures`` are those delivered so far, ``came_out`` is what came out other than
    planned."""

    candidate: Candidate
    pictures: tuple[Picture, ...] = ()
    came_out: tuple[Adjustment, ...] = ()

    def delivered(self, pictures: Sequence[Picture], came_out: Sequence[Adjustment]) -> Served:
        """With more pictures."""
        return replace(
            self,
            pictures=(*self.pictures, *pictures),
            came_out=tuple(dict.fromkeys((*self.came_out, *came_out))),
        )

    @property
    def fitted(self) -> Fitted:
        """As it came out: what the plan meant to do to a field gives way to what became of it."""
        planned = self.candidate.fitted
        left = list(self.came_out)
        told: list[Adjustment] = []
        for each in planned.adjustments:
            instead = [one for one in self.came_out if one.field == each.field]
            if each.how is not How.EMULATED or not instead:
                told.append(each)
                continue
            told += [one for one in instead if one in left]
            left = [one for one in left if one not in instead]
        return replace(planned, adjustments=(*told, *left))

    @property
    def received(self) -> list[tuple[int, int]]:
        """The pixels of each picture whose bytes show them."""
        return [(each.width, each.height) for each in self.pictures if each.width and each.height]

    def headers(self, *, complete: bool = True) -> list[tuple[str, str]]:
        """``complete``: all pictures that will be delivered are here. Else their sizes are not told."""
        fitted = self.fitted
        lines = [(SIZE_HEADER, size_header(fitted.size, self.received if complete else ()))]
        changes = adjustments_header(fitted.adjustments)
        return lines if changes is None else [*lines, (ADJUSTMENTS_HEADER, changes)]

    def report(self, cost: NanoDollars | None, request_id: str) -> dict[str, object]:
        """The body's. ``cost`` None: not known (yet)."""
        return report(
            self.fitted,
            self.received,
            provider=self.candidate.target.provider,
            model=self.candidate.target.model,
            cost_usd=None if cost is None else dollars(cost),
            request_id=request_id,
        )

    def record(self) -> ServedRecord:
        size = self.fitted.size
        sizes = [f"{width}x{height}" for width, height in self.received]
        changes = told(self.fitted)["adjustments"]
        return ServedRecord(
            size_requested=size.requested,
            size_sent=size.sent,
            size_received=" ".join(sizes[:1] if len(set(sizes)) == 1 else sizes) or None,
            size_rule=size.rule.value,
            adjustments=msgspec.json.encode(changes).decode() if changes else None,
        )
