"""The same intent, sent as JSON and as a form, is the same call."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from config.catalog import CatalogModel, load_catalog
from gateway.api.form_names import put
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.fitted import Fitted, Unfit
from gateway.images.fitting import fit
from gateway.images.raw import Encoding, RawRequest
from gateway.images.validation import Reading, validate
from providers.base import Operation

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x06\x00\x00\x00\x00"
B64 = base64.b64encode(PNG).decode()
LINKS = st.sampled_from(["https://a.example/1.png", f"data:image/png;base64,{B64}", B64])
ENTRIES = [load_catalog().describe("openai", name) for name in ("gpt-image-2", "gpt-image-2.6-flare", "free")]

FIELDS = st.fixed_dictionaries(
    {"prompt": st.text(min_size=1, max_size=10)},
    optional={
        "n": st.integers(-1, 12),
        "size": st.sampled_from(["auto", "16:9", "2k", "512X512", "bogus", "0x0"]),
        "aspect_ratio": st.sampled_from(["auto", "9:16", "1.85:1", "x"]),
        "resolution": st.sampled_from(["1K", "512", "99K"]),
        "fit": st.sampled_from(["cover", "contain", "stretch"]),
        "quality": st.sampled_from(["hd", "max", "ultra"]),
        "output_format": st.sampled_from(["jpeg", "avif", "gif", "bmp"]),
        "output_compression": st.integers(-1, 101),
        "background": st.sampled_from(["transparent", "#123", "mauve"]),
        "stream": st.booleans(),
        "partial_images": st.integers(0, 4),
        "seed": st.integers(-5, 5),
        "guidance_scale": st.sampled_from([1, 2.5, -0.25]),
        "negative_prompt": st.text(max_size=5),
        "moderation": st.sampled_from(["auto", "low", "off"]),
        "svg": st.fixed_dictionaries(
            {"model": st.text(max_size=3)},
            optional={"reasoning": st.fixed_dictionaries({"effort": st.sampled_from(["low", "hot"])})},
        ),
        "response_format": st.sampled_from(["url", "b64_json", "png"]),
        "zoom": st.text(max_size=3),
    },
)


def as_form(fields: Mapping[str, Any]) -> dict[str, object]:
    """Fields as an SDK writes them into a form: texts under bracketed names."""
    form: dict[str, object] = {}

    def write(name: str, value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                write(f"{name}[{key}]", inner)
        elif isinstance(value, list):
            for inner in value:
                write(f"{name}[]", inner)
        else:
            put(form, name, ("true" if value else "false") if isinstance(value, bool) else str(value))

    for name, value in fields.items():
        write(name, value)
    return form


def outcome(
    raw: RawRequest, entry: CatalogModel, reading: Reading
) -> ImageCall | tuple[str | None, str | None]:
    try:
        return validate(raw, name="m", entries=(entry,), defaults={"quality": "low"}, reading=reading)
    except InvalidRequest as error:
        return error.param, error.code


@given(
    FIELDS,
    st.lists(LINKS, min_size=1, max_size=3),
    st.none() | LINKS,
    st.sampled_from(ENTRIES),
    st.sampled_from(["refuse", "drop", "forward"]),
)
def test_json_and_forms_make_equal_calls_and_equal_refusals(
    fields: dict[str, Any], images: list[str], mask: str | None, entry: CatalogModel, unknown: Any
) -> None:
    fields = {**fields, "image": images, **({"mask": mask} if mask else {})}
    reading = Reading(unknown=unknown)
    told = outcome(RawRequest(Operation.EDIT, Encoding.JSON, fields), entry, reading)
    formed = outcome(RawRequest(Operation.EDIT, Encoding.MULTIPART, as_form(fields)), entry, reading)
    if isinstance(told, ImageCall) and isinstance(formed, ImageCall):
        assert told == formed
        assert fit(told, entry) == fit(formed, entry) or isinstance(fit(told, entry), Unfit)
        assert isinstance(fit(told, entry), Fitted | Unfit)
    else:
        assert told == formed
