"""What the YAML may say, as typed settings. The JSON Schema for editors is made from these classes.

Every class refuses unknown keys, so that a typing error is an error and not a silent default. Numbers with
units are strings in the YAML (``280s``, ``64MiB``) and plain numbers here (seconds as float, bytes as int).
Money is ``Decimal`` dollars until it becomes integer nano-dollars in the gateway; never a float.
"""

from __future__ import annotations

from pydantic import Field

from config.accounts.kinds import ProviderSettings
from config.catalog_settings import CatalogSettings
from config.media import MediaSettings
from config.models import ModelSettings
from config.normalization import NormalizationSettings
from config.organization import OrganizationSettings
from config.routing import RoutingSettings
from config.server import ServerSettings
from config.storage_settings import SpoolSettings, StorageSettings
from config.telemetry import TelemetrySettings
from config.units import Name, Strict
from config.upstream import UpstreamSettings


class Settings(Strict):
    """One whole configuration."""

    server: ServerSettings = ServerSettings()
    include: list[str] = Field(
        [], description="Further files (globs, relative to this one): providers, models, catalog, projects."
    )
    upstream: UpstreamSettings = UpstreamSettings()
    providers: dict[Name, ProviderSettings] = Field(
        {}, description="Upstream accounts, by a name of your own."
    )
    models: dict[str, ModelSettings] | None = Field(
        None, description="Absent: every catalog model of the configured providers. Present: only these."
    )
    catalog: list[CatalogSettings] = Field(
        [], description="Models of your own, and corrections of what the packaged catalog says."
    )
    routing: RoutingSettings = RoutingSettings()
    normalization: NormalizationSettings = NormalizationSettings()
    organization: OrganizationSettings = OrganizationSettings()
    spool: SpoolSettings = SpoolSettings()
    storage: StorageSettings = StorageSettings()
    media: MediaSettings = MediaSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
