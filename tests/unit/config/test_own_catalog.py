"""``catalog:`` in the YAML: models of one's own, corrections of packaged entries, faults in place."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from config.catalog import CatalogModel, load_catalog
from config.inputs import Mask
from config.loader import ConfigErrors, Loaded, load
from config.names import public_models
from config.own_catalog import catalog_of
from config.sizing import ListedSizing, RatioSizing

LOCAL = "providers: {local: {type: openai-compatible, base_url: http://127.0.0.1:1/v1}}\n"


def loaded(folder: Path, text: str) -> Loaded:
    file = folder / "c.yaml"
    file.write_text(LOCAL + text)
    return load(file, environ={})


def entry(folder: Path, text: str, name: str) -> CatalogModel:
    found = catalog_of(loaded(folder, text).settings).get(name)
    assert found is not None
    return found


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as errors:
        loaded(folder, text)
    return [str(problem).replace(f"{folder}/", "") for problem in errors.value.problems]


def test_without_entries_of_ones_own_the_packaged_catalog_is_used_as_it_is(tmp_path: Path) -> None:
    assert catalog_of(loaded(tmp_path, "models: {}").settings) is load_catalog()


def test_a_model_of_ones_own_is_what_it_says_and_free_in_the_rest(tmp_path: Path) -> None:
    own = entry(
        tmp_path,
        """
models: {flux: {targets: [{provider: local}]}}
catalog:
  - id: flux
    operations: [generations]
    sizing: {kind: sizes, sizes: [1024x1024, 1344x768]}
    inputs: {max_images: 2, mask: {polarity: white, equal_size: true}}
    max_n: 4
    prices: [{per_image: 0.02, since: 2026-01-01}]
""",
        "flux",
    )
    assert own.sizing == ListedSizing(kind="sizes", sizes=["1024x1024", "1344x768"])
    assert (own.operations, own.max_n, own.family) == (["generations"], 4, "any")
    assert own.inputs.mask == Mask(polarity="white", equal_size=True)
    assert (own.fields, own.qualities, own.passthrough) == ([], [], True)
    assert [(price.per_image, price.origin) for price in own.prices] == [(Decimal("0.02"), "entry")]
    assert own.prices[0].version.startswith("entry:2026-01-01:")


def test_an_entry_that_lists_its_fields_passes_no_others_on(tmp_path: Path) -> None:
    own = entry(
        tmp_path, "catalog: [{id: flux, fields: [size, seed], extensions: {seed: {type: integer}}}]", "flux"
    )
    assert (own.fields, own.passthrough) == (["size", "seed"], False)
    assert own.extensions["seed"].type == "integer"


def test_a_packaged_entry_is_corrected_in_what_is_written_and_nothing_else(tmp_path: Path) -> None:
    before = load_catalog().get("gpt-image-2")
    assert before is not None
    after = entry(tmp_path, "catalog: [{id: gpt-image-2, max_n: 4, inputs: {max_images: 10}}]", "gpt-image-2")
    assert (after.max_n, after.inputs.max_images) == (4, 10)
    changed = {
        "max_n": 4,
        "inputs": before.inputs.model_copy(update={"max_images": 10}),
        "sources": after.sources,
    }
    assert after == before.model_copy(update=changed)
    assert after.sources[:-1] == before.sources
    assert load_catalog().get("gpt-image-2") is before


def test_an_entry_that_extends_another_is_a_model_of_its_own(tmp_path: Path) -> None:
    text = "catalog: [{id: mirror, extends: gpt-image-1.5, qualities: [high], owned_by: us}]"
    mirror, original = entry(tmp_path, text, "mirror"), load_catalog().get("gpt-image-1.5")
    assert original is not None
    assert (mirror.sizing, mirror.prices, mirror.fields) == (
        original.sizing,
        original.prices,
        original.fields,
    )
    assert (mirror.qualities, mirror.owned_by) == (["high"], "us")
    assert (mirror.providers, mirror.aliases, mirror.variants, mirror.shutdown) == ([], [], {}, None)


def test_an_entry_may_extend_one_that_stands_below_it_and_none_goes_in_a_circle(tmp_path: Path) -> None:
    assert entry(tmp_path, "catalog: [{id: a, extends: b}, {id: b, max_n: 7}]", "a").max_n == 7
    assert problems(tmp_path, "catalog: [{id: a, extends: b}, {id: b, extends: a}]") == [
        "c.yaml:2:28: catalog[0].extends: a extends b extends a, in a circle; "
        "let one of them start from another entry",
        "c.yaml:2:49: catalog[1].extends: b extends a extends b, in a circle; "
        "let one of them start from another entry",
    ]
    (beside,) = problems(tmp_path, "catalog: [{id: c, extends: a}, {id: a, extends: a}]")
    assert "catalog[1].extends: it extends itself" in beside
    (itself,) = problems(tmp_path, "catalog: [{id: gpt-image-2, extends: gpt-image-2}]")
    assert "without extends it corrects the catalog's entry" in itself


def test_an_entry_may_extend_one_before_it_and_be_priced_like_another(tmp_path: Path) -> None:
    text = """
