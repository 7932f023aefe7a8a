"""The strict reader: YAML 1.2's core scalars and no surprises."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.nodes import Mapping, Unreadable, plain
from config.problems import ConfigErrors
from config.yaml12 import MAX_BYTES, read, read_on


def value(text: str) -> Any:
    return plain(read(text.encode(), "t.yaml"))


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        read(text if isinstance(text, bytes) else text.encode(), "t.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "text",
    [
        "16:9",
        "no",
        "yes",
        "on",
        "off",
        "No",
        "y",
        "2026-11-20",
        "1_000",
        "0b11",
        "12:30:45",
        "+-1",
        "1e",
        "0o8",
        "=",
    ],
)
def test_what_yaml_1_1_would_have_changed_stays_text(text: str) -> None:
    assert value(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("010", 10),
        ("0o17", 15),
        ("0xFf", 255),
        ("-7", -7),
        ("+7", 7),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("! 5", "5"),
        ("!!str 5", "5"),
        ("!!int 5", 5),
    ],
)
def test_scalars_are_those_of_the_yaml_1_2_core_schema(text: str, expected: object) -> None:
    found = value(f"a: {text}\n")["a"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", ["0.1", "0.10", "1.", ".5", "-3.25", "1e3", "12345678901234567.123456789"])
def test_a_number_with_a_fraction_is_a_decimal_of_exactly_what_was_written(text: str) -> None:
    found = value(text)
    assert isinstance(found, Decimal)
    assert found == Decimal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "t.yaml:3:1: a: 'a' stands here twice, first in line 1"),
        ("x:\n  y: {a: 1, a: 2}", "t.yaml:2:13: x.y.a: 'a' stands here twice, first in line 2"),
        ("1: a\n'1': b", "t.yaml:2:1"),
        ("base: &b {a: 1}\nx:\n  <<: *b", "t.yaml:3:3: x: merge keys (<<) are not supported"),
        ("a: 1\n---\nb: 2", "t.yaml:2:1: a second document"),
        ("a: &x [*x]", "t.yaml:1:8: a[0]: the alias *x stands inside what it stands for"),
        ("a: *nobody", "t.yaml:1:4: a: the alias *nobody has no anchor"),
        ("a: !!python/name:os.system x", "t.yaml:1:4: a: the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("a: !env HOME", "t.yaml:1:4: a: the tag '!env' is not supported"),
        ("a: !!int seven", "is not what its tag !!int says"),
        ("a: !!int true", "is not what its tag !!int says"),
        ("? [a]\n: b", "a list or a mapping cannot be a key"),
        ("? \n: b", "an empty key"),
        ("a: .inf", ".inf is not a number that a setting can have"),
        ("a: .NaN", ".NaN is not a number that a setting can have"),
        ("a: 1e999999999", "out of range"),
        ("a: " + "9" * 5000, "too many digits"),
        ("a: [1, 2", "t.yaml:2:1: this is not valid YAML"),
        ("a: b: c", "t.yaml:1:5: this is not valid YAML: mapping values are not allowed"),
        ("\ta: 1", "this is not valid YAML"),
        ("%YAML 2.0\n---\na: 1", "this is not valid YAML"),
        ("a: 1\nb: x\x07y", "t.yaml:2:5: a character that YAML does not allow"),
        ("[" * 100 + "]" * 100, "nested more than 64 deep"),
    ],
)
def test_surprises_are_refused_at_their_place(text: str, expected: str) -> None:
    assert expected in problems(text)[0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a: 1\nb: \xff\xfe", "t.yaml:2:4: this byte is not UTF-8"),
        (b"a: 1\nb: x\0", "t.yaml:2:5: a NUL character"),
        ("a: 1".encode("utf-16"), "this byte is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "t.yaml:1:1: larger than 4 MiB"),
    ],
)
def test_what_is_not_text_is_refused(data: bytes, expected: str) -> None:
    assert expected in problems(data)[0]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert plain(read(b"\xef\xbb\xbfa: 1", "t.yaml")) == {"a": 1}


def test_every_duplicate_key_is_told_at_once() -> None:
    assert [line.split(": ")[0] for line in problems("a: 1\na: 2\nb: {c: 1, c: 2}\nd: *e")] == [
        "t.yaml:2:1",
        "t.yaml:3:11",
        "t.yaml:4:4",
    ]


def rest(text: str) -> tuple[Any, int]:
    """What is left of a faulty text, and how many faults it has."""
    root, found = read_on(text.encode(), "t.yaml")
    return plain(root), len(found)


@pytest.mark.parametrize(
    ("text", "left", "faults"),
    [
        ("a: 1\na: 2\na: 3\nb: 4", {"a": 1, "b": 4}, 2),
        ("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}", {"x": {"a": 1, "b": 2}, "y": {"b": 3, "a": 1}}, 1),
        ("y: {<<: [{a: 1}, {a: 2, b: 3}], c: 4}", {"y": {"c": 4, "a": 1, "b": 3}}, 1),
        ("? [a, {b: 1}]\n: {c: 2}\nd: 3", {"d": 3}, 1),
        ("x: &x k\n*x : 1\ny: 2", {"x": "k", "y": 2}, 1),
        ("? \n: 1\ny: 2", {"y": 2}, 1),
        ("a\x07: 1\nb: 2 # \x07\x08\nb: 3\n", {"b": 2}, 3),
        ("!x k: 1", {"k": 1}, 1),
        ("a: !x {b: 1}\nc: !y [2]", {"a": {"b": 1}, "c": [2]}, 2),
        ("a: 1\n---\na: 1\na: 2\n---\nb: *c", {"a": 1}, 1),
    ],
)
def test_reading_goes_on_after_a_fault(text: str, left: object, faults: int) -> None:
    assert rest(text) == (left, faults)


@pytest.mark.parametrize(
    "wrong", ["*nobody", ".inf", "!env HOME", "!!int x", "!!seq x", "x\x07y", "1e99", "&v [*v]"]
)
def test_a_value_with_a_fault_is_none_of_the_values_that_a_setting_can_have(wrong: str) -> None:
    root, found = read_on(f"a: {wrong}\nb: 1".encode(), "t.yaml")
    assert len(found) == 1
    left = plain(root)
    value = left["a"][0] if wrong.startswith("&") else left["a"]
    assert isinstance(value, Unreadable)
    assert left["b"] == 1


def test_an_alias_of_a_fault_is_no_second_fault() -> None:
    assert rest("a: &a .inf\nb: *a")[1] == 1


def test_what_was_found_before_a_syntax_error_is_told_with_it() -> None:
    found = problems("a: 1\na: 2\nb: *c\nd: [")
    assert [line.split(": ")[0] for line in found] == ["t.yaml:2:1", "t.yaml:3:4", "t.yaml:5:1"]
    assert len(problems("a: 1\na: 2\nb: \x07")) == 2
    assert len(problems("a: 1\na: 2\nb: " + "[" * 100 + "]" * 100)) == 2


def test_an_alias_bomb_is_one_problem_and_never_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    left, faults = rest("\n".join([*lines, "a0: twice"]))
    assert faults == 2
    assert len(str(left)) < 10**6


def test_an_alias_bomb_is_refused_before_it_expands() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert "aliases expand to more than 10000 values" in problems("\n".join(lines))[0]


def test_aliases_cannot_nest_deeper_than_what_is_written_out() -> None:
    lines = ["a0: &a0 x"] + [f"a{n}: &a{n} {'[' * 30}*a{n - 1}{']' * 30}" for n in range(1, 20)]
    assert "nested more than 64 deep" in problems("\n".join(lines))[0]


def test_an_alias_is_the_value_that_it_stands_for() -> None:
    assert value("a: &x {b: [1]}\nc: *x\nd: [*x, *x]") == {
        "a": {"b": [1]},
        "c": {"b": [1]},
        "d": [{"b": [1]}] * 2,
    }


def test_keys_are_text_and_know_their_places() -> None:
    root = read(b"1.5: a\nno: {true: b}\n", "t.yaml")
    assert isinstance(root, Mapping)
    assert plain(root) == {"1.5": "a", "no": {"true": "b"}}
    assert str(root.keys["no"]) == "t.yaml:2:1"


# JSON writes characters beyond the BMP as two surrogates, which YAML does not read.
_TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_json_reads_as_itself(document: object) -> None:
    assert plain(read(json.dumps(document).encode(), "t.yaml")) == document


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=0, max_value=10**7))
def test_no_amount_passes_through_a_binary_float(amount: Decimal) -> None:
    assert value(f"{amount:f}") == amount
