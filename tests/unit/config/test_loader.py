"""From a file to settings, or to everything that is wrong with it."""
# ruff: noqa: E501 (a row of a table of faults is one line)

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import config
from config.accounts.openai import OpenAIProvider
from config.loader import ConfigErrors, Loaded, Problem, load
from config.secrets import SecretRef

TODAY = date(2026, 11, 20)


def loaded(path: Path, text: str, **environ: str) -> Loaded:
    path.write_text(text, encoding="utf-8")
    return load(path, environ=environ, today=TODAY)


def problems(path: Path, text: str) -> list[str]:
    """The lines of the refusal, without the folder of the file."""
    with pytest.raises(ConfigErrors) as caught:
        loaded(path, text)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def outcome_of(path: Path) -> Loaded | list[Problem]:
    """Anything else that ``load`` raises is a fault of the loader."""
    try:
        return load(path, environ={}, today=TODAY)
    except ConfigErrors as errors:
        return errors.problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.yaml"


def test_the_embedded_default_serves_openai_and_the_sandbox_for_ten_dollars_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = load(None, environ={"OPENAI_API_KEY": "x"}, today=TODAY)
    assert {name: account.type for name, account in result.settings.providers.items()} == {
        "openai": "openai",
        "sandbox": "sandbox",
    }
    assert [(limit.spend_usd, limit.per) for limit in result.settings.organization.limits] == [(10, "day")]
    assert result.settings.storage.database == "sqlite:///data/imagegate.db"
    assert result.base == tmp_path
    assert (result.warnings, result.unset) == ([], [])


def test_paths_start_from_the_folder_of_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    loaded(file, "providers: {s: {type: sandbox}}")
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = load(Path("../c.yaml"))
    assert result.base.resolve() == tmp_path
    assert result.origin == "../c.yaml"


def test_dollars_are_exactly_what_was_written(file: Path) -> None:
    text = "providers: {s: {type: sandbox}}\norganization: {limits: [{spend_usd: 0.1, per: day}]}"
    amount = loaded(file, text).settings.organization.limits[0].spend_usd
    assert (str(amount), type(amount)) == ("0.1", Decimal)


def test_yaml_1_1_does_not_creep_in(file: Path) -> None:
    text = """
providers: {s: {type: sandbox}}
models: {m: {targets: [{provider: s, model: sandbox}], defaults: {user: 16:9}}}
organization:
  projects: [{name: no, labels: {day: 2026-11-20, answer: yes}}]
"""
    result = loaded(file, text).settings
    assert result.models is not None
    assert result.models["m"].defaults == {"user": "16:9"}
    assert result.organization.projects[0].name == "no"
    assert result.organization.projects[0].labels == {"day": "2026-11-20", "answer": "yes"}


def test_all_errors_are_told_at_once_each_at_its_place(file: Path) -> None:
    assert problems(
        file,
        """servr: {}
server: {port: 99999}
providers:
  oai: {type: openai, api_key: sk-plain-secret}
  local:
    type: openai-compatible
    base_url: http://127.0.0.1:1/v1
    edit: true
models:
  hero:
    targets: [{provider: lokal}]
routing: {deadline: soon}
organization:
  timezone: Europe/Wien
  limits: [{spend_usd: 1, per: fortnight}]
""",
    ) == [
        "c.yaml:1:1: servr: there is no such setting. Did you mean server? Settings here: server, include, "
        "upstream, providers, models, catalog, routing, normalization, organization, spool, storage, "
        "media and telemetry",
        "c.yaml:2:16: server.port: must be less than or equal to 65535",
        "c.yaml:4:32: providers.oai.api_key: a secret is written env:NAME or file:PATH, never as its own value",
        "c.yaml:8:5: providers.local.edit: there is no such setting. Did you mean edits? Settings here: "
        "max_in_flight, max_queue, prices, cost_source, billed_on_error, api_keys, type, base_url, api_key, "
        "headers and edits",
        "c.yaml:11:26: models.hero.targets[0].provider: no provider is called 'lokal'. Did you mean local? "
        "Declared: oai and local",
        "c.yaml:12:21: routing.deadline: expected a duration such as 280s, got 'soon'",
        "c.yaml:14:13: organization.timezone: there is no time zone 'Europe/Wien'; write one such as "
        "Europe/Vienna. Did you mean Europe/Vienna?",
        "c.yaml:15:32: organization.limits[0].per: expected 'minute', 'hour', 'day', 'week', 'month', 'quarter', "
        "'year' or 'total'.",
    ]


