"""An estimate that is remembered is the one that would be made anew, whatever was asked before."""

from __future__ import annotations

from datetime import date
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalog import CatalogModel, load_catalog
from config.prices import PriceVersion
from gateway.images.call import UNSEEN, ImageCall, InputSize
from gateway.images.estimate import PriceRange, estimate
from gateway.images.estimates import Estimates
from providers.base import InputImage
from tests.unit.images.priced import DAY, URL, call, entry, model, price_of, version

EXTRA = version(tokens={"text_in": "5", "image_in": "8", "image_out": "30"}, extras={"style": ["vivid"]})
ENTRIES = [
    *load_catalog().entries,
    entry("gpt-image-2").model_copy(update={"prices": [EXTRA]}),
    model(version(per_image="0.04"), version(date(2026, 12, 1), per_image="0.05")),
    model(version(per_megapixel={"output": "0.03", "input": "0.01", "most_input": 2})),
    model(version(credits={"dollars": "0.01"}, margin="50%")),
]
DAYS = (DAY, date(2026, 12, 24))
WORDS: dict[str, list[object]] = {
    "size": ["auto", "1024x1024", "1536x1024", "4K", None, 7],
    "quality": ["auto", "low", "high", "dear", None, ["low"]],
    "n": [1, 2, 10],
    "partial_images": [0, 1, 3, True, "2", -1],
    "input_fidelity": ["low", "high", None],
    "output_format": ["png", "svg", "psd", ["png"]],
    "style": ["vivid", "natural", ["vivid"]],
    "user": ["a", "b"],
}
PROMPTS = ["", "a cat", "a dog", "café", "cafes", "\ud800", "🦦", "long " * 40]
INPUTS = [UNSEEN, InputSize(64, 64), InputSize(4000, 30), InputSize(30, 4000), InputSize(1024, None)]


@st.composite
def calls(draw: st.DrawFn) -> tuple[ImageCall, list[InputSize]]:
    params = {name: draw(st.sampled_from(words)) for name, words in WORDS.items() if draw(st.booleans())}
    if draw(st.booleans()):
        pictures: list[InputImage] = [URL] * draw(st.integers(1, 3))
        params |= {"mask": draw(st.sampled_from([None, URL])), "markup": draw(st.sampled_from([None, URL]))}
        known = draw(st.lists(st.sampled_from(INPUTS), max_size=len(pictures)))
    else:
        pictures, known = [], []
    return call(draw(st.sampled_from(PROMPTS)), pictures, **params), known


ASKED = st.tuples(st.sampled_from(ENTRIES), st.sampled_from(DAYS), st.booleans(), calls())


@given(st.lists(ASKED, max_size=12), st.integers(1, 8))
@settings(max_examples=200)
def test_remembered_is_what_would_be_made_anew(
    asked: list[tuple[CatalogModel, date, bool, tuple[ImageCall, list[InputSize]]]], most: int
) -> None:
    estimates = Estimates(most)
    for described, day, is_priced, (wanted, inputs) in (*asked, *asked):
        price = described.price_on(day) if is_priced else None
        anew = estimate(described, price, wanted, inputs)
        assert estimates.of(described, price, wanted, inputs) == anew
        assert estimates.of(described, price, wanted, inputs) == anew
        assert len(estimates) <= most


def test_one_form_of_call_is_kept_once_whatever_the_prompts_and_the_callers_say() -> None:
    estimates, described = Estimates(), entry("gpt-image-2")
    found = [
        estimates.of(described, price_of(described), call(prompt, size="1024x1024", user=user))
        for prompt, user in product(("a cat", "a dog"), ("x", "y"))
    ]
    assert len(estimates) == 1
    assert all(each is found[0] for each in found)
    assert "a cat" not in repr(vars(estimates))


def test_what_was_not_asked_for_the_longest_time_goes_first() -> None:
    estimates, described = Estimates(2), entry("gpt-image-2")

    def of(prompt: str) -> object:
        return estimates.of(described, price_of(described), call(prompt))

    first, second = of("1"), of("22")
    assert of("1") is first
    of("333")
    assert of("1") is first
    assert of("22") is not second


def test_a_price_that_changes_is_a_new_estimate() -> None:
    """As a reload of the configuration makes it: other objects, at the same addresses or not."""
    estimates = Estimates()
    for cents in range(1, 40):
        price = PriceVersion.model_validate(
            {**version(per_image="0.01").model_dump(), "per_image": f"0.{cents:02d}"}
        )
        found = estimates.of(model(price), price, call())
        assert isinstance(found, PriceRange)
        assert found.high == cents * 10_000_000
