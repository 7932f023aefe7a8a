"""What the YAML may say, as typed settings. The JSON Schema for editors is made from these classes.

Every class refuses unknown keys, so that a typing error is an error and not a silent default. Numbers with
units are strings in the YAML (``280s``, ``64MiB``) and plain numbers here (seconds as float, bytes as int).
Money is ``Decimal`` dollars until it becomes integer nano-dollars in the gateway; never a float.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from config.catalog_settings import CatalogSettings
from config.drain import DrainSettings
from config.limits import AlertSettings, AllowanceSettings, UnknownSettings
from config.limits import LimitSettings as LimitSettings
from config.limits import Period as Period
from config.media import FetchSettings as FetchSettings
from config.media import MediaSettings, Origin
from config.normalization import ModelNormalizationSettings, ProjectNormalizationSettings
from config.normalization import NormalizationSettings as NormalizationSettings
from config.prices import PriceSettings
from config.routing import RoutingSettings as RoutingSettings
from config.routing import Select, WhenSettings
from config.secrets import SecretRef
from config.telemetry import TelemetrySettings
from config.units import Bytes, Seconds, Strict
from config.units import parse_seconds as parse_seconds
from config.webhooks import WebhookSettings


def _secret_or_text(value: object) -> object:
    """``env:NAME`` and ``file:PATH`` are references wherever they stand; left as text, the gateway would
    send the literal words upstream."""
    return SecretRef(value) if isinstance(value, str) and value.startswith(("env:", "file:")) else value


def _field_value(value: object) -> object:
    if not isinstance(value, str | int | bool):
        raise ValueError("expected text, a whole number, true or false")
    return value


HeaderValue = Annotated[SecretRef | str, BeforeValidator(_secret_or_text)]
FieldValue = Annotated[str | int | bool, BeforeValidator(_field_value)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]


class UploadSettings(Strict):
    """Limits on what a client may send; each is answered with 413 or 408, never with a full disk."""

    max_file: Bytes = Field(50 * 2**20, gt=0, description="One uploaded file.")
    max_request: Bytes = Field(200 * 2**20, gt=0, description="One whole request body.")
    max_parts: int = Field(64, ge=4, le=1000, description="Parts of one multipart body.")
    max_field: Bytes = Field(256 * 2**10, gt=0, description="One text part of a multipart body.")
    json_memory: Bytes = Field(
        256 * 2**20,
        gt=0,
        description="JSON bodies held at once, over all requests; one more waits for nobody and is answered "
        "503. Files of multipart edits go to disk and do not count.",
    )
    timeout: Seconds = Field(120.0, gt=0, description="From the first byte of a body to its last.")


class ServerSettings(Strict):
    """Where the gateway listens and what it believes of its neighbours."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8080, ge=0, le=65535, description="0 takes any free port.")
    public_url: str | None = Field(
        None, description="How clients reach the gateway, for links that it gives."
    )
    trusted_proxies: list[str] = Field(
        [], description="Addresses or networks whose X-Forwarded-* headers are believed."
    )
    cors_origins: list[str] = Field(
        [], description="Origins of browser pages that may call, such as https://app.example."
    )
    secret: SecretRef = Field(
        SecretRef("file:data/secret"),
        description="Keys are stored as HMACs under it. A missing data/secret is made at the first start.",
    )
    upload: UploadSettings = UploadSettings()
    max_connections: int = Field(
        4000, ge=1, description="Client connections at once; one more is answered 503 and closed."
    )
    read_stall: Seconds = Field(
        30.0, gt=0, description="A client that takes nothing of its answer for so long is cut off."
    )
    metrics_token: SecretRef | None = Field(
        None,
        description="What /metrics takes as Authorization: Bearer. Without it /metrics is told on loopback "
        "only, and not behind a proxy (trusted_proxies, public_url).",
    )
    drain: DrainSettings = DrainSettings()