def test_a_duplicate_key_and_eight_other_errors_are_nine_problems(file: Path) -> None:
    found = problems(
        file,
        """server: {port: 99999, host: *nobody, port: 1}
providers:
  oai: {type: openai, api_key: !vault sk-plain-secret}
  local: {type: openai-compatible, base_url: "http://127.0.0.1:1/v1", edit: true}
models:
  hero:
    targets: [{provider: lokal}]
routing: {deadline: soon}
organization:
  timezone: Europe/Wien
  limits: [{spend_usd: .inf, per: day}]
""",
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["c.yaml:1:16", "server.port"],
        ["c.yaml:1:29", "server.host"],
        ["c.yaml:1:38", "server.port"],
        ["c.yaml:3:32", "providers.oai.api_key"],
        ["c.yaml:4:71", "providers.local.edit"],
        ["c.yaml:7:26", "models.hero.targets[0].provider"],
        ["c.yaml:8:21", "routing.deadline"],
        ["c.yaml:10:13", "organization.timezone"],
        ["c.yaml:11:24", "organization.limits[0].spend_usd"],
    ]
    assert "'port' stands here twice" in found[2]
    assert "sk-plain-secret" not in "".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "providers: {a: {type: sandbox}}\nproviders: {b: {type: sandbox}}\nmodels: {m: {targets: [{provider: b}]}}",
        "providers: {a: &a {type: sandbox}, b: {<<: *a}}\nmodels: {m: {targets: [{provider: b}]}}",
        "providers: *nobody\nmodels: {m: {targets: [{provider: b}]}}",
        "providers: {a: {type: *nobody, base_url: x}}",
        "providers:\n  ? \n  : {type: sandbox}\nmodels: {m: {targets: [{provider: b}]}}",
        "models: *nobody\nnormalization: {default_model: m}",
        "models: {m: {targets: *nobody}}\nnormalization: {default_model: m}",
        "organization: {projects: [{name: a, keys: [{name: k, key: *nobody}]}]}",
        "organization: {projects: [{name: a, keys: [{name: k, *nobody : x}]}]}",
        "organization: {limits: [{images: 1, per: day}, {images: 1, per: day, shadow: *nobody}]}",
        "include: *nobody\nmodels: {m: {targets: [{provider: b}]}}",
        "!settings {providers: {a: {type: sandbox}}}",
        "*nobody",
    ],
)  # fmt: skip
def test_one_fault_of_the_yaml_is_one_problem(file: Path, text: str) -> None:
    assert len(problems(file, text)) == 1


def _values(node: yaml.Node) -> Iterator[tuple[int, int]]:
    """Where each value of a document begins and ends."""
    values = [pair[1] for pair in node.value] if isinstance(node, yaml.MappingNode) else []
    for value in node.value if isinstance(node, yaml.SequenceNode) else values:
        last = value
        while not isinstance(last, yaml.ScalarNode) and not last.flow_style:
            last = last.value[-1][1] if isinstance(last, yaml.MappingNode) else last.value[-1]
        yield value.start_mark.index, last.end_mark.index
        yield from _values(value)


@pytest.mark.parametrize("name", ["openai", "azure", "compatible"])
def test_any_value_that_cannot_be_read_is_one_problem_and_causes_no_other(file: Path, name: str) -> None:
    text = (Path(config.__file__).parent / "examples" / f"{name}.yaml").read_text(encoding="utf-8")
    places = list(_values(yaml.compose(text, Loader=yaml.SafeLoader)))
    assert len(places) > 5
    for start, end in places:
        assert len(problems(file, f"{text[:start]}*nobody{text[end:]}")) == 1


def test_a_fault_of_a_provider_is_not_told_again_at_its_targets(file: Path) -> None:
    text = """
providers: {oai: {type: openai, api_kee: "env:A"}}
models: {gpt-image-2: {targets: [{provider: oai}]}}
organization: {projects: [{name: a, models: [gpt-image-2]}]}
"""
    assert len(problems(file, text)) == 1


