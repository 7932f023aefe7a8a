"""Puts one adapter through everything, through a whole gateway over real sockets."""

from __future__ import annotations

import asyncio
import base64
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from config.catalog import load_catalog
from tests.conformance.asks import ASKS, INPUT, Ask
from tests.conformance.judging import Cell, judge
from tests.conformance.saw import Pixels
from tests.conformance.stand import Bench, Stand, Upstream
from tests.conformance.stands import STANDS
from tests.conformance.told import Told, told
from tests.conformance.troubles import TROUBLES, judge_trouble
from tests.contract.gateway_here import Here, gateway_here

_WRONG = "wrong-key-0123456789abcdef"
_AT_ONCE = 12


@dataclass(frozen=True, slots=True)
class Results:
    """``cells`` by bench and by what was asked (group, title); ``troubles`` by name."""

    cells: Mapping[str, Mapping[tuple[str, str], Cell]]
    troubles: Mapping[str, Cell]


@cache
def results_of(type: str) -> Results:
    """Of one adapter; worked out once a process."""
    return asyncio.run(_run(STANDS[type]))


async def _run(stand: Stand) -> Results:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        async with stand.upstream() as upstream:
            patch.setenv("CONFORMANCE_KEY", stand.key(upstream))
            patch.setenv("CONFORMANCE_WRONG_KEY", _WRONG)
            async with gateway_here(_config(stand, upstream), Path(folder)) as here:
                cells = await _benches(stand, upstream, here)
                return Results(cells, await _troubles(stand, upstream, here))


def _config(stand: Stand, upstream: Upstream) -> str:
    """An account for each bench, and one for each trouble, so that none is spared for another's failures."""
    right, wrong = (stand.account(upstream, name) for name in ("CONFORMANCE_KEY", "CONFORMANCE_WRONG_KEY"))
    providers, models = [], []
    for number, bench in enumerate(stand.benches):
        account = (bench.account or stand.account)(upstream, "CONFORMANCE_KEY")
        providers.append(f"  of-bench-{number}: {{{account}}}")
        models.append(
            f"  bench-{number}: {{targets: [{target_of(f'of-bench-{number}', bench, bench.model)}]}}"
        )
    for number, name in enumerate(TROUBLES):
        trouble = stand.troubles.get(name)
        if trouble is None:
            continue
        bench = stand.benches[trouble.bench]
        providers.append(f"  account-{number}: {{{wrong if trouble.wrong_key else right}}}")
        target = target_of(f"account-{number}", bench, trouble.model or bench.model)
        models.append(f"  trouble-{number}: {{targets: [{target}]}}")
    lines = ["providers:", *providers, "models:", *models, "routing: {max_attempts: 1}", outliving(stand)]
    return "\n".join(lines) + "\n"


def outliving(stand: Stand) -> str:
    """Models that are to be shut down stay in service: the suite must not fail by the passing of time."""
    known = [load_catalog().describe(stand.type, bench.model, bench.catalog) for bench in stand.benches]
    mortal = [f'{{id: "{entry.id}", shutdown: "9999-12-31"}}' for entry in known if entry.shutdown]
    return f"catalog: [{', '.join(mortal)}]" if mortal else ""


def target_of(account: str, bench: Bench, model: str) -> str:
    described = bench.catalog or (bench.model if model != bench.model else None)
    known = f', catalog: "{described}"' if described else ""
    return f'{{provider: {account}, model: "{model}"{known}}}'


async def _benches(stand: Stand, upstream: Upstream, here: Here) -> dict[str, dict[tuple[str, str], Cell]]:
    """Several calls at once, told apart by their prompts."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def asked(index: int, number: int, ask: Ask) -> Told:
        async with places:
            return told(await send(here, f"bench-{index}", ask, _prompt(index, number)))

    numbers = [(index, number) for index in range(len(stand.benches)) for number in range(len(ASKS))]
    asks = {(index, number): _on(stand.benches[index], ASKS[number]) for index, number in numbers}
    answers = await asyncio.gather(*(asked(*place, ask) for place, ask in asks.items()))
    seen = [stand.saw(call) for call in stand.calls(upstream)]
    cells: dict[str, dict[tuple[str, str], Cell]] = {bench.name: {} for bench in stand.benches}
    for ((index, number), ask), answer in zip(asks.items(), answers, strict=True):
        bench, saws = stand.benches[index], [saw for saw in seen if saw.prompt == _prompt(index, number)]
        cells[bench.name][ask.group, ask.title] = judge(ask, saws, answer, unknown=bench.unknown)
    return cells


def _prompt(index: int, number: int) -> str:
    return f"a red kite over the sea, {index}-{number}"


def _on(bench: Bench, ask: Ask) -> Ask:
    """As an edit where the model does nothing else."""
    if not bench.edits or ask.inputs:
        return ask
    return replace(ask, inputs=(INPUT,), mask=INPUT if bench.masked else None)


async def send(here: Here, model: str, ask: Ask, prompt: str) -> httpx.Response:
    """One call, with pictures and a mask whose left half is to be edited where ``ask`` has them."""
    body: dict[str, Any] = {"model": model, "prompt": prompt, **ask.fields}
    headers = {"x-imagegate-size-mode": "strict"} if ask.strict else {}
    if not ask.inputs:
        return await here.client.post("/v1/images/generations", json=body, headers=headers)
    if ask.as_json:
        encoded = [base64.b64encode(picture(size)).decode() for size in ask.inputs]
        body["images"] = [{"image_url": f"data:image/png;base64,{each}"} for each in encoded]
        return await here.client.post("/v1/images/edits", json=body, headers=headers)
    name = "image" if len(ask.inputs) == 1 else "image[]"
    files = [(name, (f"{number}.png", picture(size), "image/png")) for number, size in enumerate(ask.inputs)]
    if ask.mask is not None:
        files.append(("mask", ("mask.png", _overlay(ask.mask), "image/png")))
    data = {name: str(value).lower() if value is True else str(value) for name, value in body.items()}
    return await here.client.post("/v1/images/edits", data=data, files=files, headers=headers)


@cache
def picture(size: Pixels) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "#3070a0").save(out, "PNG")
    return out.getvalue()


@cache
def _overlay(size: Pixels) -> bytes:
    """A mask whose left half is to be edited."""
    mask, out = Image.new("RGBA", size, (0, 0, 0, 255)), io.BytesIO()
    mask.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
    mask.save(out, "PNG")
    return out.getvalue()


async def _troubles(stand: Stand, upstream: Upstream, here: Here) -> dict[str, Cell]:
    answers: dict[str, httpx.Response] = {}
    for number, name in enumerate(TROUBLES):
        trouble = stand.troubles.get(name)
        if trouble is None:
            continue
        if trouble.plan is not None:
            trouble.plan(upstream)
        bench = stand.benches[trouble.bench]
        inputs = (INPUT,) if bench.edits else ()
        ask = Ask("", name, "model", inputs=inputs, mask=INPUT if bench.masked else None)
        answers[name] = await send(here, f"trouble-{number}", ask, trouble.prompt)
        stand.forget(upstream)
    rows = await here.rows("attempts")
    secrets = [stand.key(upstream), _WRONG] if stand.key(upstream) != "none" else []
    cells = {}
    for name, response in answers.items():
        answer = told(response)
        states = [str(row["state"]) for row in rows if row["request_id"] == answer.request_id]
        cells[name] = judge_trouble(
            name, answer, states, secrets, response.text, pause=stand.troubles[name].pause
        )
    return cells
