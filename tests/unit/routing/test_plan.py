"""Which targets can serve a call; where none can, who could."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.catalog import CatalogModel, load_catalog
from config.sizing import ListedSizing
from gateway.caller import Caller
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.fitted import Rule
from gateway.routing.directory import ModelDirectory, PublicModel, Target
from gateway.routing.plan import Plan, plan
from providers.base import InputRef, Operation

CATALOG = load_catalog()
CALLER = Caller("key_1", "ci", "p", "P")


def entry(**changed: Any) -> CatalogModel:
    return CATALOG.describe("openai", "gpt-image-2").model_copy(update=changed)


OPAQUE = entry(id="opaque", backgrounds=["opaque"])


def model(name: str, *entries: CatalogModel, unusable: str | None = None) -> PublicModel:
    targets = tuple(Target(f"p{at}", one.id, one, unusable) for at, one in enumerate(entries))
    return PublicModel(name, targets, entries[0])


def call(model: str = "m", **params: object) -> ImageCall:
    return ImageCall(Operation.GENERATE, model, "x", params)


def planned(call: ImageCall, *models: PublicModel, caller: Caller = CALLER) -> Plan:
    return plan(call, models[0], caller, ModelDirectory(models))


def refused(call: ImageCall, *models: PublicModel, caller: Caller = CALLER) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        planned(call, *models, caller=caller)
    return caught.value


def test_every_target_gets_the_call_as_it_can_serve_it() -> None:
    listed = entry(sizing=ListedSizing(kind="sizes", sizes=["1024x1024", "1536x1024"]))
    made = planned(call(size="1920x1080", quality="hd"), model("m", entry(), listed))
    sizes = [candidate.fitted.size for candidate in made.candidates]
    assert [(size.sent, size.rule) for size in sizes] == [
        ("1920x1088", Rule.STEP),
        ("1536x1024", Rule.NEAREST),
    ]
    assert [candidate.target.provider for candidate in made.candidates] == ["p0", "p1"]
    assert made.excluded == ()


def test_a_target_that_cannot_is_left_out_and_the_plan_says_why() -> None:
    made = planned(call(background="transparent"), model("m", OPAQUE, entry()))
    assert [candidate.target.provider for candidate in made.candidates] == ["p1"]
    (excluded,) = made.excluded
    assert (excluded.target.provider, excluded.unfit.capability) == ("p0", "transparent")


def test_in_strict_mode_so_is_one_that_would_change_the_size() -> None:
    listed = entry(sizing=ListedSizing(kind="sizes", sizes=["1024x1024"]))
    asked = replace(call(size="1536x864"), strict=True)
    made = planned(asked, model("m", listed, entry()))
    assert [candidate.target.provider for candidate in made.candidates] == ["p1"]
    error = refused(asked, model("m", listed), model("other", entry()))
    assert error.message == (
        "Invalid size '1536x864'. Supported sizes are 1024x1024 and auto. "
        "The nearest that it serves: 1024x1024."
    )


def test_in_strict_mode_a_missing_capability_names_only_models_that_would_serve_the_call_exactly() -> None:
    listed = entry(sizing=ListedSizing(kind="sizes", sizes=["1024x1024"]))
    asked = replace(call(size="1536x864", background="transparent"), strict=True)
    models = [model("m", OPAQUE), model("listed", listed), model("free", entry())]
    error = refused(asked, *models)
    assert (error.param, error.code) == ("background", "invalid_value")
    assert error.message.endswith("Of the models that this key may use, free can serve it.")


def test_with_no_target_left_the_refusal_names_what_is_missing_and_who_has_it() -> None:
    models = [
        model("m", OPAQUE),
        model("clear", entry()),
        model("dull", OPAQUE),
        model("glass", OPAQUE, entry()),
    ]
    error = refused(call(background="transparent"), *models)
    assert (error.status, error.param, error.code) == (400, "background", "unsupported_value")
    assert error.message == (
        "Transparent background is not supported for this model. "
        "Of the models that this key may use, clear and glass can serve it."
    )
    assert error.retryable is False


def test_it_names_no_model_that_the_key_may_not_use_or_that_has_no_key_itself() -> None:
    models = [model("m", OPAQUE), model("clear", entry()), model("glass", entry(), unusable="no key")]
    narrow = replace(CALLER, models=frozenset({"m", "glass"}))
    error = refused(call(background="transparent"), *models, caller=narrow)
    assert error.message.endswith("No other model that this key may use can serve it.")


def test_a_long_list_of_models_is_cut() -> None:
    models = [model("m", OPAQUE), *(model(f"clear-{number}", entry()) for number in range(9))]
    error = refused(call(background="transparent"), *models)
    assert "clear-0, clear-1, clear-2, clear-3, and clear-4 and 4 more can serve it." in error.message


def test_a_model_without_edits_is_refused_by_its_name() -> None:
    edit = ImageCall(Operation.EDIT, "m", "x", images=[InputRef("https://a.b/c")])
    error = refused(edit, model("m", entry(operations=["generations"])), model("other", entry()))
    assert (error.param, error.type) == ("model", "image_generation_user_error")
    assert "does not serve /v1/images/edits" in error.message
    assert "other can serve it" in error.message


def test_targets_without_their_key_are_not_planned() -> None:
    usable, keyless = Target("a", "x", entry()), Target("b", "y", entry(), "no key")
    made = planned(call(), PublicModel("m", (keyless, usable), entry()))
    assert [candidate.target for candidate in made.candidates] == [usable]