def test_a_fault_in_one_project_keeps_the_places_of_the_next(file: Path) -> None:
    text = """
providers: {s: {type: sandbox}}
organization:
  projects:
    - {name: a, limit: []}
    - {name: b, models: [sandbix]}
"""
    first, second = problems(file, text)
    assert first.startswith(
        "c.yaml:5:17: organization.projects[0].limit: there is no such setting. Did you mean limits?"
    )
    assert second.startswith(
        "c.yaml:6:26: organization.projects[1].models[0]: there is no model 'sandbix'. Did you mean sandbox?"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a", "c.yaml:1:1: expected settings (key: value)"),
        ("hello", "c.yaml:1:1: expected settings (key: value)"),
        ("server: [1]", "c.yaml:1:9: server: expected settings (key: value)"),
        ("server:", "c.yaml:1:8: server: is empty; write a value, or remove the key"),
        ("server: {host: 8}", "c.yaml:1:16: server.host: expected text; put quotes around it"),
        ("server: {port: 80.5}", "c.yaml:1:16: server.port: expected a whole number"),
        ("server: {trusted_proxies: 10.0.0.1}", "server.trusted_proxies: expected a list"),
        ("server: {trusted_proxies: [proxy.lan]}", "server.trusted_proxies[0]: expected an address or a network"),
        ("server: {public_url: images.example}", "server.public_url: expected an address such as https://"),
        ("server: {cors_origins: ['https://a.example/']}", "server.cors_origins[0]: an origin has no path"),
        ("server: {upload: {max_file: 5 parsecs}}", "server.upload.max_file: expected a size such as 64MiB"),
        ("providers: {a: {type: opnai}}", "c.yaml:1:23: providers.a.type: there is no provider type 'opnai'. Did you mean openai?"),
        ("providers: {a: {}}", "c.yaml:1:13: providers.a: needs a type: one of azure-flux, "),
        ("providers: {'a b': {type: sandbox}}", "c.yaml:1:13: providers['a b']: a name is letters, digits"),
        ("providers: {a: {type: azure-openai, api_key: 'env:A'}}", "providers.a.base_url: is required. https://RESOURCE"),
        ("providers: {a: {type: azure-openai, base_url: 'https://a.example'}}", "providers.a: needs exactly one of api_key and entra_token"),
        ("providers: {a: {type: azure-openai, api_key: 'env:A', base_url: 'https://a.example/openai/v1'}}", "leave /openai and what follows out"),
        ("providers: {a: {type: openai, base_url: 'https://me:pw@a.example/v1'}}", "providers.a.base_url: holds a user or a password"),
        ("providers: {a: {type: openai, base_url: 'ftp://a.example'}}", "providers.a.base_url: expected an address"),
        ("providers: {a: {type: openai, base_url: 'https://a.example/v1?x=1'}}", "leave out what follows the path"),
        ("providers: {a: {type: openai-compatible, base_url: 'http://a/v1', headers: {Authorization: Bearer x}}}", "providers.a.headers.Authorization: holds a secret"),
        ("providers: {a: {type: openai-compatible, base_url: 'http://a/v1', headers: {'A B': x}}}", "is not a header's name"),
        ("providers: {a: {type: openai-compatible, base_url: 'http://a/v1', headers: {A: \"x\\ny\"}}}", "printable ASCII on one line"),
        ("models: {m: {targets: []}}", "models.m.targets: needs at least one entry"),
        ("providers: {a: {type: sandbox}}\nmodels: {'m m': {targets: [{provider: a}]}}", "a model's name is printable ASCII without spaces"),
        ("storage: {database: 'postgres://u@h/d'}", "storage.database: write postgresql+asyncpg://"),
        ("storage: {database: 'postgresql+asyncpg://u:pw@h/d'}", "storage.database: holds a password; put the whole address"),
        ("storage: {database: 'postgresql+asyncpg://h'}", "storage.database: expected postgresql+asyncpg://USER@HOST"),
        ("storage: {database: 'postgresql+asyncpg://h/d?sslMode=require'}", "storage.database: what follows ? can be sslmode, "),
        ("storage: {database: 'mysql://h/d'}", "storage.database: expected sqlite:///PATH or postgresql+asyncpg"),
        ("storage: {database: 'sqlite://'}", "storage.database: expected sqlite:///PATH of a file"),
        ("storage: {database: 'sqlite:///:memory:'}", "storage.database: expected sqlite:///PATH of a file"),
        ("normalization: {default_model: nope}", "normalization.default_model: there is no model 'nope'"),
        ("normalization: {legacy_models: nope}", "normalization.legacy_models: there is no model 'nope'"),
        ("normalization: {mode: loose}", "normalization.mode"),
        ("organization: {projects: [{name: a, normalization: {report: mail}}]}", "normalization.report"),
        ("providers: {s: {type: sandbox}}\nmodels: {sandbox: {targets: [{provider: s}], defaults: {aspect_ratio: wide}}}", "defaults.aspect_ratio: expected a ratio such as 16:9"),
        ("providers: {s: {type: sandbox}}\nmodels: {sandbox: {targets: [{provider: s}], defaults: {resolution: 16:9}}}", "defaults.resolution: expected a tier such as 2K"),
        ("providers: {s: {type: sandbox}}\nmodels: {sandbox: {targets: [{provider: s}], defaults: {fit: wide}}}", "defaults.fit: expected none, cover or contain"),
        ("organization: {limits: [{spend_usd: 9000001, per: day}]}", "must be less than or equal to 9000000"),
        ("organization: {limits: [{spend_usd: -1, per: day}]}", "expected dollars such as 10 or 0.50"),
        ("organization: {limits: [{spend_usd: true, per: day}]}", "expected dollars such as 10 or 0.50"),
        ("organization: {limits: [{spend_usd: 0.0000000001, per: day}]}", "expected dollars such as 10 or 0.50"),
        ("organization: {limits: [{per: day}]}", "organization.limits[0]: needs exactly one of spend_usd, images,"),
        ("organization: {timezone: ../etc/passwd}", "organization.timezone: there is no time zone"),
    ],
)  # fmt: skip
def test_each_fault_says_what_to_do(file: Path, text: str, expected: str) -> None:
    found = problems(file, text)
    assert len(found) == 1
    assert expected in found[0]