class UpstreamSettings(Strict):
    """How the gateway reaches providers. The process environment (HTTPS_PROXY and the like) is not read."""

    proxy: str | None = Field(None, description="http://HOST:PORT of a forward proxy.")
    ca_file: str | None = Field(
        None, description="A PEM file of certificate authorities, instead of the built-in list."
    )
    connect_timeout: Seconds = Field(5.0, gt=0, description="To open a connection, TLS included.")
    write_timeout: Seconds = Field(
        60.0, gt=0, description="For the upstream to take a piece of the request's body."
    )
    pool_timeout: Seconds = Field(2.0, gt=0, description="To wait for a free connection.")


CostSource = Literal["catalogue", "provider"]
BILLED = (
    "What is charged where an answer says what it cost: our prices, or the answer. Both are kept; a "
    "difference over 2 % is marked price_drift."
)


class ProviderCommon(Strict):
    max_in_flight: int | None = Field(None, ge=1, description="Calls at once to this account; more wait.")
    max_queue: int = Field(
        100,
        ge=0,
        description="Calls that may wait for a place; one more, or one that would wait past its deadline, "
        "goes to the next target.",
    )
    prices: dict[str, list[PriceSettings]] = Field(
        {},
        description="What this account pays, by the provider's model name, where the catalog says another.",
    )
    cost_source: CostSource = Field("catalogue", description=BILLED)


class KeyedProvider(ProviderCommon):
    """An account that takes an API key, or several in turn."""

    api_keys: list[SecretRef] = Field(
        [],
        description="Several keys of one account, used in turn instead of api_key; one that is refused or "
        "limited is left alone for a while.",
    )

    @model_validator(mode="after")
    def _first_of_several(self) -> Self:
        """What knows of one key alone uses the first."""
        keys: list[SecretRef] = self.api_keys
        if not keys:
            return self
        if "api_key" in self.model_fields_set and getattr(self, "api_key", None) != keys[0]:
            raise ValueError("needs one of api_key and api_keys, not both")
        if len({key.text for key in keys}) < len(keys):
            raise ValueError("api_keys names a key twice")
        object.__setattr__(self, "api_key", keys[0])
        return self


class OpenAIProvider(KeyedProvider):
    """OpenAI itself."""

    type: Literal["openai"] = Field(description="Names this kind of account.")
    api_key: SecretRef = Field(SecretRef("env:OPENAI_API_KEY"), description="Sent as Authorization: Bearer.")
    base_url: str = Field(
        "https://api.openai.com/v1",
        description="Change it for a residency host, such as https://eu.api.openai.com/v1.",
    )
    organization: str | None = Field(None, description="Sent as OpenAI-Organization.")
    project: str | None = Field(None, description="Sent as OpenAI-Project.")


class AzureResource(KeyedProvider):
    """One Microsoft Foundry resource, by a key or by a token of Entra ID."""

    api_key: SecretRef | None = Field(None, description="Sent as api-key.")
    entra_token: SecretRef | None = Field(
        None, description="Sent as Authorization: Bearer, instead of a key."
    )

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if (self.api_key is None) == (self.entra_token is None):
            raise ValueError("needs exactly one of api_key and entra_token")
        return self


class AzureOpenAIProvider(AzureResource):
    """One Azure OpenAI (Microsoft Foundry) resource. Its models are deployments with names of your own, so
    each stands under ``models:`` with a ``catalog:`` that says what it is."""

    type: Literal["azure-openai"] = Field(description="Names this kind of account.")
    base_url: str = Field(description="https://RESOURCE.openai.azure.com, without /openai.")
    form: Literal["v1", "deployments"] = Field(
        "v1", description="v1: /openai/v1/images/…; deployments: /openai/deployments/NAME/images/…"
    )
    api_version: str | None = Field(
        None, description="Default: none on v1, 2025-04-01-preview on deployments."
    )


