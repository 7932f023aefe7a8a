"""Rules, targets and breakers as they are written: what can be said, and what is refused because it could never
mean anything."""
# ruff: noqa: E501 (a row of a table of faults is one line)

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.covering import covers
from config.loader import ConfigErrors, Loaded, load
from config.routing import RoutingSettings, WhenSettings
from config.schema import Settings

BASE = """providers:
  a: {type: openai, api_key: 'env:A'}
  b: {type: openai, api_key: 'env:B'}
  c: {type: openai-compatible, base_url: 'http://127.0.0.1:1/v1', edits: false}
models:
  gpt-image-2: {targets: [{provider: a}, {provider: b}]}
  hero: {targets: [{provider: a, model: gpt-image-2}]}
organization:
  tags: [run]
  projects:
    - {name: Growth, id: proj_growth, keys: [{name: ci, key: 'env:K'}]}
    - {name: lab, models: [hero]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.yaml"


def loaded(file: Path, text: str, base: str = BASE) -> Loaded:
    file.write_text(base + text)
    return load(file, environ={})


def problems(file: Path, text: str, base: str = BASE) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(file, text, base)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


def rules(*lines: str) -> str:
    return "routing:\n  rules:\n" + "".join(f"    - {line}\n" for line in lines)


def test_the_defaults_are_the_published_ones() -> None:
    routing = RoutingSettings()
    assert (routing.deadline, routing.max_attempts) == (280.0, 3)
    assert (str(routing.retry_spend), str(routing.retry_count)) == ("0.01", "0.5")
    assert (routing.breaker.consecutive_failures, routing.breaker.min_success_rate) == (5, 0.5)
    assert (routing.breaker.open_for, routing.breaker.open_at_most, routing.breaker.slow_start) == (
        30,
        600,
        120,
    )


def test_everything_that_a_rule_may_say_can_be_said_at_once(file: Path) -> None:
    text = rules(
        "{name: all, when: {project: Growth, key: [proj_growth/ci], end_user: ann, model: gpt-image-2, operation: edits,"
        " quality: [low, high], resolution: [4k, 0.5K], tags: {run: [x]}, hours: '22:00-06:00', days: [fri], spent: 80%},"
        " targets: [b, a/gpt-image-2], select: weighted}"
    )
    (rule,) = loaded(file, text).settings.routing.rules
    assert rule.when is not None
    assert rule.when.resolution == ["4K", "512"]
    assert rule.when.project == ["Growth"]
    assert rule.targets == ["b", "a/gpt-image-2"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{when: {project: Growht}, model: hero}", "rules[0].when.project: no project is called 'Growht', so this never fits. Did you mean Growth?"),
        ("{when: {project: []}, model: hero}", "rules[0].when.project: needs at least one entry"),
        ("{when: {project: [lab, nobody]}, model: hero}", "rules[0].when.project[1]: no project is called 'nobody'"),
        ("{when: {}, model: hero}", "rules[0].when: names no condition"),
        ("{when: {tags: {}}, model: hero}", "rules[0].when: names no condition"),
        ("{when: {project: lab}}", "rules[0]: does nothing; write model, targets, select or deny"),
        ("{when: {project: lab}, deny: no, model: hero}", "rules[0]: deny refuses the request, so model would mean nothing"),
        ("{when: {project: lab}, model: heroo}", "rules[0].model: there is no model 'heroo'. Did you mean hero?"),
        ("{when: {model: heroo}, deny: no}", "rules[0].when.model: there is no model 'heroo'. Did you mean hero?"),
        ("{when: {model: hero}, model: hero}", "rules[0].model: puts 'hero' in place of itself"),
        ("{when: {project: lab, model: gpt-image-2}, deny: no}", "rules[0].when.model: lab may not use gpt-image-2, so this never fits"),
        ("{when: {key: other/ci}, deny: no}", "rules[0].when.key: no project is called 'other', so this never fits"),
        ("{when: {project: lab, key: Growth/ci}, deny: no}", "rules[0].when.key: belongs to none of the projects that stand beside it"),
        ("{when: {tags: {team: red}}, deny: no}", "rules[0].when.tags.team: no call may have the tag 'team', so this never fits"),
        ("{when: {resolution: 3K}, deny: no}", "rules[0].when.resolution: expected '512', '1K', '2K', '4K' or '8K'"),
        ("{when: {operation: generate}, deny: no}", "rules[0].when.operation: expected 'generations' or 'edits'"),
        ("{when: {hours: 8-18}, deny: no}", "rules[0].when.hours: expected hours such as 08:00-18:00"),
        ("{when: {hours: '08:00-08:00'}, deny: no}", "rules[0].when.hours: begins when it ends"),
        ("{when: {hours: '08:00-24:30'}, deny: no}", "rules[0].when.hours: a day ends at 24:00"),
        ("{when: {spent: 0%}, deny: no}", "rules[0].when.spent: must be greater than 0"),
        ("{when: {spent: 101%}, deny: no}", "rules[0].when.spent: must be less than or equal to 1"),
        ("{when: {project: [lab, lab]}, deny: no}", "rules[0].when: project names something twice"),
        ("{targets: []}", "rules[0].targets: needs at least one entry"),
        ("{targets: [a, a]}", "rules[0]: targets names one twice"),
        ("{targets: [x]}", "rules[0].targets[0]: no provider is called 'x'."),
        ("{targets: [a, a/other]}", "rules[0].targets[1]: 'a/other' is no target of gpt-image-2 and hero"),
        ("{when: {model: hero}, targets: [b]}", "rules[0].targets: leaves hero no target, so every such request would fail"),
        ("{when: {project: lab}, targets: [b]}", "rules[0].targets: leaves hero no target, so every such request would fail"),
        ("{model: hero, targets: [b/gpt-image-2]}", "rules[0].targets: leaves hero no target"),
    ],
)  # fmt: skip
def test_a_rule_that_could_never_mean_anything_is_refused(file: Path, rule: str, expected: str) -> None:
    found = problems(file, rules(rule))
    assert any(expected in problem for problem in found), found
    assert all(problem[0].isdigit() for problem in found), "each names its line and column"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{deny: no}", "{when: {project: lab}, model: hero}"),
        ("{when: {project: [lab, Growth]}, deny: no}", "{when: {project: proj_growth}, model: hero}"),
        ("{when: {spent: 50%}, deny: no}", "{when: {spent: 80%, project: lab}, model: hero}"),
        ("{when: {key: ci}, deny: no}", "{when: {key: Growth/ci}, model: hero}"),
        ("{when: {tags: {run: [x, y]}}, deny: no}", "{when: {tags: {run: y}}, model: hero}"),
        ("{when: {hours: '08:00-18:00'}, deny: no}", "{when: {hours: '09:00-10:00'}, model: hero}"),
        ("{when: {resolution: [2K, 4K]}, deny: no}", "{when: {resolution: 4K, quality: high}, model: hero}"),
    ],
)
def test_a_rule_that_an_earlier_one_hides_is_refused(file: Path, first: str, second: str) -> None:
    (found,) = problems(file, rules(first, second))
    assert "rules[1]: is never asked: rules[0] fits every request that this one does" in found
    loaded(file, rules(second, first))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{when: {project: lab}, deny: no}", "{deny: no}"),
        ("{when: {spent: 80%}, deny: no}", "{when: {spent: 50%}, model: hero}"),
        ("{when: {hours: '22:00-06:00'}, deny: no}", "{when: {hours: '23:00-05:00'}, model: hero}"),
        ("{when: {key: Growth/ci}, deny: no}", "{when: {key: ci}, model: hero}"),
    ],
)
def test_rules_that_overlap_in_part_stand_side_by_side(file: Path, first: str, second: str) -> None:
    assert len(loaded(file, rules(first, second)).settings.routing.rules) == 2


def test_a_key_may_be_made_at_run_time(file: Path) -> None:
    warnings = loaded(file, rules("{when: {key: later}, deny: no}")).warnings
    assert any("no key called 'later' is declared; it fits once one is made" in text for text in warnings)


def test_a_rule_that_leaves_some_models_nothing_is_told_of(file: Path) -> None:
    warnings = loaded(file, rules("{when: {project: Growth}, targets: [b]}")).warnings
    assert any("leaves hero no target; such requests are refused" in text for text in warnings)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("[{provider: a, weight: 3}]", "targets[0].weight: means nothing with select: priority"),
        ("[{provider: a}, {provider: a}]", "targets[1]: a/m is a target of this model already"),
        ("[{provider: a, when: {model: m}}]", "targets[0].when.model: a target serves one model"),
        ("[{provider: a, when: {project: x}}]", "targets[0].when.project: no project is called 'x'"),
        ("[{provider: c, when: {operation: edits}}]", "targets[0].when.operation: c/m serves generations, so it is never called"),
        ("[{provider: a, priority: 0}]", "targets[0].priority: must be greater than or equal to 1"),
        ("[{provider: a, weight: 0}]", "targets[0].weight: must be greater than or equal to 1"),
    ],
)  # fmt: skip
def test_a_target_that_could_never_be_called_is_refused(file: Path, targets: str, expected: str) -> None:
    base = BASE.replace("models:\n", f"models:\n  m: {{targets: {targets}}}\n")
    found = problems(file, "", base)
    assert any(expected in problem for problem in found), found


def test_weights_mean_something_where_a_rule_asks_for_them(file: Path) -> None:
    base = BASE.replace("models:\n", "models:\n  m: {targets: [{provider: a, weight: 2}, {provider: b}]}\n")
    loaded(file, rules("{when: {model: m}, select: weighted}"), base)


@pytest.mark.parametrize(
    ("routing", "expected"),
    [
        ("{on_failure: {maybe: next}}", "routing.on_failure.maybe: expected "),
        ("{on_failure: {server: retry}}", "routing.on_failure.server: expected 'next' or 'stop'"),
        ("{retry_spend: 1}", "routing.retry_spend: expected a share such as 10%"),
        ("{retry_spend: 101%}", "routing.retry_spend: must be less than or equal to 1"),
        ("{breaker: {min_success_rate: 50}}", "routing.breaker.min_success_rate: must be less than or equal to 1"),
        ("{breaker: {open_for: 20m}}", "routing.breaker: open_at_most is the end of the doubling"),
        ("{breaker: {failures: 5}}", "routing.breaker.failures: there is no such setting."),
    ],
)  # fmt: skip
def test_what_a_policy_may_say_is_strict(file: Path, routing: str, expected: str) -> None:
    (found,) = problems(file, f"routing: {routing}\n")
    assert expected in found


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("{type: openai, api_key: 'env:A', api_keys: ['env:B']}", "needs one of api_key and api_keys, not both"),
        ("{type: openai, api_keys: ['env:B', 'env:B']}", "api_keys names a key twice"),
        ("{type: openai, api_keys: [sk-1234]}", "a secret is written env:NAME or file:PATH"),
        ("{type: azure-openai, base_url: 'https://r.openai.azure.com', entra_token: 'env:T', api_keys: ['env:B']}", "needs exactly one of api_key and entra_token"),
        ("{type: openai, max_queue: -1}", "max_queue: must be greater than or equal to 0"),
    ],
)  # fmt: skip
def test_several_keys_of_one_account(file: Path, provider: str, expected: str) -> None:
    (found,) = problems(file, "", f"providers: {{p: {provider}}}\n")
    assert expected in found


def test_the_first_of_several_keys_is_the_one_that_others_see(file: Path) -> None:
    result = loaded(file, "", "providers: {p: {type: openai, api_keys: ['env:X', 'env:Y']}}\n")
    account = result.settings.providers["p"]
    assert account.type == "openai"
    assert account.api_key.text == "env:X"
    assert Settings.model_validate_json(result.settings.model_dump_json()) == result.settings
    assert sum("env" in note and "api_key" in note for note in result.unset) <= 3


whens = st.builds(
    WhenSettings,
    project=st.none() | st.lists(st.sampled_from("abc"), min_size=1, unique=True),
    quality=st.just(["low"]) | st.just(["low", "high"]),
    spent=st.none() | st.sampled_from(["50%", "80%"]),
)


@given(whens, whens, whens)
def test_covering_is_an_order(one: WhenSettings, two: WhenSettings, three: WhenSettings) -> None:
    assert covers(one, one, {})
    if covers(one, two, {}) and covers(two, three, {}):
        assert covers(one, three, {})
