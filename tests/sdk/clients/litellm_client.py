"""LiteLLM as a client of the gateway. Its edits are its own wire code; its generations an older openai's."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import litellm

BASE = {"api_base": os.environ["BASE_URL"] + "/v1", "max_retries": 0}
KEY = os.environ["KEY"]
PICTURE = Path(os.environ["PICTURE"])


def generate(*, key: str = KEY, model: str = "gpt-image-2", prompt: str = "a kite", n: int = 1) -> None:
    check(litellm.image_generation(model=f"openai/{model}", prompt=prompt, n=n, api_key=key, **BASE), n)


def edit() -> None:
    with PICTURE.open("rb") as one, PICTURE.open("rb") as two:
        answer = litellm.image_edit(
            model="openai/gpt-image-2",
            image=[one, two],
            prompt="a kite",
            api_key=KEY,
            api_base=BASE["api_base"],
        )
    check(answer, 1)


def check(answer: object, n: int) -> None:
    pictures = [base64.b64decode(item.b64_json) for item in answer.data]
    assert len(pictures) == n
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def refused(kind: type[Exception], call: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            call()
        except kind:
            return
        raise AssertionError(f"{kind.__name__} was not raised")

    return run


CELLS = {
    "generate": generate,
    "edit, 2 files": edit,
    "n = 2": lambda: generate(n=2),
    "alias model": lambda: generate(model="hero"),
    "wrong key": refused(litellm.AuthenticationError, lambda: generate(key="wrong")),
    "upstream 429": refused(
        litellm.RateLimitError, lambda: generate(model="sandbox", prompt="a kite [sandbox: 429]")
    ),
}

for name, cell in CELLS.items():
    error = None
    try:
        cell()
    except Exception as raised:
        error = repr(raised)
    print(json.dumps({"cell": name, "error": error}))
