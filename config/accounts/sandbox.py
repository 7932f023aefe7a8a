"""The account that is none: pictures drawn in the process."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.accounts.account import ProviderCommon
from config.units import Seconds


class SandboxProvider(ProviderCommon):
    """Draws pictures in the process: no key, no network, no cost."""

    type: Literal["sandbox"] = Field(description="Names this kind of account.")
    latency: Seconds = Field(1.0, description="How long a picture takes; 0 for tests.")
    lenient: bool = Field(
        False, description="Draw a grey tile for an input that is no picture, instead of a 400."
    )