def test_no_message_shows_a_secret(file: Path) -> None:
    text = """
server: {secret: hunter2secret}
providers:
  a: {type: openai, api_key: hunter2secret}
  b: {type: openai-compatible, base_url: "http://u:hunter2secret@h/v1", headers: {api-key: hunter2secret}}
upstream: {proxy: "ftp://u:hunter2secret@proxy:3128"}
storage: {database: "postgresql+asyncpg://u:hunter2secret@h/d"}
organization: {projects: [{name: a, keys: [{name: k, key: hunter2secret}, {name: l, sha256: hunter2secret}]}]}
"""
    found = problems(file, text)
    assert len(found) == 8
    assert "hunter2secret" not in "\n".join(found)


TEAM = """
providers: {s: {type: sandbox}}
organization:
  projects:
"""


@pytest.mark.parametrize(
    ("projects", "expected"),
    [
        ("[{name: a}, {name: a}]", "projects[1].name: another project is called a; names are unique"),
        ("[{name: a}, {name: A}]", "projects[1].name: the project a has the id a too"),
        ("[{name: a, id: x}, {name: b, id: x}]", "projects[1].id: the project a has the id x too"),
        ("[{name: a, keys: [{name: k}]}]", "projects[0].keys[0]: needs exactly one of sha256 and key"),
        ("[{name: a, keys: [{name: k, key: 'env:A', sha256: " + "a" * 64 + "}]}]", "needs exactly one of sha256"),
        ("[{name: a, keys: [{name: k, sha256: ABC}]}]", "keys[0].sha256: expected 64 lower-case hex digits"),
        ("[{name: a, keys: [{name: k, key: 'env:A'}, {name: k, key: 'env:B'}]}]", "keys[1].name: another key of a"),
        ("[{name: a, keys: [{name: k, key: 'env:A'}]}, {name: b, keys: [{name: k, key: 'env:A'}]}]", "projects[1].keys[0].key: another key has the same secret"),
        ("[{name: a, models: [sandbix]}]", "models[0]: there is no model 'sandbix'. Did you mean sandbox?"),
        ("[{name: a, models: [sandbox], keys: [{name: k, key: 'env:A', models: [gpt-image-2]}]}]", "keys[0].models[0]: the project a may not use 'gpt-image-2'; a key cannot widen that"),
        ("[{name: a, models: [nobody/gpt-image-2]}]", "there is no model 'nobody/gpt-image-2'"),
    ],
)  # fmt: skip
def test_projects_and_keys_are_consistent(file: Path, projects: str, expected: str) -> None:
    (found,) = problems(file, TEAM + f"    {projects}")
    assert expected in found


