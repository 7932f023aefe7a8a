"""Who is asking: the scopes a key belongs to and what it may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from config.schema import LimitSettings


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated key with its project. ``models`` None means every model of the gateway."""

    key_id: str
    key_name: str
    project_id: str
    project_name: str
    models: frozenset[str] | None = None
    key_limits: Sequence[LimitSettings] = ()
    project_limits: Sequence[LimitSettings] = ()

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models
