"""An answer delivered in one piece: into the spool, past the scanner, judged before a byte goes out."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gateway.images.amounts import Usage
from gateway.images.skeleton import BadAnswer, EmptyAnswer, Scanned, Scanner, pictures
from gateway.images.sniff import Picture
from gateway.images.usage import read_usage
from gateway.media.spool import Spool, SpoolFailed, SpoolRoom, SpoolTooLarge
from providers.base import Certainty, ImageResult, Kind, ProviderError
from providers.openai_spoken import error_in_answer


class UnusableAnswer(ProviderError):
    """A 2xx answer that cannot be delivered; ``usage`` and ``cost`` are what it says was billed, if so."""

    def __init__(
        self, kind: Kind, message: str, usage: Usage | None = None, cost: Decimal | None = None
    ) -> None:
        super().__init__(kind, Certainty.ANSWERED, message, status=200, cost=cost)
        self.usage = usage


@dataclass(frozen=True, slots=True)
class Whole:
    """A verified answer. ``lost`` is set when the disk failed under it: it was read and can be settled, but
    not delivered. ``cost`` is in dollars, as the provider itself says."""

    spool: Spool
    scanned: Scanned
    pictures: list[Picture]
    usage: Usage | None
    lost: SpoolFailed | None = None
    cost: Decimal | None = None

    @property
    def images(self) -> int:
        return len(self.pictures)

    @property
    def items(self) -> list[dict[str, object]]:
        """``data``; one item a picture."""
        data = self.scanned.document["data"]
        return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []

    def said(self, field: str) -> str | None:
        """What the answer says of ``quality`` or ``size``."""
        value = self.scanned.document.get(field)
        return value if isinstance(value, str) else None


async def receive_whole(result: ImageResult, room: SpoolRoom, *, provider: str, prompt: str) -> Whole:
    """Read a result to its end and judge it. Raises :class:`ProviderError`; frees the spool if it does."""
    spool, scanner = room.spool(), Scanner()
    try:
        lost = await _fill(result, spool, scanner)
        scanned = scanner.finish()
        error = error_in_answer(scanned.document, provider=provider, prompt=prompt, scrub=result.scrub)
        if error is not None and not scanned.document.get("data"):
            raise error
        usage = read_usage(scanned.document)
        return Whole(spool, scanned, _judged(scanned, usage, result.cost), usage, lost, result.cost)
    except BaseException as error:
        spool.close()
        if isinstance(error, BadAnswer):
            raise UnusableAnswer(Kind.BAD_PAYLOAD, str(error), cost=result.cost) from None
        raise
    finally:
        await result.aclose()


async def _fill(result: ImageResult, spool: Spool, scanner: Scanner) -> SpoolFailed | None:
    """Chunks into both. When the disk fails, the rest is still read: the scanner finds what was billed."""
    lost: SpoolFailed | None = None
    async for chunk in result.body:
        scanner.feed(chunk)
        if lost is None:
            try:
                await spool.write(chunk)
            except SpoolTooLarge as error:
                raise BadAnswer(str(error)) from None
            except SpoolFailed as error:
                lost = error
    if lost is None:
        try:
            await spool.finish()
        except SpoolFailed as error:
            lost = error
    return lost


def _judged(scanned: Scanned, usage: Usage | None, cost: Decimal | None) -> list[Picture]:
    try:
        return pictures(scanned)
    except EmptyAnswer as error:
        raise UnusableAnswer(Kind.EMPTY, str(error), usage, cost) from None
    except BadAnswer as error:
        raise UnusableAnswer(Kind.BAD_PAYLOAD, str(error), usage, cost) from None