def test_a_list_of_models_may_name_a_provider_and_its_model(file: Path) -> None:
    result = loaded(file, TEAM + "    [{name: a, models: [s/sandbox, sandbox]}]")
    assert result.settings.organization.projects[0].models == ["s/sandbox", "sandbox"]


DECLARED = """
providers: {openai: {type: openai}, azure: {type: azure-openai, base_url: "https://a.example", api_key: "env:A"}}
models:
"""


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("{targets: [{provider: openai, catalog: gpt-image-9}]}", "targets[0].catalog: the catalog has no model 'gpt-image-9'"),
        ("{targets: [{provider: openai}], catalog: nope}", "models.gpt-image-2.catalog: the catalog has no model 'nope'"),
        ("{targets: [{provider: openai}], defaults: {qualty: low}}", "defaults.qualty: gpt-image-2 takes no field 'qualty'. Did you mean quality?"),
        ("{targets: [{provider: openai}], defaults: {complexity: low}}", "gpt-image-2 takes no field 'complexity'"),
        ("{targets: [{provider: openai}], defaults: {quality: max}}", "gpt-image-2 accepts low, medium, high and auto."),
        ("{targets: [{provider: azure, catalog: gpt-image-2}], defaults: {output_format: webp}}", "azure/gpt-image-2 accepts png and jpeg."),
        ("{targets: [{provider: openai, model: gpt-image-1.5}], defaults: {size: 1920x1080}}", "gpt-image-1.5 accepts 1024x1024"),
        ("{targets: [{provider: openai}], defaults: {quality: [low]}}", "defaults.quality: expected text, a whole number, true or false"),
        ("{targets: [{provider: openai}], defaults: {n: 0.5}}", "defaults.n: expected text, a whole number, true or false"),
    ],
)  # fmt: skip
def test_a_model_must_be_able_to_work(file: Path, model: str, expected: str) -> None:
    (found,) = problems(file, DECLARED + f"  gpt-image-2: {model}")
    assert expected in found


def test_an_env_or_file_reference_in_a_header_is_resolved_and_not_sent_as_text(file: Path) -> None:
    text = (
        "providers: {a: {type: openai-compatible, base_url: 'http://a/v1', headers: {X: 'env:A', Y: plain}}}"
    )
    account = loaded(file, text).settings.providers["a"]
    assert account.type == "openai-compatible"
    assert account.headers == {"X": SecretRef("env:A"), "Y": "plain"}


def test_missing_secrets_are_told_and_stop_nothing(file: Path, tmp_path: Path) -> None:
    (tmp_path / "present").write_text("s3cret\n")
    text = """
providers:
  here: {type: openai, api_key: file:present}
  gone: {type: openai, api_key: file:absent}
  unset: {type: openai, api_key: env:NO_SUCH}
  set: {type: openai, api_key: env:SUCH}
storage: {database: env:NO_DATABASE}
"""
    result = loaded(file, text, SUCH="x")
    assert [line.replace(f"{tmp_path}/", "") for line in result.unset] == [
        "c.yaml:4:33: providers.gone.api_key: the file absent cannot be read: No such file or directory",
        "c.yaml:5:34: providers.unset.api_key: the environment variable NO_SUCH is not set",
        "c.yaml:7:21: storage.database: the environment variable NO_DATABASE is not set",
    ]
    assert result.warnings == []


