"""A plugin of pytest for bench/mutants.py: the same few examples in every run of Hypothesis."""

from __future__ import annotations

from typing import Any

import hypothesis

FEW = 30

_plain = hypothesis.settings.__init__


def _few(self: hypothesis.settings, *arguments: Any, **named: Any) -> None:
    named["max_examples"] = min(named.get("max_examples", FEW), FEW)
    named["derandomize"], named["database"] = True, None
    _plain(self, *arguments, **named)


hypothesis.settings.__init__ = _few  # type: ignore[method-assign]
