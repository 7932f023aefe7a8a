"""What the fake upstream knows of each model: the facts of OpenAI's documentation of November 2026."""

from __future__ import annotations

from dataclasses import dataclass

FIXED_SIZES = ("1024x1024", "1024x1536", "1536x1024")
FOUR = ("low", "medium", "high", "auto")
SIX = ("low", "medium", "high", "xhigh", "max", "auto")


@dataclass(frozen=True, slots=True)
class Model:
    """``generation`` is the family that sizes, tokens and fields follow: 1, 1.5, 2, 2.5, 2.6."""

    id: str
    generation: float
    created: int
    shutdown: str | None = None
    fidelity: tuple[str, ...] = ()

    @property
    def flexible(self) -> bool:
        return self.generation >= 2

    @property
    def qualities(self) -> tuple[str, ...]:
        return SIX if self.generation >= 2.5 else FOUR

    @property
    def formats(self) -> tuple[str, ...]:
        more = ("gif", "svg") if self.generation >= 2.6 else ()
        return ("png", "jpeg", "webp", *more)


_CURRENT = (
    Model("gpt-image-2.6-sunburst", 2.6, 1793750400),
    Model("gpt-image-2.6-flare", 2.6, 1793750400),
    Model("gpt-image-2.5-sunburst", 2.5, 1788825600),
    Model("gpt-image-2.5-sunburst-2026-09-08", 2.5, 1788825600),
    Model("gpt-image-2.5-flare", 2.5, 1788825600),
    Model("gpt-image-2.5-flare-2026-09-08", 2.5, 1788825600),
    Model("gpt-image-2", 2, 1776729600),
    Model("gpt-image-2-2026-04-21", 2, 1776729600),
    Model("gpt-image-1.5", 1.5, 1764979200, "2026-12-01", ("low", "high")),
    Model("gpt-image-1.5-2025-12-16", 1.5, 1764979200, "2026-12-01", ("low", "high")),
    Model("chatgpt-image-latest", 1.5, 1764979200, "2026-12-01", ("low", "high")),
    Model("gpt-image-1-mini", 1, 1759276800, "2026-12-01", ("low",)),
)
MODELS = {model.id: model for model in _CURRENT}