def test_the_first_start_misses_no_secret(file: Path) -> None:
    assert loaded(file, "providers: {s: {type: sandbox}}").unset == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("models: {}", "no provider is configured"),
        ("upstream: {proxy: 'http://u:p@proxy:3128'}", "upstream.proxy: holds a password in plain text"),
        ("", "no provider is configured"),
        ("providers: {a: {type: azure-openai, base_url: 'https://a.example', api_key: 'env:A'}}", "azure-openai serves no model by itself"),
        ("providers: {s: {type: sandbox}, o: {type: openai}}\nmodels: {sandbox: {targets: [{provider: s}]}}", "providers.o: no model has a target here"),
        ("providers: {s: {type: sandbox}}\nmodels: {}", "no model is declared"),
        ("providers: {o: {type: openai}}\nmodels: {gpt-image-22: {targets: [{provider: o}]}}", "the catalog knows no model 'gpt-image-22'. Did you mean gpt-image-2?"),
        ("providers: {a: {type: azure-openai, base_url: 'https://a.example', api_key: 'env:A'}}\nmodels: {img: {targets: [{provider: a}]}}", "nothing is known of the deployment 'img'"),
        ("providers: {o: {type: openai}}\nmodels: {dall-e-3: {targets: [{provider: o}]}}", "dall-e-3 was shut down on 2026-05-12; its successor is gpt-image-2.5-sunburst"),
        ("providers: {o: {type: openai}}\norganization: {projects: [{name: a, models: [gpt-image-1]}]}", "projects[0].models[0]: gpt-image-1 was shut down on 2026-10-23; its successor is"),
    ],
)  # fmt: skip
def test_what_will_not_work_well_is_a_warning(file: Path, text: str, expected: str) -> None:
    assert any(expected in warning for warning in loaded(file, text, A="x").warnings)


UNPRICED = """
providers: {local: {type: openai-compatible, base_url: "http://127.0.0.1:1/v1"}}
models: {flux: {targets: [{provider: local}]}, priced: {targets: [{provider: local, catalog: gpt-image-2}]}}
"""


@pytest.mark.parametrize(
    ("organization", "warned"),
    [
        ("{}", False),
        ("{limits: [{spend_usd: 1, per: day}]}", True),
        ("{projects: [{name: a, limits: [{spend_usd: 1, per: day}]}]}", True),
        ("{projects: [{name: a, models: [priced], limits: [{spend_usd: 1, per: day}]}]}", False),
        ("{projects: [{name: a, keys: [{name: k, key: 'env:K', limits: [{spend_usd: 1, per: day}]}]}]}", True),
        ("{projects: [{name: a, keys: [{name: k, key: 'env:K', models: [priced], limits: [{spend_usd: 1, per: day}]}]}]}", False),
    ],
)  # fmt: skip
def test_an_unknown_price_is_a_warning_where_a_dollar_limit_applies(
    file: Path, organization: str, warned: bool
) -> None:
    warnings = loaded(file, UNPRICED + f"organization: {organization}", K="x").warnings
    assert ["the price of 'flux' is not known" in warning for warning in warnings] == (
        [True] if warned else []
    )


def test_time_makes_warnings_and_never_errors(file: Path) -> None:
    text = """
providers: {openai: {type: openai}}
models: {gpt-image-1.5: {targets: [{provider: openai}]}}
organization: {limits: [{spend_usd: 1, per: day}], projects: [{name: a, models: [gpt-image-1.5]}]}
"""
    file.write_text(text)
    assert load(file, today=date(2026, 11, 30)).warnings == []
    later = load(file, today=date(2030, 1, 1)).warnings
    assert any("gpt-image-1.5 was shut down on 2026-12-01" in warning for warning in later)
    assert any("was last verified" in warning for warning in later)


def test_the_data_folder_takes_the_database_and_the_secret_along(file: Path) -> None:
    moved = loaded(file, "providers: {s: {type: sandbox}}\nstorage: {data: /srv/ig}").settings
    assert moved.storage.database == "sqlite:////srv/ig/imagegate.db"
    assert moved.server.secret == SecretRef("file:/srv/ig/secret")
    kept = loaded(
        file, "providers: {s: {type: sandbox}}\nstorage: {data: /srv/ig, database: 'sqlite:///x.db'}"
    ).settings
    assert kept.storage.database == "sqlite:///x.db"


@pytest.mark.parametrize("name", ["absent.yaml", "", "a\0b"])
def test_a_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / name)
    assert "cannot be read" in str(caught.value)


def test_a_default_that_stands_in_no_file_is_placed_at_its_section(file: Path) -> None:
    (line,) = loaded(file, "providers:\n  o: {type: openai}").unset
    assert ":2:3: providers.o: the environment variable OPENAI_API_KEY is not set" in line


