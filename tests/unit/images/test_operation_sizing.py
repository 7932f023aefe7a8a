"""Models whose edits come in other sizes than their generations: data of the catalog, known to the plan."""

from __future__ import annotations

import pytest

from config.catalog import load_catalog
from gateway.images.fitted import Rule
from gateway.images.fitting import hangs_on_input, serves
from gateway.images.model_facts import facts
from providers.base import InputFile
from tests.unit.images.asking import asked, entry_of, fitted, picture, sent, unfit

FILE = picture().file
KEEPS = ["stability.sd3-5-large-v1:0", "MAI-Image-2.6", "MAI-Image-2.5", "grok-imagine-image"]


@pytest.mark.parametrize("model", KEEPS)
@pytest.mark.parametrize(
    "said", [{"size": "1024x1024"}, {"size": "16:9"}, {"aspect_ratio": "3:2"}, {"resolution": "2K"}]
)
def test_an_edit_in_the_pictures_own_size_is_told_no_other_and_says_so(
    model: str, said: dict[str, object]
) -> None:
    call = asked(images=[FILE], **said)
    found = fitted(call, model)
    assert (found.size.rule, found.size.sent, found.size.pixels) == (Rule.NEAREST, "auto", None)
    assert not {"size", "aspect_ratio", "resolution"} & set(sent(call, model))
    assert not hangs_on_input(call, entry_of(model))


@pytest.mark.parametrize("model", KEEPS)
@pytest.mark.parametrize(("field", "value"), [("size", "1024x1024"), ("aspect_ratio", "3:2")])
def test_in_strict_mode_it_is_refused_with_what_would_pass(model: str, field: str, value: str) -> None:
    call = asked(strict=True, images=[FILE], **{field: value})
    lacking = unfit(call, model)
    assert (lacking.capability, lacking.param, lacking.valid) == ("size", field, ("auto",))
    assert "as large as the picture" in lacking.explanation
    assert not serves(call, entry_of(model))
    assert fitted(asked(strict=True, images=[FILE]), model).size.rule is Rule.AUTO


@pytest.mark.parametrize("model", KEEPS)
def test_what_is_made_of_words_alone_has_the_models_sizes(model: str) -> None:
    found = fitted(asked(size="1024x1024"), model)
    assert {"size", "aspect_ratio"} & set(found.call.params)


@pytest.mark.parametrize(("pictures", "ratio"), [(1, None), (2, "3:2"), (3, "3:2")])
def test_of_one_model_only_a_single_picture_keeps_its_shape(pictures: int, ratio: str | None) -> None:
    call = asked(images=[FILE] * pictures, aspect_ratio="3:2")
    assert sent(call, "grok-imagine-image").get("aspect_ratio") == ratio
    assert sent(call, "grok-imagine-image-2.0")["aspect_ratio"] == "3:2"


def test_what_is_known_of_a_model_tells_both_sizings() -> None:
    today = load_catalog().entries[0].sources[0].verified_on
    older = facts(entry_of("grok-imagine-image"), today)
    assert older["single_edit_sizing"] == {"kind": "input"}
    assert "edit_sizing" not in older
    assert facts(entry_of("MAI-Image-2.6"), today)["edit_sizing"] == {"kind": "input"}
    assert set(facts(entry_of("gpt-image-2"), today)) & {"edit_sizing", "single_edit_sizing"} == set()


def test_several_pictures_of_an_edit_that_has_one_sizing_have_it_too() -> None:
    entry = entry_of("gpt-image-2").model_copy(update={"edit_sizing": entry_of("MAI-Image-2.6").edit_sizing})
    assert isinstance(FILE, InputFile)
    assert entry.sizing_of("edits", 1) == entry.sizing_of("edits", 5) != entry.sizing_of("generations", 0)
