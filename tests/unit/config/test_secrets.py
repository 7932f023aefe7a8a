"""References to secrets: late, redacted, and clear about what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.secrets import Secret, SecretMissing, SecretRef


def test_a_variable_is_resolved_without_its_newline() -> None:
    assert SecretRef("env:K").resolve(environ={"K": "sk-1\n"}) == Secret("sk-1")


def test_a_relative_file_starts_from_the_base(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("sk-2\n")
    assert SecretRef("file:k").resolve(tmp_path).reveal() == "sk-2"
    assert SecretRef(f"file:{tmp_path}/k").resolve(Path("/")).reveal() == "sk-2"


@pytest.mark.parametrize("text", ["sk-123", "", "env:", "file: ", "vault:x"])
def test_a_plain_value_is_no_reference_and_is_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="a secret is written env:NAME or file:PATH") as caught:
        SecretRef(text)
    assert "sk-123" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for text, expected in (
        ("env:NOBODY", "the environment variable NOBODY is not set"),
        ("file:absent", "the file absent cannot be read: No such file or directory"),
        ("file:empty", "the file empty is empty"),
        ("file:binary", "the file binary is not text"),
        ("file:.", "the file . cannot be read: Is a directory"),
    ):
        with pytest.raises(SecretMissing) as caught:
            SecretRef(text).resolve(tmp_path, {})
        assert str(caught.value) == expected


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("sk-visible")
    assert "sk-visible" not in f"{secret} {secret!r} {[secret]}"
