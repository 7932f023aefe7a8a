"""What becomes of requests that a provider does not take as they stand: docs/normalization.md."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.units import Strict

Mode = Literal["snap", "strict"]
"""``snap`` serves the nearest and says so; ``strict`` refuses what is not served exactly."""


class NormalizationSettings(Strict):
    """What happens to requests that OpenAI would refuse."""

    mode: Mode = Field(
        "snap",
        description="snap: the nearest that a target can do, and the caller is told; strict: refused, in "
        "OpenAI's words. A model's, a project's and then the request's own word (x-imagegate-size-mode) "
        "count for more.",
    )
    unknown_fields: Literal["refuse", "forward", "drop"] = Field(
        "refuse",
        description="A field that no model of the catalog has: refused as OpenAI does, sent on to models "
        "whose entry says passthrough, or left out.",
    )
    legacy_models: str | None = Field(
        None,
        description="The model that serves OpenAI's retired names (dall-e-2, dall-e-3, gpt-image-1 and those "
        "that follow), such as gpt-image-2; none: they are refused.",
    )
    default_model: str | None = Field(
        None, description="Used where the caller names no model; without it that is a 400, as at OpenAI."
    )


class ModelNormalizationSettings(Strict):
    """For one model."""

    mode: Mode | None = Field(None, description="Instead of normalization.mode.")


class ProjectNormalizationSettings(Strict):
    """For one project."""

    mode: Mode | None = Field(None, description="Instead of normalization.mode and the model's.")
    report: Literal["headers", "body"] = Field(
        "headers",
        description="body: answers end with a key imagegate that says what was served, for callers whose SDK "
        "hides headers. A request may ask for it itself (x-imagegate-report: body).",
    )
