"""The end user of a call and its tags: who names them, how much, and what is refused."""

from __future__ import annotations

import pytest

from gateway.api.attribution import end_user_in, end_user_of, tags_of
from gateway.caller import Caller
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from providers.base import Operation

CALLER = Caller(
    "growth/ci",
    "ci",
    "growth",
    "growth",
    end_user_header="x-app-user",
    tags=frozenset({"team", "run", "Env"}),
)
NOBODY = Caller("growth/ci", "ci", "growth", "growth")


def call(**params: object) -> ImageCall:
    return ImageCall(Operation.GENERATE, "m", "a dot", params)


def tags(text: str, caller: Caller = CALLER) -> dict[str, str]:
    return dict(tags_of(caller, {b"x-imagegate-tags": text.encode("utf-8")}))


def test_the_bodys_own_word_for_the_end_user_wins_over_the_header() -> None:
    headers = {b"x-app-user": b"from-header"}
    assert end_user_of(call(safety_identifier="a", user="b"), CALLER, headers) == "a"
    assert end_user_of(call(user="b"), CALLER, headers) == "b"
    assert end_user_of(call(safety_identifier="", user=""), CALLER, headers) == "from-header"
    assert end_user_of(call(), CALLER, {b"x-app-user": b"   "}) is None
    assert end_user_of(call(), CALLER, {}) is None


def test_a_header_that_the_project_does_not_name_says_nothing() -> None:
    assert end_user_of(call(), NOBODY, {b"x-app-user": b"ann"}) is None


@pytest.mark.parametrize(("raw", "name"), [("Zoë".encode(), "Zoë"), ("Zoë".encode("latin-1"), "Zoë")])
def test_an_end_users_name_may_hold_any_letters(raw: bytes, name: str) -> None:
    assert end_user_in(CALLER, {b"x-app-user": raw}) == name


@pytest.mark.parametrize("raw", [b"x" * 513, b"a\x00b", b"a\tb"])
def test_an_end_users_name_is_short_and_printable(raw: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        end_user_in(CALLER, {b"x-app-user": raw})
    assert (caught.value.param, caught.value.code) == ("x-app-user", "invalid_value")


def test_tags_are_pairs_with_commas_between_them() -> None:
    assert tags("team=red, run=7") == {"team": "red", "run": "7"}
    assert tags(" team = red=ish ") == {"team": "red=ish"}
    assert tags_of(CALLER, {}) == {}
    assert tags("   ") == {}


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("team", "invalid_value", "expected name=value pairs"),
        ("team=", "invalid_value", "expected name=value pairs"),
        ("=red", "invalid_value", "expected name=value pairs"),
        ("team=red,", "invalid_value", "expected name=value pairs"),
        ("team=red, team=blue", "invalid_value", "the tag 'team' stands there twice"),
        ("team=" + "x" * 129, "invalid_value", "the value of 'team' has more than 128 characters"),
        ("team=" + "x" * 2050, "invalid_value", "at most 2048 printable ASCII characters"),
        ("team=rød", "invalid_value", "at most 2048 printable ASCII characters"),
        ("taem=red", "unknown_tag", "'taem'. Did you mean team? Allowed: Env, run, team."),
        ("TEAM=red", "unknown_tag", "Unknown tag"),
    ],
)
def test_tags_that_are_not_allowed_are_refused_and_never_dropped(text: str, code: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        tags(text)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "x-imagegate-tags", code)
    assert said in caught.value.message


def test_where_no_tag_is_allowed_that_is_said() -> None:
    with pytest.raises(InvalidRequest, match="This gateway's operator has allowed none"):
        tags("team=red", NOBODY)


def test_there_are_at_most_sixteen_tags() -> None:
    names = [f"t{number}" for number in range(17)]
    caller = Caller("k", "k", "p", "p", tags=frozenset(names))
    assert len(tags(",".join(f"{name}=1" for name in names[:16]), caller)) == 16
    with pytest.raises(InvalidRequest, match="at most 16 tags"):
        tags(",".join(f"{name}=1" for name in names), caller)