def test_escape_codes_in_a_file_do_not_reach_the_terminal(file: Path) -> None:
    found = problems(file, 'providers: {s: {type: sandbox, "\\e[31mred\\u202e": 1}}\n"\\a": 2')
    assert len(found) == 2
    assert all(line.isprintable() and line.isascii() for line in found)


_WORDS = st.sampled_from(
    [
        *[
            "server",
            "providers",
            "models",
            "organization",
            "include",
            "storage",
            "limits",
            "projects",
            "keys",
        ],
        *["type", "openai", "sandbox", "env:A", "spend_usd", "per", "day", "name", "targets", "provider"],
        *[
            "0.1",
            "1e9",
            "16:9",
            "no",
            "~",
            "&a",
            "*a",
            "<<",
            "!!int",
            "- ",
            ": ",
            "\n",
            "\n  ",
            "{",
            "}",
            "[",
            "]",
        ],
        *[
            ", ",
            "'",
            '"',
            "#",
            "%",
            "|",
            ">",
            "?",
            "---",
            "...",
            "\\",
            "\t",
            "\x85",
            "\u2028",
            "é",
            "0x",
            "../*",
        ],
    ]
)
_TEXTS = st.text(max_size=80) | st.lists(_WORDS, max_size=40).map("".join)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("include: ['*']").via("the file includes itself")
@example('include: ["\\0*", "[", ""]').via("patterns that are no file names")
@example("storage: {database: 'postgresql+asyncpg://[x/d'}").via("an address that cannot be split")
@example("providers: {a: {type: openai, base_url: 'http://[::1:99999999/v1'}}").via(
    "an address that cannot be split"
)
@example('organization: {timezone: "\\ud800"}').via("a lone surrogate")
@given(_TEXTS)
def test_any_text_is_settings_or_a_list_of_problems(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    outcome = outcome_of(file)
    assert isinstance(outcome, Loaded) or outcome
    for problem in [] if isinstance(outcome, Loaded) else outcome:
        assert (problem.line >= 1, problem.column >= 1, bool(problem.message)) == (True, True, True)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_any_bytes_are_settings_or_a_list_of_problems(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    outcome = outcome_of(file)
    assert isinstance(outcome, Loaded) or outcome


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_settings_or_a_list_of_problems(file: Path, data: st.DataObject) -> None:
    text = (
        DECLARED
        + "  gpt-image-2: {targets: [{provider: openai}, {provider: azure, catalog: gpt-image-2}]}\n"
        + "organization:\n  timezone: UTC\n  limits: [{spend_usd: 0.5, per: day}]\n  projects:\n"
        + "    - {name: a, models: [gpt-image-2], keys: [{name: k, key: env:K, models: [gpt-image-2]}]}\n"
    )
    start = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 12))
    file.write_text(text[:start] + data.draw(_WORDS | st.just("")) + text[start + cut :], encoding="utf-8")
    outcome = outcome_of(file)
    assert isinstance(outcome, Loaded) or outcome


def test_a_name_that_pydantic_may_take_for_a_union_tag_keeps_its_place(file: Path) -> None:
    (found,) = problems(file, "providers:\n  openai:\n    type: openai\n    openai: 1")
    assert found.startswith("c.yaml:4:5: providers.openai.openai: there is no such setting")


def test_an_openai_account_needs_no_more_than_its_type(file: Path) -> None:
    account = loaded(file, "providers: {o: {type: openai}}").settings.providers["o"]
    assert account == OpenAIProvider(type="openai", api_key=SecretRef("env:OPENAI_API_KEY"))


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="cannot be read: Is a directory"):
        load(Path(os.fspath(tmp_path)))


def test_defaults_may_say_a_size_in_every_form_that_callers_may(file: Path) -> None:
    file.write_text(
        "providers: {s: {type: sandbox}}\n"
        "models:\n"
        "  sandbox: {targets: [{provider: s}], defaults: {aspect_ratio: '16:9', resolution: 2K, fit: cover}}\n"
        "  poster: {targets: [{provider: s, model: sandbox}], defaults: {size: '3:2'}}\n"
    )
    loaded = load(file)
    assert loaded.settings.models is not None
    assert loaded.settings.models["poster"].defaults == {"size": "3:2"}
