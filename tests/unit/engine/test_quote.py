"""What a candidate's calls would take: sums over its calls, and what each takes of the limits."""

from __future__ import annotations

from datetime import date

import pytest

from config.catalog import CatalogModel
from gateway.engine.explained import candidate_told, components_told, micros
from gateway.engine.quote import Quote, quote, reservations
from gateway.errors import InvalidRequest
from gateway.images.fitted import Fitted
from gateway.images.fitting import fit
from gateway.quota.of_settings import DeclaredLimit
from gateway.quota.terms import Measure, Scope
from gateway.routing.directory import Target
from gateway.routing.plan import Candidate
from tests.unit.images.priced import DAY, call, entry, model, version

ORG = Scope.organization()
SPEND = DeclaredLimit(ORG, Measure.SPEND, 10**9, "day")
TOKENS = DeclaredLimit(ORG, Measure.TOKENS, 10**6, "day")
SHADOW = DeclaredLimit(ORG, Measure.SPEND, 1, "day", shadow=True)


def quoted(described: CatalogModel, day: date = DAY, **params: object) -> Quote:
    fitted = fit(call(**params), described)
    assert isinstance(fitted, Fitted)
    return quote(Candidate(Target("p", "upstream-name", described), fitted), day)


def one_a_call(name: str = "gpt-image-2") -> CatalogModel:
    return entry(name).model_copy(update={"max_n": 1})


def test_calls_side_by_side_add_up() -> None:
    whole, split = (
        quoted(each, n=3, size="1024x1024", quality="low") for each in (entry("gpt-image-2"), one_a_call())
    )
    assert (len(whole.calls), len(split.calls)) == (1, 3)
    assert whole.total == split.total
    assert [part.quantity for part in whole.components] == [part.quantity for part in split.components]


def test_what_is_open_is_flagged_once() -> None:
    total = quoted(one_a_call(), n=3).total
    assert total is not None
    assert total.flags == ("auto",)


def test_the_request_and_its_pictures_count_with_the_first_call_of_all() -> None:
    found = quoted(one_a_call(), n=3, size="1024x1024", quality="low")
    wanted = reservations(found, "m", [SPEND], "r", images=3)
    assert [each.rid for each in wanted] == ["r/1", "r/2", "r/3"]
    assert [each.amounts.get(Measure.IMAGES) for each in wanted] == [3, None, None]
    assert [each.amounts[Measure.CONCURRENT] for each in wanted] == [1, 1, 1]
    again = reservations(found, "m", [SPEND], "r", images=3, made=3)
    assert [each.rid for each in again] == ["r/4", "r/5", "r/6"]
    assert all(Measure.REQUESTS not in each.amounts for each in again)


@pytest.mark.parametrize(("limit", "words"), [(SPEND, "can cost"), (TOKENS, "can take in tokens")])
def test_what_a_limit_counts_must_be_known(limit: DeclaredLimit, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        reservations(quoted(model()), "m", [limit], "r", images=1)
    assert (caught.value.code, caught.value.param) == ("price_unknown", "model")
    assert words in caught.value.message


def test_a_limit_on_trial_refuses_nothing_unknown() -> None:
    (wanted,) = reservations(quoted(model()), "m", [SHADOW], "r", images=1)
    assert wanted.amounts[Measure.SPEND] == 0


def test_an_unknown_price_has_no_total_and_no_parts() -> None:
    found = quoted(model())
    assert (found.total, found.components) == (None, ())
    assert found.unpriced is not None
    told = candidate_told(found)["cost"]
    assert isinstance(told, dict)
    assert (told["low"], told["expected"], told["high"]) == (None, None, None)
    assert told["unknown"] == "unpriced"


def test_a_contracts_note_is_not_for_callers() -> None:
    own = version(per_image="0.03", origin="target").model_copy(
        update={"source": version().source.model_copy(update={"text": "contract 4711"})}
    )
    told = candidate_told(quoted(model(own)))
    assert "4711" not in str(told)
    assert "configuration" in str(told["cost"])


@pytest.mark.parametrize("n", [1, 3, 7, 10])
def test_the_parts_add_up_in_millionths(n: int) -> None:
    found = quoted(one_a_call(), n=n, size="1024x1024", quality="medium")
    assert found.total is not None
    told = components_told(found)
    assert sum(int(str(part["total_cost"])) for part in told) == micros(found.total.expected)


def test_millionths_are_rounded_up() -> None:
    assert [micros(nano) for nano in (0, 1, 1000, 1001)] == [0, 1, 1, 2]


def test_fields_that_nobody_describes_are_named_and_not_repeated() -> None:
    described = model(version(free=True), passthrough=True, fields=["n"])
    told = candidate_told(quoted(described, secret_of_mine="a long story", n=2))
    assert told["unshown"] == ["prompt", "secret_of_mine"]
    assert told["request"] == {"model": "upstream-name", "n": 2}
