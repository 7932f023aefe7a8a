"""What the YAML may say of who calls: the organization, its projects, their keys."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from config.limits import AlertSettings, LimitSettings, UnknownSettings
from config.media import Origin
from config.normalization import ProjectNormalizationSettings
from config.secrets import SecretRef
from config.units import Name, Strict
from config.webhooks import WebhookSettings


class KeySettings(Strict):
    """A key declared in the file: by its sha256, or by reference to the secret itself."""

    name: Name = Field(description="Unique within its project.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="sha256 of the key, in hex.")
    key: SecretRef | None = Field(None, description="env:NAME or file:/path that holds the key.")
    models: list[str] | None = Field(None, description="Narrows the project's list.")
    limits: list[LimitSettings] = Field([], description="For this key alone.")
    end_user_limits: list[LimitSettings] = Field([], description="For each end user of this key.")
    external_key_id: str | None = Field(
        None, max_length=256, description="Your own id for it, in reports; default: the project's."
    )

    @model_validator(mode="after")
    def _one_secret(self) -> KeySettings:
        if (self.sha256 is None) == (self.key is None):
            raise ValueError("needs exactly one of sha256 and key")
        return self


class ProjectSettings(Strict):
    """A team or an application: its keys, what they may use and what they may spend together."""

    name: Name = Field(description="Unique.")
    id: Name | None = Field(None, description="Counters belong to it; default: a slug of the name.")
    labels: dict[str, str] = Field({}, description="Words of your own, such as a cost center, for reports.")
    external_key_id: str | None = Field(
        None, max_length=256, description="Your own id for the project, in reports."
    )
    tags: list[Name] = Field(
        [], description="Names that x-imagegate-tags may hold, besides the organization's."
    )
    end_user_header: str | None = Field(
        None,
        description="The header that names the end user where safety_identifier and user do not, such as "
        "x-openwebui-user-id.",
    )
    models: list[str] | None = Field(None, description="The public names it may use; default: all.")
    normalization: ProjectNormalizationSettings = ProjectNormalizationSettings()
    providers_header: list[Literal["prefer", "exclude"]] = Field(
        [],
        description="What the request header x-imagegate-providers may do: put providers first (azure), "
        "leave them out (-azure or !azure).",
    )
    drills: bool = Field(
        False,
        description="Whether the request header x-imagegate-drill may make attempts fail (azure=overloaded, "
        "timeout@1), to see what follows. No provider is called then.",
    )
    webhook: WebhookSettings | None = Field(
        None, description="Told when a call that was made with Prefer: respond-async is complete."
    )
    limits: list[LimitSettings] = Field([], description="For all keys of the project together.")
    end_user_limits: list[LimitSettings] = Field(
        [], description="For each end user of each key. Calls that name nobody count together as one."
    )
    keys: list[KeySettings] = Field([], description="Keys declared here; others are made at run time.")

    @property
    def project_id(self) -> str:
        """What counters and ledger rows belong to: the id, else the name in lower case, with ``-`` for all
        that is neither letter nor digit."""
        return self.id or re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


class OrganizationSettings(Strict):
    """The whole deployment."""

    name: str = Field("default", description="Shown in reports.")
    timezone: str = Field("UTC", description="IANA name, such as Europe/Vienna; days and months begin in it.")
    limits: list[LimitSettings] = Field([], description="For all projects together.")
    tags: list[Name] = Field(
        [], description="Names that the request header x-imagegate-tags may hold: team=red, run=7."
    )
    alerts: AlertSettings | None = Field(None, description="A webhook for alerts.")
    webhook_origins: list[Origin] = Field(
        [],
        description="Origins inside your own network that projects' webhooks may lie at, such as "
        "https://hooks.intern:9443; all others must be https at a public address.",
    )
    unknown: UnknownSettings = UnknownSettings()
    projects: list[ProjectSettings] = Field([], description="Projects declared here; read-only at run time.")
