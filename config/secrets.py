"""References to secrets (``env:NAME``, ``file:/path``) and the redacting value they resolve to.

A plain secret in the YAML is refused: it would end up in version control, in a shell's history and in a
config dump. Nothing here ever prints a value.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


class SecretMissing(LookupError):
    """The reference names nothing that exists. ``source`` is the variable or file, safe to show."""

    def __init__(self, source: str, what: str, *, in_file: bool = True) -> None:
        super().__init__(what)
        self.source = source
        self.in_file = in_file

    @property
    def remedy(self) -> str:
        """A sentence for whoever meets it at a running gateway, which watches files and knows no other
        environment than the one that it was started with."""
        if self.in_file:
            return "Write it there; within seconds it is used"
        return "Set it and start the gateway again"


class Secret:
    """A value that never shows itself; ``reveal()`` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class SecretRef:
    """``env:NAME`` or ``file:PATH``, as written. Resolved late, so that a missing one is an error of the
    model that needs it and not of the whole start."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        if not text.startswith(("env:", "file:")) or len(text.split(":", 1)[1].strip()) == 0:
            raise ValueError("a secret is written env:NAME or file:PATH, never as its own value")
        self.text = text

    @property
    def scheme(self) -> str:
        return self.text.split(":", 1)[0]

    @property
    def source(self) -> str:
        """The variable's name or the file's path."""
        return self.text.split(":", 1)[1].strip()

    def resolve(self, base: Path | None = None, environ: Mapping[str, str] | None = None) -> Secret:
        """The value, stripped of one trailing newline. ``base`` is where relative files start. Raises
        :class:`SecretMissing` when it is absent or empty."""
        if self.scheme == "env":
            value = (os.environ if environ is None else environ).get(self.source, "").strip()
            if not value:
                raise SecretMissing(
                    self.source, f"the environment variable {self.source} is not set", in_file=False
                )
            return Secret(value)
        path = (base or Path()) / self.source
        try:
            value = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            reason = error.strerror or "it cannot be opened"
            raise SecretMissing(self.source, f"the file {self.source} cannot be read: {reason}") from None
        except ValueError:
            raise SecretMissing(self.source, f"the file {self.source} is not text") from None
        if not value:
            raise SecretMissing(self.source, f"the file {self.source} is empty")
        return Secret(value)

    def __repr__(self) -> str:
        return f"SecretRef({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretRef) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: object) -> SecretRef:
            if isinstance(value, SecretRef):
                return value
            if not isinstance(value, str):
                raise ValueError("a secret is written env:NAME or file:PATH")
            return cls(value)

        return core_schema.no_info_plain_validator_function(
            check, serialization=core_schema.plain_serializer_function_ser_schema(lambda ref: ref.text)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^(env|file):.*\S", "examples": ["env:OPENAI_API_KEY"]}
