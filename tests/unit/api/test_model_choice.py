"""Which model a name means, retired names among them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from config.catalog import load_catalog
from gateway.api.model_choice import Retired, choose_model, served_by
from gateway.caller import Caller
from gateway.errors import Forbidden, GatewayError
from gateway.images.call import ImageCall
from gateway.images.fitted import Adjustment, How
from gateway.routing.directory import ModelDirectory, PublicModel, Target
from providers.base import Operation

TODAY = date(2026, 11, 20)
CATALOG = load_catalog()
CALLER = Caller("key_1", "ci", "p", "P")
LEGACY = Retired("gpt-image-2")


def directory(*names: str, unusable: str | None = None) -> ModelDirectory:
    models = []
    for name in names:
        entry = CATALOG.describe("openai", name)
        models.append(PublicModel(name, (Target("openai", name, entry, unusable),), entry))
    return ModelDirectory(models)


ALL = directory("gpt-image-2", "gpt-image-1.5", "sandbox")


def refused(name: str, retired: Retired, caller: Caller = CALLER, today: date = TODAY) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        choose_model(name, caller, ALL, CATALOG, today, retired)
    return caught.value


@pytest.mark.parametrize("name", ["dall-e-2", "dall-e-3", "gpt-image-1"])
def test_retired_names_are_served_by_one_current_model_and_that_is_told(name: str) -> None:
    model = choose_model(name, CALLER, ALL, CATALOG, TODAY, LEGACY)
    assert model.name == "gpt-image-2"
    call = served_by(ImageCall(Operation.GENERATE, name, "x"), model)
    assert call.adjusted == (Adjustment("model", name, How.MAPPED, "gpt-image-2"),)


def test_so_are_those_that_follow_once_they_are_shut_down() -> None:
    later = date(2026, 12, 1)
    assert choose_model("gpt-image-1.5", CALLER, ALL, CATALOG, TODAY, LEGACY).name == "gpt-image-1.5"
    assert choose_model("gpt-image-1.5", CALLER, ALL, CATALOG, later, LEGACY).name == "gpt-image-2"
    assert choose_model("gpt-image-1-mini", CALLER, ALL, CATALOG, later, LEGACY).name == "gpt-image-2"


def test_a_current_name_is_served_by_itself() -> None:
    model = choose_model("sandbox", CALLER, ALL, CATALOG, TODAY, LEGACY)
    call = ImageCall(Operation.GENERATE, "sandbox", "x")
    assert served_by(call, model) is call


def test_when_off_the_refusal_names_the_line_that_would_do_it() -> None:
    error = refused("dall-e-3", Retired())
    assert (error.param, error.code) == ("model", "invalid_value")
    assert "normalization: {legacy_models: gpt-image-2}" in error.message
    assert "The model 'dall-e-3' does not exist. It was shut down on 2026-05-12." in error.message


def test_strict_requests_are_refused_as_openai_refuses_them() -> None:
    error = refused("dall-e-3", Retired("gpt-image-2", strict=True))
    assert error.message.startswith("The model 'dall-e-3' does not exist. It was shut down")
    assert "legacy_models" not in error.message


def test_a_key_may_use_a_retired_name_where_it_may_use_either() -> None:
    for allowed in ("dall-e-3", "gpt-image-2"):
        caller = Caller("key_1", "ci", "p", "P", models=frozenset({allowed}))
        assert choose_model("dall-e-3", caller, ALL, CATALOG, TODAY, LEGACY).name == "gpt-image-2"
    caller = Caller("key_1", "ci", "p", "P", models=frozenset({"sandbox"}))
    assert isinstance(refused("dall-e-3", LEGACY, caller), Forbidden)


def test_a_name_of_nobody_stays_unknown() -> None:
    assert refused("dall-e-4", LEGACY).message.startswith("The model 'dall-e-4' does not exist.")
    assert "was shut down" not in refused("dall-e-4", LEGACY).message


def test_a_name_that_the_operator_declared_is_the_operators() -> None:
    entry = CATALOG.describe("openai", "gpt-image-2.5-flare")
    own = ModelDirectory([PublicModel("dall-e-3", (Target("openai", "gpt-image-2.5-flare", entry),), entry)])
    assert choose_model("dall-e-3", CALLER, own, CATALOG, TODAY, LEGACY).name == "dall-e-3"


def test_an_heir_without_its_key_says_so() -> None:
    keyless = directory("gpt-image-2", unusable="no key")
    with pytest.raises(GatewayError) as caught:
        choose_model("dall-e-3", CALLER, keyless, CATALOG, TODAY, LEGACY)
    assert caught.value.code == "model_not_configured"


def test_a_target_is_named_only_by_keys_whose_list_holds_it_and_others_are_told_what_to_ask_for() -> None:
    error = refused("openai/gpt-image-2", LEGACY)
    assert (error.status, error.code, error.param) == (403, "model_not_allowed", "model")
    assert error.message.endswith("Ask for 'gpt-image-2'.")
    listed = replace(CALLER, models=frozenset({"openai/gpt-image-2"}))
    assert choose_model("openai/gpt-image-2", listed, ALL, CATALOG, TODAY, LEGACY).name == "gpt-image-2"
    assert "Ask for" not in refused("openai/gpt-image-1.5", LEGACY, listed).message