class AzureFluxProvider(AzureResource):
    """Black Forest Labs' models on a Microsoft Foundry resource, by their own route."""

    type: Literal["azure-flux"] = Field(description="Names this kind of account.")
    base_url: str = Field(description="https://RESOURCE.services.ai.azure.com, without a path.")
    api_key: SecretRef | None = Field(None, description="Sent as Authorization: Bearer.")
    api_version: str = Field("preview", description="Sent as api-version.")
    paths: dict[str, str] = Field(
        {},
        description="Deployments that are not called as their model, with the model's place in the address: "
        "my-flux: flux-2-pro.",
    )


class AzureMAIProvider(AzureResource):
    """Microsoft's own image models (MAI) on a Foundry resource. A deployment with a name of your own stands
    under ``models:`` with a ``catalog:`` that says what it is."""

    type: Literal["azure-mai"] = Field(description="Names this kind of account.")
    base_url: str = Field(description="https://RESOURCE.services.ai.azure.com, without a path.")
    api_version: str | None = Field(None, description="Default: none is sent.")


class OpenAICompatibleProvider(KeyedProvider):
    """Any server that speaks OpenAI's Images API. Its models stand under ``models:``."""

    type: Literal["openai-compatible"] = Field(description="Names this kind of account.")
    base_url: str = Field(description="Up to and including /v1, as an OpenAI SDK would take it.")
    api_key: SecretRef | None = Field(
        None, description="Sent as Authorization: Bearer; none for a server without keys."
    )
    headers: dict[str, HeaderValue] = Field(
        {}, description="Fixed headers sent with every call; a value may be env:NAME or file:PATH."
    )
    edits: bool = Field(True, description="Whether it serves /images/edits.")


class XAIProvider(KeyedProvider):
    """xAI: Grok Imagine."""

    type: Literal["xai"] = Field(description="Names this kind of account.")
    api_key: SecretRef = Field(SecretRef("env:XAI_API_KEY"), description="Sent as Authorization: Bearer.")
    base_url: str = Field("https://api.x.ai/v1", description="Up to and including /v1.")
    cost_source: CostSource = Field("provider", description=BILLED)


HarmCategory = Literal[
    "HARASSMENT",
    "HATE_SPEECH",
    "SEXUALLY_EXPLICIT",
    "DANGEROUS_CONTENT",
    "IMAGE_HARASSMENT",
    "IMAGE_HATE",
    "IMAGE_SEXUALLY_EXPLICIT",
    "IMAGE_DANGEROUS_CONTENT",
]
HarmThreshold = Literal[
    "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"
]
_SAFETY = "From which likelihood on Google blocks a category; what is left out is Google's own default."


class GeminiProvider(KeyedProvider):
    """Google's Gemini API."""

    type: Literal["gemini"] = Field(description="Names this kind of account.")
    api_key: SecretRef = Field(SecretRef("env:GEMINI_API_KEY"), description="Sent as x-goog-api-key.")
    base_url: str = Field(
        "https://generativelanguage.googleapis.com/v1beta", description="Up to and including the version."
    )
    safety: dict[HarmCategory, HarmThreshold] = Field({}, description=_SAFETY)


class VertexProvider(ProviderCommon):
    """Gemini image models on Google Cloud (Vertex AI). Without a token or a key it takes Application Default
    Credentials. All but access_token need the extra imagegate[vertex]."""

    type: Literal["vertex"] = Field(description="Names this kind of account.")
    project: str = Field(min_length=1, description="The Google Cloud project's id.")
    location: str = Field(
        "global",
        pattern=r"^[a-z][a-z0-9-]{0,40}$",
        description="A region, us, eu or global; most image models are only in global.",
    )
    base_url: str | None = Field(None, description="Default: the location's own host.")
    service_account_key: SecretRef | None = Field(None, description="The JSON key of a service account.")
    access_token: SecretRef | None = Field(
        None, description="Sent as Authorization: Bearer as it is; such tokens last an hour."
    )
    safety: dict[HarmCategory, HarmThreshold] = Field({}, description=_SAFETY)
    imagen: bool = Field(
        False,
        description="Whether models called imagen-… may be asked for, for accounts that still have them.",
    )

    @model_validator(mode="after")
    def _one_credential(self) -> VertexProvider:
        if self.service_account_key is not None and self.access_token is not None:
            raise ValueError("needs one of service_account_key and access_token, not both")
        return self


