"""What the suite needs to know of an adapter: its simulator, an account there, and how it misbehaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.conformance.saw import Saw
from tests.simulators.json_upstream import Reply

Upstream = Any
"""A running simulator; None for an adapter without a wire."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A model of the catalog that is put through everything. ``edits``: it only edits, so that every call
    carries a picture, and a mask where ``masked``. ``unknown``: the catalog knows nothing of it. ``account``
    is as in :class:`Stand`, where the model needs another."""

    model: str
    catalog: str | None = None
    edits: bool = False
    masked: bool = False
    unknown: bool = False
    account: Callable[[Upstream, str], str] | None = None
    title: str | None = None
    """How the page calls it; default: ``catalog``, else ``model``."""

    @property
    def name(self) -> str:
        return self.title or self.catalog or self.model


@dataclass(frozen=True, slots=True)
class Trouble:
    """How a failure is brought about: by words in the prompt, by what the simulator is told to answer, by an
    account with a wrong key, or by a model that does not exist there."""

    prompt: str = "a red kite"
    plan: Callable[[Upstream], None] | None = None
    wrong_key: bool = False
    model: str | None = None
    bench: int = 0
    """Which of the stand's benches."""
    pause: bool = False
    """Whether the upstream says when to come again."""


@dataclass(frozen=True, slots=True)
class Stand:
    """``account`` gives the settings of a provider, as YAML in flow style; the key stands in ``env:`` and the
    name that it is given. ``calls`` are the picture calls that the simulator got so far. ``troubles`` are by
    the names of :data:`tests.conformance.troubles.TROUBLES`; what an upstream cannot say is left out."""

    type: str
    upstream: Callable[[], AbstractAsyncContextManager[Upstream]]
    account: Callable[[Upstream, str], str]
    key: Callable[[Upstream], str]
    benches: tuple[Bench, ...]
    calls: Callable[[Upstream], Sequence[Any]]
    saw: Callable[[Any], Saw]
    troubles: Mapping[str, Trouble]
    forget: Callable[[Upstream], None] = field(default=lambda upstream: None)
    """What was planned and not used."""


def answering(*replies: Reply) -> Callable[[Upstream], None]:
    return lambda upstream: upstream.plan(*replies)


PAGE = Reply(502, b"<html>Bad gateway</html>", {"content-type": "text/html"})
CUT = Reply(200, b'{"' + b" " * 500, {"content-type": "application/json"}, cut=100)
WIRE = {
    "wrong key": Trouble(wrong_key=True),
    "proxy's 502": Trouble(plan=answering(PAGE)),
    "reset": Trouble(plan=answering(Reply(reset=True))),
    "cut answer": Trouble(plan=answering(CUT)),
}
"""Of all simulators that are made of :class:`tests.simulators.json_upstream.JSONUpstream`."""


def refusing(upstream: Any, what: str) -> Trouble:
    """``upstream`` is a class of simulators that knows the refusal by this name."""
    return Trouble(plan=answering(upstream.refusal(what)))


def _forgotten(upstream: Upstream) -> None:
    upstream._plan.clear()


json_stand = partial(
    Stand,
    key=lambda upstream: upstream.key,
    calls=lambda upstream: upstream.posts,
    forget=_forgotten,
)
"""A stand with one of these simulators."""
