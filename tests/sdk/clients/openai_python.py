"""The official Python SDK; runs in an environment that holds nothing else. Modes: sync, async, azure."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import openai

MODE = sys.argv[1]
BASE_URL, KEY = os.environ["BASE_URL"], os.environ["KEY"]
PICTURE = Path(os.environ["PICTURE"])


def client(key: str = KEY) -> object:
    if MODE == "azure":
        return openai.AzureOpenAI(azure_endpoint=BASE_URL, api_key=key, api_version="preview", max_retries=0)
    kind = openai.AsyncOpenAI if MODE == "async" else openai.OpenAI
    return kind(base_url=f"{BASE_URL}/v1", api_key=key, max_retries=0)


async def called(result: object) -> object:
    return await result if inspect.isawaitable(result) else result


async def generate(
    *, by: object = None, model: str = "gpt-image-2", prompt: str = "a kite", n: int = 1
) -> None:
    answer = await called((by or client()).images.generate(model=model, prompt=prompt, n=n))
    check(answer, n)


async def edit() -> None:
    files = [("a.png", PICTURE.read_bytes(), "image/png"), PICTURE.open("rb")]
    check(await called(client().images.edit(model="gpt-image-2", image=files, prompt="a kite")), 1)


def check(answer: object, n: int) -> None:
    pictures = [base64.b64decode(item.b64_json) for item in answer.data]
    assert len(pictures) == n
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def refused(kind: type[Exception], call: Callable[[], object]) -> Callable[[], object]:
    async def run() -> None:
        try:
            await call()
        except kind:
            return
        raise AssertionError(f"{kind.__name__} was not raised")

    return run


CELLS = {
    "generate": generate,
    "edit, 2 files": edit,
    "n = 2": lambda: generate(n=2),
    "alias model": lambda: generate(model="hero"),
    "wrong key": refused(openai.AuthenticationError, lambda: generate(by=client("wrong"))),
    "upstream 429": refused(
        openai.RateLimitError, lambda: generate(model="sandbox", prompt="a kite [sandbox: 429]")
    ),
}

for name, cell in CELLS.items():
    error = None
    try:
        asyncio.run(cell())
    except Exception as raised:
        error = repr(raised)
    print(json.dumps({"cell": name, "error": error}))
