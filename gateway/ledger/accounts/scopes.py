"""Whom a credit is for: from an operator's words to the name of the scope's counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import Connection, select

from gateway.errors import InvalidRequest, NotFound
from gateway.ledger.entries import end_user_digest
from gateway.ledger.tables import api_keys

WORDS = "organization, project:NAME, key:ID or user:KEY_ID:END_USER"


@dataclass(frozen=True, slots=True)
class CreditScope:
    """``text`` is that of ``gateway.quota.terms.Scope``, which names counters; a test holds them equal."""

    text: str
    project_id: str | None = None
    key_id: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Declared:
    """What the config file declares: project ids by name, and whose each key id is."""

    projects: Mapping[str, str]
    key_projects: Mapping[str, str]


def read_scope(connection: Connection, words: str, model: str | None, declared: Declared) -> CreditScope:
    """Raises :class:`InvalidRequest` and :class:`NotFound`."""
    level, _, rest = words.partition(":")
    if words == "organization":
        return CreditScope(_joined("org", model=model), model=model)
    if level == "project" and rest:
        project = _project(rest, declared)
        return CreditScope(_joined("project", project, model=model), project, model=model)
    if level == "key" and rest:
        project = _project_of(connection, rest, declared)
        return CreditScope(_joined("key", project, rest, model=model), project, rest, model)
    key, _, end_user = rest.partition(":")
    if level == "user" and key and end_user:
        project = _project_of(connection, key, declared)
        text = _joined("user", project, key, end_user_digest(end_user), model=model)
        return CreditScope(text, project, key, model)
    raise InvalidRequest(f"'scope' is one of {WORDS}.", param="scope")


def _project(given: str, declared: Declared) -> str:
    if given in declared.projects:
        return declared.projects[given]
    if not declared.projects or given in declared.projects.values():
        return given
    raise NotFound(
        f"There is no project '{given}'; the config declares {', '.join(declared.projects)}.", param="scope"
    )


def _project_of(connection: Connection, key_id: str, declared: Declared) -> str:
    known = declared.key_projects.get(key_id)
    if known is None:
        known = connection.scalar(select(api_keys.c.project_id).where(api_keys.c.key_id == key_id))
    if known is None:
        raise NotFound(
            f"There is no key '{key_id}'; 'imagegate keys list' shows the ids, and one that the config file "
            "declares is PROJECT_ID/NAME.",
            param="scope",
        )
    return known


def _joined(*parts: str, model: str | None) -> str:
    text = ":".join(quote(part, safe="") for part in parts)
    return text if model is None else f"{text}@{quote(model, safe='')}"
