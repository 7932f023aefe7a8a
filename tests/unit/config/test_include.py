"""Several files, one configuration: who may say what, and whose fault a fault is."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loader import ConfigErrors, Loaded, load

MAIN = "include: [projects.d/*.yaml]\nproviders: {s: {type: sandbox}}\n"


def folder(tmp_path: Path, **texts: str) -> Path:
    """``main`` is main.yaml, every other name projects.d/NAME.yaml."""
    (tmp_path / "projects.d").mkdir()
    for name, text in texts.items():
        path = tmp_path / "main.yaml" if name == "main" else tmp_path / "projects.d" / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
    return tmp_path / "main.yaml"


def problems(main: Path) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(main, environ={})
    return [str(problem).replace(f"{main.parent}/", "") for problem in caught.value.problems]


def project_names(result: Loaded) -> list[str]:
    return [project.name for project in result.settings.organization.projects]


def test_projects_of_all_files_follow_each_other_in_the_order_of_the_names(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main=MAIN + "organization: {projects: [{name: first}]}",
        b="organization: {projects: [{name: b}]}",
        a="organization: {projects: [{name: a1}, {name: a2}]}",
    )
    result = load(main)
    assert project_names(result) == ["first", "a1", "a2", "b"]
    assert [Path(name).name for name in result.files] == ["main.yaml", "a.yaml", "b.yaml"]


def test_providers_and_models_of_all_files_are_one(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main=MAIN + "models: {m: {targets: [{provider: s, model: sandbox}]}}",
        a="providers: {t: {type: sandbox}}\nmodels: {n: {targets: [{provider: t, model: sandbox}]}}",
    )
    settings = load(main).settings
    assert list(settings.providers) == ["s", "t"]
    assert list(settings.models or {}) == ["m", "n"]


def test_an_error_in_an_included_file_names_that_file_and_its_own_places(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main=MAIN + "organization: {projects: [{name: first}]}",
        a="organization:\n  projects:\n"
        "    - {name: ok}\n    - {name: a, limit: 1}\n    - {name: c, models: [nope]}\n",
    )
    first, second = problems(main)
    assert first.startswith(
        "projects.d/a.yaml:4:17: organization.projects[1].limit: there is no such setting"
    )
    assert second.startswith(
        "projects.d/a.yaml:5:26: organization.projects[2].models[0]: there is no model 'nope'"
    )


def test_a_name_may_be_declared_once_over_all_files(tmp_path: Path) -> None:
    main = folder(tmp_path, main=MAIN, a="providers:\n  s: {type: openai}")
    (found,) = problems(main)
    assert found.startswith("projects.d/a.yaml:2:3: providers.s: 's' is declared at ")
    assert found.endswith("main.yaml:2:13 already; keep one")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server: {port: 1}", "a.yaml:1:1: server: an included file may hold providers, models"),
        ("organization: {limits: []}", "a.yaml:1:16: organization.limits: an included file may hold"),
        ("organization: {timezone: UTC}", "a.yaml:1:16: organization.timezone: an included file may hold"),
        ("organization: {projects: x}", "a.yaml:1:26: organization.projects: expected a list of projects"),
        ("providers: x", "a.yaml:1:12: providers: expected settings"),
        ("[1]", "a.yaml:1:1: expected settings (key: value); an included file may hold"),
        ("a: [", "a.yaml:2:1: this is not valid YAML"),
    ],
)
def test_a_teams_file_cannot_change_how_the_gateway_runs(tmp_path: Path, text: str, expected: str) -> None:
    (found,) = problems(folder(tmp_path, main=MAIN, a=text))
    assert expected in found


def test_faults_of_several_files_are_told_at_once(tmp_path: Path) -> None:
    main = folder(
        tmp_path, main=MAIN + "servr: {}", a="b: 1", c="a: [", d="organization: {projects: [{nam: x}]}"
    )
    assert [line.split(": ")[0] for line in problems(main)] == [
        "main.yaml:3:1",
        "projects.d/a.yaml:1:1",
        "projects.d/c.yaml:2:1",
        "projects.d/d.yaml:1:27",
        "projects.d/d.yaml:1:28",
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("nobody.yaml", "there is no file 'nobody.yaml' beside this one"),
        ("projects.d", "'projects.d' is a folder; write 'projects.d/*.yaml'"),
        ("'*.yaml'", "includes itself; name other files"),
        ("main.yaml", "includes itself; name other files"),
        ("''", "not a file name"),
    ],
)
def test_an_include_that_leads_nowhere_is_refused(tmp_path: Path, pattern: str, expected: str) -> None:
    main = folder(tmp_path, main=f"include: [{pattern}]\nproviders: {{s: {{type: sandbox}}}}")
    (found,) = problems(main)
    assert found.startswith("main.yaml:1:11: include[0]: ")
    assert expected in found


def test_a_pattern_may_find_nothing_yet(tmp_path: Path) -> None:
    assert load(folder(tmp_path, main=MAIN)).files == [str(tmp_path / "main.yaml")]


def test_a_circle_of_includes_is_refused(tmp_path: Path) -> None:
    main = folder(tmp_path, main=MAIN, a="include: [b.yaml]", b="include: [../main.yaml, a.yaml]")
    found = problems(main)
    assert len(found) == 2
    assert all("which includes this file" in line for line in found)


def test_a_long_chain_of_includes_is_refused(tmp_path: Path) -> None:
    files = {f"f{n}": f"include: [f{n + 1}.yaml]" for n in range(400)}
    main = folder(tmp_path, main="include: [projects.d/f0.yaml]\nproviders: {s: {type: sandbox}}", **files)
    (found,) = problems(main)
    assert found == "projects.d/f14.yaml:1:11: include: more than 16 files deep"


def test_a_file_that_two_patterns_find_is_read_once(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main="include: [projects.d/a.yaml, 'projects.d/*.yaml']\nproviders: {s: {type: sandbox}}",
        a="organization: {projects: [{name: a}]}",
    )
    assert project_names(load(main)) == ["a"]


def test_included_files_include_relative_to_themselves(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main="include: [projects.d/a.yaml]",
        a="include: [b.yaml]",
        b="providers: {s: {type: sandbox}}",
    )
    assert list(load(main).settings.providers) == ["s"]


def test_an_anchor_is_not_changed_by_what_is_included(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main="include: [projects.d/a.yaml]\nproviders: &p {s: {type: sandbox}}\nmodels: {}\n",
        a="providers: {t: {type: sandbox}}",
    )
    assert list(load(main).settings.providers) == ["s", "t"]


def test_a_fault_in_one_file_hides_nothing_in_the_others(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main=MAIN + "organization: {timezone: Europe/Wien}\nserver: {port: 1, port: 2}\n",
        a="organization: {projects: [{name: a, name: b, limit: 1, models: *none}]}",
        b="providers: {t: {type: sandbox}, t: {type: sandbox}}\nmodels: {m: {targets: [{provider: u}]}}",
        c="providers: !env X",
        d="organization: {projects: [{name: a}]}",
    )
    assert [line.split(": ")[0] for line in problems(main)] == [
        "main.yaml:3:26",
        "main.yaml:4:19",
        "projects.d/a.yaml:1:37",
        "projects.d/a.yaml:1:46",
        "projects.d/a.yaml:1:64",
        "projects.d/b.yaml:1:33",
        "projects.d/c.yaml:1:12",
        "projects.d/d.yaml:1:34",
    ]


def test_a_file_that_is_no_yaml_hides_only_what_names_may_mean(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main=MAIN + "organization: {timezone: Europe/Wien}\nmodels: {m: {targets: [{provider: t}]}}\n",
        a="providers: {t: {type: sandbox}}\nproviders: {}\nmodels: [",
        b="organization: {projects: [{name: b}, {name: b}]}",
    )
    assert [line.split(": ")[0] for line in problems(main)] == [
        "main.yaml:3:26",
        "projects.d/a.yaml:2:1",
        "projects.d/a.yaml:4:1",
        "projects.d/b.yaml:1:45",
    ]


def test_files_that_a_repeated_include_names_are_read_too(tmp_path: Path) -> None:
    main = folder(
        tmp_path,
        main="include: [projects.d/a.yaml]\ninclude: [projects.d/b.yaml]\n"
        "models: {m: {targets: [{provider: s}]}}\n",
        a="organization: {}",
        b="providers: {s: {type: sandbox}}\nx: 1",
    )
    assert [line.split(": ")[0] for line in problems(main)] == ["main.yaml:2:1", "projects.d/b.yaml:2:1"]


def test_a_folder_that_cannot_be_listed_is_a_fault_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    """Else a volume that is away for a moment would take every team's keys with it."""
    (tmp_path / "main.yaml").write_text(MAIN)
    assert project_names(load(tmp_path / "main.yaml")) == []
    (tmp_path / "projects.d").symlink_to("projects.d")
    (found,) = problems(tmp_path / "main.yaml")
    assert found.startswith("main.yaml:1:11: include[0]: the folder ")
    assert "cannot be listed" in found
