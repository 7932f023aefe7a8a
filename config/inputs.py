"""What a model takes of the pictures that go in: how many, in which forms, and what its masks look like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from config.units import Strict

Form = Literal["file", "url", "data"]
"""How a picture reaches the upstream: its bytes as a file, an https URL, or a data URL (base64)."""

Polarity = Literal["transparent", "white", "black", "alpha"]
"""What marks the part to be edited: full transparency of a picture with an alpha channel (OpenAI), white on
black, black on white, or the opaque part of an alpha channel."""


class Mask(Strict):
    """Masks of this model. Callers send OpenAI's (transparent is edited), whatever stands here."""

    polarity: Polarity = Field("transparent", description="What marks the part to be edited.")
    equal_size: bool = Field(True, description="Whether it must be as large as the first picture.")
    required: bool = Field(False, description="Whether every edit needs one.")


def _mask(value: object) -> object:
    """``true``, ``false`` and a polarity are short for the whole."""
    if isinstance(value, bool):
        return {} if value else None
    return {"polarity": value} if isinstance(value, str) else value


class Inputs(Strict):
    """Input pictures of edits."""

    max_images: int = Field(16, ge=1, description="Pictures of one edit, at most.")
    min_images: int = Field(1, ge=1, description="Pictures of one edit, at least.")
    forms: list[Form] = Field(
        ["file", "url", "data"], min_length=1, description="The forms in which they can be sent on."
    )
    formats: list[str] = Field(["png", "webp", "jpeg"], description="None: any.")
    max_bytes: int = Field(50 * 10**6, ge=1, description="Of one picture.")
    max_total_bytes: int | None = Field(
        None, ge=1, description="Of all pictures of one edit, mask and markup included."
    )
    longest_edge: int | None = Field(
        None, ge=1, description="Pixels; larger pictures are scaled down to it before they are sent."
    )
    mask: Annotated[
        Mask | None, BeforeValidator(_mask, json_schema_input_type=Mask | Polarity | bool | None)
    ] = Field(
        Mask(), description="true, false, what marks the part to be edited, or all that is known of masks."
    )
    markup: bool = Field(False, description="Whether it takes a transparent overlay of markings.")
