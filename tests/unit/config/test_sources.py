"""What a configuration was read from, and that a change of any of it is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.loader import ConfigErrors, load
from config.sources import Sources

GATEWAY = """
include: [teams/*.yaml]
upstream: {ca_file: ca.pem}
providers:
  up: {type: openai, api_key: "file:keys/openai"}
storage: {database: "file:keys/database"}
"""

NAMES = ("gateway.yaml", "teams/one.yaml", "keys/openai", "keys/database", "ca.pem")


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    for name, text in {
        "gateway.yaml": GATEWAY,
        "teams/one.yaml": "organization: {projects: [{name: one}]}",
        "keys/openai": "sk-1",
        "keys/database": "sqlite:///here.db",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "gateway.yaml"


def test_everything_that_was_read_is_a_source(gateway: Path) -> None:
    found = load(gateway).sources
    names = {os.path.relpath(each, gateway.parent) for each in found.files}
    assert names == {*NAMES, "data/secret"}
    assert found.patterns == {str(gateway.parent / "teams/*.yaml")}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["written", "moved", "gone"])
def test_a_change_of_any_of_them_is_seen(gateway: Path, name: str, how: str) -> None:
    file = gateway.parent / name
    file.touch()
    sources = load(gateway).sources
    before = sources.signature()
    assert sources.signature() == before
    if how == "written":
        file.write_text(f"{file.read_text()} ")
    elif how == "gone":
        file.unlink()
    else:  # of the same length and time, as a copy that keeps them is
        other = file.with_suffix(".new")
        other.write_text(file.read_text())
        os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
        os.replace(other, file)
    assert sources.signature() != before


def test_a_file_that_comes_to_fit_a_pattern_is_seen(gateway: Path) -> None:
    sources = load(gateway).sources
    before = sources.signature()
    (gateway.parent / "teams" / "two.yaml").write_text("")
    assert sources.signature() != before


def test_files_behind_a_link_that_is_put_in_another_s_place_are_seen(tmp_path: Path) -> None:
    """As a ConfigMap and a Secret are changed."""
    for name, text in (("..1", "providers: {}"), ("..2", "providers: {}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "gateway.yaml").symlink_to("..data/gateway.yaml")
    sources = load(tmp_path / "gateway.yaml").sources
    before = sources.signature()
    (tmp_path / "..data_tmp").symlink_to("..2")
    os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    assert sources.signature() != before


@pytest.mark.parametrize("text", ["a: [", "includ: []", "include: [teams/one.yaml, none.yaml]"])
def test_what_was_read_is_known_of_a_configuration_with_faults_too(gateway: Path, text: str) -> None:
    gateway.write_text(text)
    with pytest.raises(ConfigErrors) as caught:
        load(gateway)
    assert str(gateway) in caught.value.sources.files
    if "teams" in text:
        assert str(gateway.parent / "none.yaml") in caught.value.sources.patterns


def test_a_file_that_is_missing_can_be_waited_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path / "gateway.yaml")
    before = caught.value.sources.signature()
    (tmp_path / "gateway.yaml").write_text("")
    assert caught.value.sources.signature() != before


def test_the_digest_is_of_the_contents_and_not_of_where_they_lie(gateway: Path, tmp_path: Path) -> None:
    one = load(gateway)
    (tmp_path / "other").mkdir()
    for folder in ("teams", "keys"):
        (tmp_path / "other" / folder).symlink_to(tmp_path / folder)
    (tmp_path / "other" / "gateway.yaml").write_bytes(gateway.read_bytes())
    assert load(tmp_path / "other" / "gateway.yaml").digest == one.digest
    (tmp_path / "keys" / "openai").write_text("sk-2")
    assert load(gateway).digest == one.digest
    (tmp_path / "teams" / "one.yaml").write_text("organization: {projects: [{name: two}]}")
    assert load(gateway).digest != one.digest
    assert len(one.digest) == 12


def test_sources_are_added_up() -> None:
    assert Sources(frozenset("a")) | Sources(frozenset("b"), frozenset("c")) == Sources(
        frozenset("ab"), frozenset("c")
    )
