"""Who is asking: the scopes a key belongs to and what it may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config.limits import LimitSettings
from config.normalization import ProjectNormalizationSettings


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated key with its project. ``models`` None means every model of the gateway. Its limits are
    those of ``project_id`` and ``key_id`` in :class:`gateway.quota.of_settings.LimitBook`.

    ``end_user_header`` (lower case) names the end user where the call does not, ``tags`` are the names that
    ``x-imagegate-tags`` may hold; ``labels`` and ``external_key_id`` are for reports.
    """

    key_id: str
    key_name: str
    project_id: str
    project_name: str
    models: frozenset[str] | None = None
    key_limits: Sequence[LimitSettings] = ()
    project_limits: Sequence[LimitSettings] = ()
    end_user_header: str | None = None
    tags: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    external_key_id: str | None = None
    normalization: ProjectNormalizationSettings = field(default_factory=ProjectNormalizationSettings)
    providers_header: Sequence[str] = ()
    """What ``x-imagegate-providers`` may do: ``prefer``, ``exclude``."""
    drills: bool = False
    """Whether ``x-imagegate-drill`` may make attempts fail."""

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models
