"""LangChain's DALL-E wrapper as its users have it: its own model, size and way to read the answer.

It asks for no ``response_format`` and reads ``data[].url``; only models that answer with links by default
work with it: ``dall-e-2`` and ``dall-e-3`` on ``/v1``, every model on ``/openai/v1``.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable

import openai
from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper

BASE_URL, KEY = os.environ["BASE_URL"], os.environ["KEY"]


def wrapper(path: str = "/v1", key: str = KEY, **settings: object) -> DallEAPIWrapper:
    return DallEAPIWrapper(api_key=key, base_url=BASE_URL + path, max_retries=0, **settings)


def generate(by: DallEAPIWrapper, n: int = 1) -> None:
    links = by.run("a kite").split("\n")
    assert len(links) == n, links
    for link in links:
        with urllib.request.urlopen(link, timeout=30) as answer:
            assert answer.read(4) == b"\x89PNG"


def refused(kind: type[Exception], by: DallEAPIWrapper, prompt: str) -> None:
    try:
        by.run(prompt)
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


CELLS: dict[str, Callable[[], None]] = {
    "generate": lambda: generate(wrapper()),
    "n = 2": lambda: generate(wrapper(n=2, model="dall-e-3", quality="hd"), 2),
    "alias model": lambda: generate(wrapper("/openai/v1", model="hero")),
    "wrong key": lambda: refused(openai.AuthenticationError, wrapper(key="wrong"), "a kite"),
    "upstream 429": lambda: refused(openai.RateLimitError, wrapper(model="sandbox"), "a kite [sandbox: 429]"),
}

for name, cell in CELLS.items():
    error = None
    try:
        cell()
    except Exception as raised:
        error = repr(raised)
    print(json.dumps({"cell": name, "error": error}))