class BedrockProvider(KeyedProvider):
    """AWS Bedrock in one region. Calls are signed with AWS credentials (the extra imagegate[bedrock]) unless
    there is a Bedrock API key."""

    type: Literal["bedrock"] = Field(description="Names this kind of account.")
    region: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", description="Such as us-west-2, which has all its models."
    )
    api_key: SecretRef | None = Field(
        None, description="A Bedrock API key, sent as Authorization: Bearer instead of a signature."
    )
    access_key_id: SecretRef | None = Field(
        None,
        description="With secret_access_key. Without these and api_key, AWS's own chain is asked: "
        "environment, shared files, web identity, container and instance roles.",
    )
    secret_access_key: SecretRef | None = Field(None, description="With access_key_id.")
    session_token: SecretRef | None = Field(None, description="Of temporary keys.")
    profile: str | None = Field(None, description="A profile of AWS's shared files, instead of keys.")
    base_url: str | None = Field(
        None, description="Default: https://bedrock-runtime.REGION.amazonaws.com; or a FIPS or VPC endpoint."
    )

    @model_validator(mode="after")
    def _one_credential(self) -> BedrockProvider:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("needs both of access_key_id and secret_access_key, or neither")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token goes with access_key_id and secret_access_key")
        given = [name for name in ("api_key", "access_key_id", "profile") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"needs one of {' and '.join(given)}, not both")
        return self


class OpenRouterEndpoints(Strict):
    """Which of the providers behind OpenRouter may serve, in its own names (google-vertex)."""

    only: list[str] | None = Field(None, description="No others.")
    order: list[str] | None = Field(None, description="These first.")
    ignore: list[str] | None = Field(None, description="None of these.")
    sort: Literal["price", "throughput", "latency"] | None = Field(
        None, description="By what OpenRouter chooses."
    )
    allow_fallbacks: bool | None = Field(
        None, description="Whether OpenRouter tries another one by itself; default: it does."
    )


class OpenRouterProvider(KeyedProvider):
    """OpenRouter: models of many makers under one key, named author/model."""

    type: Literal["openrouter"] = Field(description="Names this kind of account.")
    api_key: SecretRef = Field(
        SecretRef("env:OPENROUTER_API_KEY"), description="Sent as Authorization: Bearer."
    )
    base_url: str = Field("https://openrouter.ai/api/v1", description="Up to and including /v1.")
    cost_source: CostSource = Field("provider", description=BILLED)
    referer: str | None = Field(None, description="Sent as HTTP-Referer: names your application there.")
    title: str | None = Field(None, description="Sent as X-OpenRouter-Title.")
    endpoints: OpenRouterEndpoints = OpenRouterEndpoints()


class CloudflareProvider(KeyedProvider):
    """Cloudflare Workers AI."""

    type: Literal["cloudflare"] = Field(description="Names this kind of account.")
    account_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The account's id, as its dashboard shows it."
    )
    api_key: SecretRef = Field(
        SecretRef("env:CLOUDFLARE_API_TOKEN"),
        description="An API token that may use Workers AI, sent as Authorization: Bearer.",
    )
    base_url: str = Field("https://api.cloudflare.com/client/v4", description="Up to and including /v4.")
    reject_if_busy: bool = Field(
        False,
        description="Whether a call that finds no capacity is refused at once, to be tried elsewhere, "
        "instead of queued. FLUX.2 has no way to be told.",
    )