catalog:
  - {id: base, sizing: {kind: ratios, ratios: ["1:1", "3:2"]}}
  - {id: derived, extends: base, max_n: 2, prices: [{like: gpt-image-2}], successor: base}
"""
    derived, like = entry(tmp_path, text, "derived"), load_catalog().get("gpt-image-2")
    assert like is not None
    assert isinstance(derived.sizing, RatioSizing)
    assert [price.tokens for price in derived.prices] == [price.tokens for price in like.prices]


def test_without_models_an_entry_is_served_by_the_accounts_that_it_names(tmp_path: Path) -> None:
    result = loaded(
        tmp_path, "catalog: [{id: flux, aliases: [flux-1], providers: [openai-compatible]}, {id: sd}]"
    )
    assert public_models(result.settings, catalog_of(result.settings)) == ["flux", "flux-1"]
    assert not [warning for warning in result.warnings if "serves no model" in warning]


def test_an_entry_describes_targets_by_their_own_name_or_by_catalog(tmp_path: Path) -> None:
    text = """
models:
  one: {targets: [{provider: local, model: flux}]}
  two: {targets: [{provider: local, model: x, catalog: flux}], defaults: {size: 1x1}}
catalog: [{id: flux, fields: [size], sizing: {kind: sizes, sizes: [1024x1024]}}]
"""
    assert problems(tmp_path, text) == [
        "c.yaml:5:81: models.two.defaults.size: flux accepts 1024x1024 and auto."
    ]


def test_teams_keep_their_models_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_text("catalog:\n  - {id: theirs, max_n: 3}\n  - {id: bad, max_n: none}\n")
    (tmp_path / "other.yaml").write_text("catalog: [{id: ours, extends: theirs}]\n")
    text = "include: [team.yaml, other.yaml]\ncatalog: [{id: ours}]"
    assert problems(tmp_path, text) == [
        "other.yaml:1:16: catalog[0].id: another entry describes 'ours'; keep one",
        "team.yaml:3:22: catalog[1].max_n: expected a whole number",
    ]
    (tmp_path / "team.yaml").write_text("catalog:\n  - {id: theirs, max_n: 3}\n")
    assert entry(tmp_path, "include: [team.yaml, other.yaml]", "ours").max_n == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("catalog: {}", "10: catalog: expected a list: [a, b], or lines that begin with a dash"),
        ("catalog: [{}]", "11: catalog[0].id: is required. The model's name at its provider."),
        ("catalog: [{id: a b}]", "16: catalog[0].id: a model's name is printable ASCII"),
        ("catalog: [{id: a, sizes: []}]", "19: catalog[0].sizes: there is no such setting."),
        (
            "catalog: [{id: a, sizing: {kind: fre}}]",
            "34: catalog[0].sizing.kind: there is no kind 'fre'. Did you mean free? "
            "Kinds: free, sizes, ratios, input and any",
        ),
        (
            "catalog: [{id: a, sizing: {}}]",
            "19: catalog[0].sizing: needs a kind: one of any, free, input, ratios and sizes",
        ),
        (
            "catalog: [{id: a, sizing: {kind: sizes, sizes: [big]}}]",
            "49: catalog[0].sizing.sizes[0]: expected pixels such as 1536x1024, got 'big'",
        ),
        (
            "catalog: [{id: a, inputs: {mask: grey}}]",
            "34: catalog[0].inputs.mask: expected 'transparent', 'white', 'black' or 'alpha'",
        ),
        ("catalog: [{id: a, extends: gpt-image-3}]", "28: catalog[0].extends: the catalog has no model"),
        ("catalog: [{id: a, successor: b}]", "30: catalog[0].successor: the catalog has no model"),
        (
            "catalog: [{id: a, variants: {azure-openai: b}}]",
            "44: catalog[0].variants.azure-openai: the catalog has no model",
        ),
        (
            "catalog: [{id: a, aliases: [gpt-image-2]}]",
            "29: catalog[0].aliases[0]: 'gpt-image-2' is the name of gpt-image-2 already",
        ),
        ("catalog: [{id: a, aliases: [a]}]", "29: catalog[0].aliases[0]: 'a' is the name of a already"),
        (
            "catalog: [{id: gpt-image-2-2026-04-21}]",
            "16: catalog[0].id: 'gpt-image-2-2026-04-21' is another name of",
        ),
        (
            "catalog: [{id: a, providers: [opnai]}]",
            "31: catalog[0].providers[0]: there is no provider type 'opnai'. Did you mean openai?",
        ),
        (
            "catalog: [{id: a, prices: [{like: b}]}]",
            "35: catalog[0].prices[0].like: the catalog has no model",
        ),
        (
            "catalog: [{id: a, fields: [size], extensions: {seed: {type: integer}}}]",
            "11: catalog[0]: extensions describes seed, which is not one of the fields",
        ),
        ("catalog: [{id: a}, {id: a}]", "25: catalog[1].id: another entry describes 'a'; keep one"),
    ],
)
def test_every_fault_is_told_at_its_place(tmp_path: Path, text: str, expected: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(f"c.yaml:2:{expected}")


CIRCLES = """
catalog:
  - id: a
    prices: [{like: b}]
  - {id: b, prices: [{like: c}]}
  - {id: c, prices: [{like: a}]}
  - {id: own, prices: [{like: own}]}
  - {id: d, extends: e}
  - {id: e, prices: [{free: true, until: 2026-01-01}, {like: d}]}
  - {id: gpt-image-2, prices: [{like: gpt-image-2}]}
  - {id: behind, prices: [{like: a}]}
