"""The JSON Schema of a model accepts the bodies that the gateway serves, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from config.catalog import CatalogModel, Extension, load_catalog
from config.inputs import Inputs, Mask
from config.sizing import RatioSizing
from gateway.errors import InvalidRequest
from gateway.images.fields import KNOWN, Kind, known_names
from gateway.images.fitted import Fitted
from gateway.images.fitting import fit
from gateway.images.model_schema import Served, body_schema
from gateway.images.raw import Encoding, RawRequest
from gateway.images.validation import Reading, model_name, validate
from providers.base import Operation

CATALOG = load_catalog()
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def known(*names: str) -> list[CatalogModel]:
    return [CATALOG.describe("openai", name) for name in names]


OPAQUE = known("gpt-image-2")[0].model_copy(
    update={
        "backgrounds": ["opaque", "auto"],
        "output_formats": ["jpeg"],
        "qualities": ["1k-fast"],
        "sizing": RatioSizing(kind="ratios", ratios=["1:1", "16:9"]),
        "max_n": 1,
        "fields": ["n", "quality", "seed"],
        "inputs": known("gpt-image-2")[0].inputs.model_copy(update={"max_images": 2, "mask": None}),
    }
)
OWN_FIELDS = {
    "mood": Extension(type="string"),
    "strength": Extension(type="number", minimum=0, maximum=1),
    "rounds": Extension(type="integer", minimum=1),
    "palette": Extension(type="array"),
    "camera": Extension(type="object"),
    "loop": Extension(type="boolean"),
}
OWN = known("gpt-image-2")[0].model_copy(
    update={
        "fields": ["n", "size", *OWN_FIELDS],
        "extensions": OWN_FIELDS,
        "values": {"mood": ["calm", "wild"]},
    }
)
OTHER = OWN.model_copy(
    update={"extensions": {**OWN_FIELDS, "rounds": Extension(type="string")}, "values": {}}
)
MODELS = {
    "a model with fields of its own": Served("m", [OWN], known=frozenset({*KNOWN, *OWN_FIELDS})),
    "two that describe theirs differently": Served(
        "m", [OWN, OTHER, *known("unheard-of")], known=frozenset({*KNOWN, *OWN_FIELDS})
    ),
    "gpt-image-2": Served(
        "m", known("gpt-image-2"), faces=known("gpt-image-2"), known=known_names(CATALOG.entries)
    ),
    "gpt-image-1.5, the default, transparent jpeg by default": Served(
        "m",
        known("gpt-image-1.5"),
        defaults={"output_format": "jpeg", "background": "transparent"},
        is_default=True,
    ),
    "a model of few talents": Served(
        "m", [OPAQUE], known("gpt-image-2.6-flare"), {"output_format": "svg"}, unknown="drop"
    ),
    "several targets": Served(
        "m", [*known("gpt-image-2.6-flare"), OPAQUE], defaults={"background": "transparent"}
    ),
    "a model that needs two pictures and a mask": Served(
        "m",
        [OPAQUE.model_copy(update={"inputs": Inputs(min_images=2, max_images=3, mask=Mask(required=True))})],
    ),
    "a model that needs a field, and one of two": Served(
        "m",
        [OWN.model_copy(update={"needs": ["mood"], "needs_one_of": ["strength", "rounds"]})],
        known=frozenset({*KNOWN, *OWN_FIELDS}),
    ),
    "a model whose defaults are what it needs": Served(
        "m",
        [OWN.model_copy(update={"needs": ["mood"], "needs_one_of": ["strength", "rounds"]})],
        defaults={"mood": "calm", "rounds": 2},
        known=frozenset({*KNOWN, *OWN_FIELDS}),
    ),
    "a model nobody knows": Served("m", known("unheard-of"), known("unheard-of"), unknown="forward"),
    "a model nobody knows beside one of few talents": Served(
        "m", [*known("unheard-of"), OPAQUE], known=frozenset({*KNOWN, "steps_of_mine"})
    ),
}

JUNK = st.sampled_from(
    ["", "x", "low\x00", 0, -1, 3, 11, 101, True, False, [], {}, 1.5, "10", ["a"], {"a": 1}]
)
WORDS: dict[str, Sequence[Any]] = {
    "model": ["m", "m", "m", "other", None],
    "prompt": ["a kite", "", " ", "a" * 32_000, "a" * 32_001, None],
    "response_format": ["url", "b64_json", "png"],
    "size": ["1024x1024", "16:9", "2k", " AUTO ", "512", "0x5", "1792×1024", "17K"],
    "aspect_ratio": ["1.85:1", "auto", "1:0", "1024x1024"],
    "resolution": ["4K", "512", "0K", "16:9"],
    "quality": ["low", "hd", "standard", "max", "1k-fast", "best"],
    "background": ["transparent", "transparent", "opaque", "auto", "#f80", " White", "#ff"],
    "output_format": ["png", "jpeg", "webp", "gif", "avif", "svg", "tiff"],
    "fit": ["none", "cover", "stretch"],
    "svg": [{"model": None}, {"reasoning": {"effort": "low"}}, {"reasoning": {"effort": "x"}}, {"other": 1}],
    "moderation": ["low", "high"],
    "complexity": ["low", "top"],
    "input_fidelity": ["high", "top"],
    "mood": ["calm", "wild", "sad"],
    "strength": [0, 0.5, 1, 2],
    "rounds": [1, 0, "x"],
    "palette": [["red"], []],
    "camera": [{}, {"lens": 50}],
    "loop": [True],
}
NUMBERS = {
    Kind.INTEGER: [0, 1, 2, 3, 10, 16, 100, 10**12],
    Kind.NUMBER: [0, 7.5],
    Kind.BOOLEAN: [True, False],
}
ONE = st.sampled_from(
    [
        "https://a.example/b.png",
        f"data:image/png;base64,{DOT}",
        DOT,
        "http://a.example/b.png",
        "https://",
        "short",
        {"image_url": "https://a.example/b.png"},
        {"image_url": f"data:image/png;base64,{DOT}", "file_id": None},
        {"image_url": DOT},
        {"file_id": "file-1"},
        {},
        None,
        7,
    ]
)
GOOD = st.sampled_from(["https://a.example/b.png", {"image_url": f"data:image/png;base64,{DOT}"}])
PICTURES = st.lists(GOOD, min_size=1, max_size=4) | GOOD | st.lists(ONE, max_size=3) | ONE


def value_of(name: str) -> st.SearchStrategy[Any]:
    field = KNOWN.get(name)
    usual = WORDS.get(name) or (NUMBERS.get(field.kind, ["some words"]) if field else [1])
    return st.sampled_from([*usual, *usual, *usual, None]) | JUNK


@st.composite
def bodies(draw: st.DrawFn, operation: Operation) -> dict[str, Any]:
    names = [*WORDS, *KNOWN, "steps_of_mine", "nonsense"]
    chosen = draw(st.lists(st.sampled_from(names), max_size=4, unique=True))
    # Most bodies are whole, so that what is drawn besides is what decides.
    body: dict[str, Any] = {"model": "m", "prompt": "a kite"} if draw(st.integers(0, 9)) else {}
    body |= {name: draw(value_of(name)) for name in chosen}
    edits = operation is Operation.EDIT
    for name in (
        draw(
            st.sampled_from(
                [
                    ["images"],
                    ["images"],
                    ["image"],
                    ["images", "mask"],
                    ["image", "mask", "markup"],
                    ["images", "image"],
                    [],
                ]
            )
        )
        if edits
        else draw(st.sampled_from([[], [], [], ["image"]]))
    ):
        body[name] = draw(PICTURES if name.startswith("image") else ONE | GOOD)
    return body


def is_served(body: dict[str, Any], model: Served, operation: Operation) -> bool:
    try:
        raw = RawRequest(operation, Encoding.JSON, body)
        name = model_name(raw, model.name if model.is_default else None)
        if name != model.name:
            return False
        reading = Reading(unknown=model.unknown, known=model.known)
        call = validate(
            raw, name=name, entries=(*model.faces, *model.targets), defaults=model.defaults, reading=reading
        )
    except InvalidRequest:
        return False
    return any(isinstance(fit(call, entry), Fitted) for entry in model.targets)


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=100)
@given(data=st.data())
def test_the_schema_accepts_what_is_served_and_nothing_else(
    name: str, operation: Operation, data: st.DataObject
) -> None:
    model = MODELS[name]
    schema = body_schema(model, operation)
    assert schema is not None
    body = data.draw(bodies(operation))
    found = [error.message[:200] for error in Draft202012Validator(schema).iter_errors(body)]
    assert (not found) is is_served(body, model, operation), found


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("entry", CATALOG.entries, ids=lambda entry: entry.id)
def test_every_model_of_the_catalog_has_a_schema_that_is_one(
    entry: CatalogModel, operation: Operation
) -> None:
    schema = body_schema(Served(entry.id, [entry]), operation)
    if schema is None:
        assert operation.value not in entry.operations
        return
    Draft202012Validator.check_schema(schema)
    body: dict[str, object] = {"model": entry.id, "prompt": "a kite"}
    if operation is Operation.EDIT:
        body["images"] = ["https://a.example/b.png"] * entry.inputs.min_images
        if entry.inputs.mask is not None and entry.inputs.mask.required:
            body["mask"] = "https://a.example/m.png"
    body |= dict.fromkeys(entry.needs, "a hat")
    body |= dict.fromkeys(entry.needs_one_of[:1], 64)
    assert Draft202012Validator(schema).is_valid(body)
