"""Events of a stream on their way to the client: relayed as they came where they are right, else written anew
around their pictures. Pictures in events are always base64: OpenAI's events have no links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import time

from gateway.engine.finishing import REPORT, Finished, Report, facts, replaced
from gateway.engine.pictures import Done, Order, Pictures, content_of
from gateway.engine.unfinished import spool_failed
from gateway.engine.whole import Whole
from gateway.errors import GatewayError
from gateway.images.document import Span, changed, pieces, seal
from gateway.images.events import Event
from gateway.images.skeleton import Scanned, judge
from gateway.images.sniff import Picture
from gateway.media.composed import Composed, Shared
from gateway.media.spool import Spool

_NO_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}


class EventFinishing:
    """One per upstream call of a request. ``report`` goes into ``completed`` events."""

    def __init__(self, pictures: Pictures, order: Order, report: Report | None = None) -> None:
        self._pictures = pictures
        self._order = replace(order, as_url=False)
        self._report = report

    def lost(self) -> GatewayError:
        """What the client is told when the disk fails under an event."""
        return spool_failed(self._order.request_id)

    async def relayed(self, spool: Spool, event: Event) -> Finished:
        """An image event of the upstream, which was judged and lies in ``spool``; that is given away. Raises
        :class:`GatewayError` or what spools raise."""
        sources = [spool]
        try:
            scanned = event.located()
            made = judge(scanned, str(scanned.document.get("b64_json")))
            done = await self._done(scanned.document, scanned, spool, made, sources)
            document = replaced(scanned.document, done)
            changes = facts(document, [done.picture]) if event.final or done.item else {}
            last = self._last(done) if event.final else {}
            if done.item or changes or last:
                told = pieces(_framed(event.name, changed(document, changes, last), scanned))
            elif event.named:
                return Finished(spool, [done.picture], done.adjustments)
            else:
                told = [b"event: %b\n" % event.name.encode(), Span(0, 0, spool.size)]
            return Finished(Composed(told, sources), [done.picture], done.adjustments)
        except BaseException:
            for source in sources:
                source.close()
            raise

    async def completed(self, whole: Whole, spool: Shared, index: int, name: str) -> Finished:
        """A ``completed`` event of one picture of an answer that came in one piece. ``spool`` is the
        answer's, one use of it is given away. Raises as :meth:`relayed` does."""
        sources: list[Spool] = [whole.spool]
        try:
            item, made = whole.items[index], whole.pictures[index]
            done = await self._done(item, whole.scanned, whole.spool, made, sources)
            event = self._event(whole, index, name, replaced(item, done)["b64_json"], done.picture)
            body = _framed(name, {**event, **self._last(done)}, whole.scanned)
            return Finished(Composed(pieces(body), [spool, *sources[1:]]), [done.picture], done.adjustments)
        except BaseException:
            spool.close()
            for source in sources[1:]:
                source.close()
            raise

    async def _done(
        self,
        item: Mapping[str, object],
        scanned: Scanned,
        spool: Spool,
        made: Picture,
        sources: list[Spool],
    ) -> Done:
        if self._pictures.stays(item, made, self._order):
            return Done(await self._pictures.measured(made, content_of(item, scanned, spool)), {})
        return await self._pictures.done(item, scanned, spool, made, self._order, sources)

    def _last(self, done: Done) -> dict[str, object]:
        return {} if self._report is None else {REPORT: self._report([done.picture], done.adjustments)}

    def _event(
        self, whole: Whole, index: int, name: str, encoded: object, picture: Picture
    ) -> dict[str, object]:
        document = whole.scanned.document
        last = index == len(whole.pictures) - 1
        return {
            "type": name,
            "b64_json": encoded,
            "created_at": document.get("created") or int(time()),
            "size": picture.size or document.get("size") or "auto",
            "quality": document.get("quality") or "auto",
            "background": document.get("background") or "auto",
            "output_format": picture.format or document.get("output_format") or "png",
            # The usage covers all pictures, so it stands once; clients add up what events say.
            "usage": document.get("usage") if last and document.get("usage") else _NO_USAGE,
        }


def _framed(name: str, document: Mapping[str, object], scanned: Scanned) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), seal(document, scanned))