"""


def test_prices_that_go_round_in_a_circle_are_told_with_the_way_round(tmp_path: Path) -> None:
    """Who only leads there, and a correction that keeps its packaged prices, are no part of it."""
    end = "; give one of them prices of its own"
    around = "goes round in a circle:"
    assert problems(tmp_path, CIRCLES) == [
        f"c.yaml:5:21: catalog[0].prices[0].like: {around} a → b → c → a{end}",
        f"c.yaml:6:29: catalog[1].prices[0].like: {around} b → c → a → b{end}",
        f"c.yaml:7:29: catalog[2].prices[0].like: {around} c → a → b → c{end}",
        f"c.yaml:8:31: catalog[3].prices[0].like: {around} own → own{end}",
        f"c.yaml:9:22: catalog[4].extends: {around} d → e → d{end}",
        f"c.yaml:10:62: catalog[5].prices[1].like: {around} e → d → e{end}",
    ]


def test_an_entry_that_describes_nothing_is_told_of(tmp_path: Path) -> None:
    models = "models: {m: {targets: [{provider: local, catalog: one}]}}\n"
    entries = "catalog: [{id: one, extends: two}, {id: two}, {id: gpt-image2}, {id: gpt-image-2, max_n: 1}]"
    assert [
        warning.replace(f"{tmp_path}/", "") for warning in loaded(tmp_path, models + entries).warnings
    ] == ["c.yaml:3:52: catalog[2].id: no model is described by 'gpt-image2'. Did you mean gpt-image-2?"]


def test_the_documented_entries_can_be_used(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "normalization.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "catalog:" in block)
    (tmp_path / "c.yaml").write_text(example)
    catalog = catalog_of(load(tmp_path / "c.yaml", environ={}).settings)
    own = catalog.describe("openai-compatible", "flux-2-dev")
    assert (own.sizing.kind, own.inputs.mask, own.max_n) == ("free", Mask(polarity="white"), 1)


def test_what_names_a_faulty_entry_is_no_second_fault(tmp_path: Path) -> None:
    text = """
models: {m: {targets: [{provider: local, catalog: a}], defaults: {size: 3x3}}}
catalog: [{id: a, max_n: many}]
"""
    assert problems(tmp_path, text) == ["c.yaml:4:26: catalog[0].max_n: expected a whole number"]
    twice = text.replace("max_n: many", "extends: nothing")
    assert [problem.split(": ")[1] for problem in problems(tmp_path, twice)] == ["catalog[0].extends"]
