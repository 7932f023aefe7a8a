"""The paths that the fake serves: OpenAI's, and the two forms that Azure has of them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """``operation`` None: the list of models, or ``model`` alone."""

    operation: str | None
    azure: bool = False
    deployment: str | None = None
    model: str | None = None


def route(path: str) -> Route | None:
    if found := re.fullmatch(r"/v1/images/(generations|edits)", path):
        return Route(found[1])
    if found := re.fullmatch(r"/openai/v1/images/(generations|edits)", path):
        return Route(found[1], azure=True)
    if found := re.fullmatch(r"/openai/deployments/([^/]+)/images/(generations|edits)", path):
        return Route(found[2], azure=True, deployment=found[1])
    if found := re.fullmatch(r"(/openai)?/v1/models(?:/([^/]+))?", path):
        return Route(None, azure=bool(found[1]), model=found[2])
    return None