class SandboxProvider(ProviderCommon):
    """Draws pictures in the process: no key, no network, no cost."""

    type: Literal["sandbox"] = Field(description="Names this kind of account.")
    latency: Seconds = Field(1.0, description="How long a picture takes; 0 for tests.")
    lenient: bool = Field(
        False, description="Draw a grey tile for an input that is no picture, instead of a 400."
    )


ProviderSettings = Annotated[
    OpenAIProvider
    | AzureOpenAIProvider
    | AzureFluxProvider
    | AzureMAIProvider
    | OpenAICompatibleProvider
    | XAIProvider
    | OpenRouterProvider
    | CloudflareProvider
    | GeminiProvider
    | VertexProvider
    | BedrockProvider
    | SandboxProvider,
    Field(discriminator="type"),
]


def provider_types() -> list[str]:
    """The types of accounts there are."""
    accounts = get_args(get_args(ProviderSettings)[0])
    return [get_args(account.model_fields["type"].annotation)[0] for account in accounts]


class TargetSettings(Strict):
    """One provider and that provider's own model."""

    provider: Name = Field(description="A name under providers.")
    model: str | None = Field(None, description="The provider's model or deployment name; default: ours.")
    catalog: str | None = Field(
        None,
        description="The catalog entry that describes it, where the name does not say (Azure deployments).",
    )
    prices: list[PriceSettings] = Field([], description="What this target costs, where it is not as known.")
    priority: int = Field(
        1, ge=1, le=100, description="Targets of a lower number are all tried before those of a higher one."
    )
    weight: int = Field(
        1, ge=1, le=1000, description="With select: weighted, its share of the calls among its equals."
    )
    when: WhenSettings | None = Field(None, description="Used only for calls that these conditions fit.")


class ModelSettings(Strict):
    """A name that clients send, and what stands behind it."""

    targets: list[TargetSettings] = Field(
        min_length=1, description="What may serve it, in the order of select."
    )
    select: Select = Field(
        "priority",
        description="Which of the targets of one priority comes first: as they stand, by weight, the fastest "
        "or the cheapest.",
    )
    defaults: dict[str, FieldValue] = Field({}, description="Fields used where the caller sent none.")
    resolve_auto: bool | None = Field(
        None,
        description="Whether defaults for size and quality also take the place of auto, so that what a call "
        "can cost is known exactly; default: where a dollar limit applies.",
    )
    catalog: str | None = Field(None, description="The catalog entry callers are validated against.")
    normalization: ModelNormalizationSettings = ModelNormalizationSettings()


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


class SpoolSettings(Strict):
    """Where the bytes of answers wait until they are delivered."""

    memory: Bytes = Field(64 * 2**20, description="Bytes of answers kept in memory, over all requests.")
    max_answer: Bytes = Field(
        512 * 2**20, gt=0, description="One upstream answer; more is refused and recorded."
    )
    directory: str | None = Field(
        None, description="For answers beyond the memory budget; default: the system's temporary folder."
    )


class StorageSettings(Strict):
    """What outlives the process."""

    database: str = Field(
        "sqlite:///data/imagegate.db",
        description="The ledger: sqlite:///PATH or postgresql+asyncpg://…, or the env:NAME or file:PATH "
        "that holds it.",
    )
    quota: str = Field(
        "local",
        description="The counters of limits: local (in the process, rebuilt from the ledger at start), or "
        "redis://HOST:PORT/DB for more than one replica, or the env:NAME or file:PATH that holds that.",
    )
    allowance: AllowanceSettings = AllowanceSettings()
    media: str = Field(
        "file:data/media",
        description="Pictures that are answered as links: file:FOLDER, or s3://BUCKET/PREFIX for more than "
        "one replica (needs the extra imagegate[storage]; media.s3 says where and with which keys).",
    )
    data: str = Field(
        "data",
        description="Folder for the lock file and the first key; the database, server.secret and the folder "
        "of media move with it unless they are set.",
    )


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
