"""From one dialect to another and back: the next target gets the call in its own terms, and the picture that
comes has the size that the headers say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.asks import INPUT, Ask
from tests.conformance.running import send
from tests.conformance.saw import Saw
from tests.conformance.stand import Stand
from tests.conformance.stands import STANDS
from tests.conformance.told import Told, told
from tests.contract.gateway_here import Here, gateway_here

THREE = (INPUT, (200, 300), (256, 256))
MODELS = {
    "openai": "gpt-image-2",
    "openai-compatible": "gpt-image-2",
    "azure-openai": "img2-prod, catalog: gpt-image-2",
    "gemini": "gemini-3.1-flash-image",
    "xai": "grok-imagine-image-2.0",
    "openrouter": "google/gemini-3-pro-image",
    "azure-flux": "FLUX.2-pro",
    "vertex": "imagen-3.0-capability-001",
    "bedrock": "us.stability.stable-image-inpaint-v1:0",
    "cloudflare": '"@cf/runwayml/stable-diffusion-v1-5-inpainting"',
    "sandbox": "sandbox",
}


class Chain:
    """A gateway whose one model has these targets, in this order, and what each of their upstreams saw."""

    def __init__(self, here: Here, running: dict[str, tuple[Stand, Any]]) -> None:
        self._here = here
        self._running = running

    async def ask(self, failing: Sequence[str], ask: Ask) -> Told:
        """Each of ``failing`` is overloaded for a call."""
        for type in failing:
            stand, upstream = self._running[type]
            plan = stand.troubles["server error"].plan
            assert plan is not None
            plan(upstream)
        return told(await send(self._here, "m", ask, "a red kite"))

    def saw(self, type: str) -> list[Saw]:
        stand, upstream = self._running[type]
        return [stand.saw(call) for call in stand.calls(upstream)]

    async def states(self) -> list[tuple[str, str]]:
        return [(row["provider"], row["state"]) for row in await self._here.rows("attempts")]


@asynccontextmanager
async def chain(types: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chain]:
    async with AsyncExitStack() as stack:
        running: dict[str, tuple[Stand, Any]] = {}
        lines = ["providers:"]
        for number, type in enumerate(types):
            upstream = await stack.enter_async_context(STANDS[type].upstream())
            running[type] = STANDS[type], upstream
            monkeypatch.setenv(f"KEY_{number}", STANDS[type].key(upstream))
            lines.append(f"  {type}: {{{STANDS[type].account(upstream, f'KEY_{number}')}}}")
        targets = ", ".join(f"{{provider: {type}, model: {MODELS[type]}}}" for type in types)
        lines.append(f"models: {{m: {{targets: [{targets}]}}}}")
        yield Chain(await stack.enter_async_context(gateway_here("\n".join(lines) + "\n", folder)), running)


def holds(answer: Told) -> None:
    """The headers, the body and the picture agree."""
    assert answer.error is None, answer.error
    (picture,) = answer.pictures
    text = f"{picture.size[0]}x{picture.size[1]}"
    assert (answer.size["received"], answer.sizes) == (text, (text,))
    assert answer.size["sent"] in (text, "auto") or ":" in answer.size["sent"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("openai-compatible", "gemini"),
        ("gemini", "openai"),
        ("openai", "xai"),
        ("xai", "azure-flux"),
        ("azure-flux", "openrouter"),
        ("openrouter", "azure-openai"),
    ],
)
@pytest.mark.parametrize(
    "fields", [{}, {"size": "1500x1000"}, {"size": "2:1"}], ids=["open", "pixels", "ratio"]
)
async def test_an_edit_of_three_pictures_goes_on_at_another_kind_of_provider(
    first: str, second: str, fields: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chain((first, second), tmp_path, monkeypatch) as targets:
        answer = await targets.ask([first], Ask("", "", "image", fields, THREE))
        holds(answer)
        assert [saw.inputs for saw in targets.saw(first) + targets.saw(second)] == [THREE, THREE]
        assert await targets.states() == [(first, "released"), (second, "settled")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("openai", "vertex"),
        ("vertex", "openai-compatible"),
        ("azure-openai", "bedrock"),
        ("bedrock", "openai"),
        ("openai", "cloudflare"),
        ("cloudflare", "sandbox"),
    ],
)
async def test_a_mask_goes_on_in_the_next_targets_polarity(
    first: str, second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chain((first, second), tmp_path, monkeypatch) as targets:
        answer = await targets.ask([first], Ask("", "", "mask", {}, (INPUT,), INPUT))
        holds(answer)
        seen = [*targets.saw(first), *targets.saw(second)]
        assert [saw.marked for saw in seen] == [(True, False)] * 2
        assert "transparent" in {saw.polarity for saw in seen}
        assert "white" in {saw.polarity for saw in seen}


@pytest.mark.parametrize(
    ("types", "served"),
    [
        (("openai-compatible", "gemini", "sandbox"), "sandbox"),
        (("gemini", "azure-openai", "xai", "openai"), "openai"),
        (("azure-openai", "vertex", "openai-compatible"), "openai-compatible"),
    ],
)
async def test_a_mask_and_three_pictures_pass_by_those_that_cannot_take_both(
    types: tuple[str, ...], served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = [type for type in types if type.startswith(("openai-c", "azure")) and type != served]
    async with chain(types, tmp_path, monkeypatch) as targets:
        answer = await targets.ask(failing, Ask("", "", "mask", {"size": "1500x1000"}, THREE, INPUT))
        holds(answer)
        assert [provider for provider, _ in await targets.states()] == [*failing, served]
        (saw,) = targets.saw(served)
        assert (saw.inputs, saw.marked) == (THREE, (True, False))
