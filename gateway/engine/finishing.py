"""From the verified answers of one request to the one document that its client gets.

An answer that is right as it came is its own document: its spool goes out untouched. Otherwise the document
is written anew around the pictures: base64 that stays is read from the spools when it is sent, as bytes, and
only what must be another picture is decoded (pictures.py). The pictures' own bytes say how large they are
and what they are, whatever the answers said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.engine.pictures import Done, Order, Pictures, content_of
from gateway.engine.unfinished import spool_failed
from gateway.engine.whole import Whole
from gateway.images.document import compose, seal, summed
from gateway.images.fitted import Adjustment
from gateway.images.sniff import Picture
from gateway.media.composed import Body, Composed
from gateway.media.spool import Spool, SpoolFailed, SpoolTooLarge

REPORT = "imagegate"
"""The key of the body report, always the last."""

Report = Callable[[Sequence[Picture], Sequence[Adjustment]], Mapping[str, object]]
"""Makes what the body says of how the call was served, from the pictures that are delivered and from what
came out other than planned."""


@dataclass(frozen=True, slots=True)
class Finished:
    """``body`` is the caller's to close. ``pictures`` are those delivered, in order; ``adjustments`` are what
    came out other than planned, in place of the plan's word on the same fields."""

    body: Body
    pictures: Sequence[Picture]
    adjustments: Sequence[Adjustment] = ()


class Finishing:
    """One per process."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    async def whole(self, answers: Sequence[Whole], order: Order, report: Report | None = None) -> Finished:
        """One document of all pictures of ``answers`` (at least one, in the order of their batches), whose
        spools are given away. Raises :class:`gateway.errors.GatewayError` (unfinished.py)."""
        sources = [answer.spool for answer in answers]
        try:
            made = [await self._measured(answer) for answer in answers]
            if len(answers) == 1 and report is None and self._stays(answers[0], made[0], order):
                return Finished(answers[0].spool, made[0])
            done = await self._done(answers, made, order, sources)
            return _document(answers, done, report, sources)
        except BaseException as error:
            for source in sources:
                source.close()
            if isinstance(error, SpoolFailed | SpoolTooLarge):
                raise spool_failed(order.request_id) from None
            raise

    async def _measured(self, answer: Whole) -> list[Picture]:
        return [
            await self.pictures.measured(picture, content_of(item, answer.scanned, answer.spool))
            for item, picture in zip(answer.items, answer.pictures, strict=True)
        ]

    def _stays(self, answer: Whole, made: Sequence[Picture], order: Order) -> bool:
        """Whether the answer is right to the last byte."""
        return not facts(answer.scanned.document, made) and all(
            self.pictures.stays(item, picture, order)
            for item, picture in zip(answer.items, made, strict=True)
        )

    async def _done(
        self,
        answers: Sequence[Whole],
        made: Sequence[Sequence[Picture]],
        order: Order,
        sources: list[Spool],
    ) -> list[list[Done]]:
        """Every picture of every answer, side by side. The first failure ends them all."""

        async def one(answer: Whole, item: Mapping[str, object], picture: Picture) -> Done:
            if self.pictures.stays(item, picture, order):
                return Done(picture, {})
            return await self.pictures.done(item, answer.scanned, answer.spool, picture, order, sources)

        tasks = [
            [asyncio.ensure_future(one(answer, *each)) for each in zip(answer.items, pictures, strict=True)]
            for answer, pictures in zip(answers, made, strict=True)
        ]
        flat = [task for batch in tasks for task in batch]
        try:
            await asyncio.gather(*flat)
        finally:
            # None of them may write to a body that its caller is about to free.
            for task in flat:
                task.cancel()
            await asyncio.gather(*flat, return_exceptions=True)
        return [[task.result() for task in batch] for batch in tasks]


def facts(document: Mapping[str, object], pictures: Sequence[Picture]) -> dict[str, object]:
    """What ``document`` must say otherwise of its pictures. Where these are unlike, the first counts, as for
    every field of which there is one for all."""
    first = pictures[0]
    says = {"output_format": first.format, "size": first.size}
    return {name: word for name, word in says.items() if word is not None and document.get(name) != word}


def replaced(item: Mapping[str, object], done: Done) -> Mapping[str, object]:
    """An item of ``data``, or an event, with what became of its picture."""
    if not done.item:
        return item
    return {**done.item, **{key: value for key, value in item.items() if key not in ("b64_json", "url")}}


def _document(
    answers: Sequence[Whole], done: Sequence[Sequence[Done]], report: Report | None, sources: Sequence[Spool]
) -> Finished:
    flat = [each for batch in done for each in batch]
    pictures, adjustments = [each.picture for each in flat], adjusted(flat)
    first = answers[0].scanned
    changes = facts(first.document, pictures)
    if len(answers) > 1:
        usage = summed([answer.scanned.document.get("usage") for answer in answers])
        changes |= {} if usage is None else {"usage": usage}
    items = [
        seal(replaced(item, each), answer.scanned, source)
        for source, answer in enumerate(answers)
        for item, each in zip(answer.items, done[source], strict=True)
    ]
    last = {} if report is None else {REPORT: report(pictures, adjustments)}
    return Finished(Composed(compose(first, items, changes, last), sources), pictures, adjustments)


def adjusted(done: Sequence[Done]) -> list[Adjustment]:
    """Each once, however many pictures it came out for."""
    return list(dict.fromkeys(adjustment for each in done for adjustment in each.adjustments))
