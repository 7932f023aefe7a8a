"""What the YAML may say of pictures that are kept and fetched: links, their store, and guarded fetching."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.secrets import SecretRef
from config.units import Bytes, Seconds, Strict

Origin = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.\[\]:_-]+/?$")]


class FetchSettings(Strict):
    """How pictures behind URLs are fetched: https only, public addresses only, each redirect judged anew."""

    max_bytes: Bytes = Field(50 * 2**20, gt=0, description="One fetched picture.")
    timeout: Seconds = Field(10.0, gt=0, le=120, description="For one picture, redirects included.")
    private_origins: list[Origin] = Field(
        [],
        description="Origins inside your own network that may be fetched all the same, such as "
        "https://files.intern:9443. Any caller can then read pictures there.",
    )


class S3Settings(Strict):
    """Where an s3:// store of media is, and its keys. Without keys, AWS's own chain is asked: environment,
    web identity, container and instance roles."""

    endpoint: str | None = Field(None, description="Of a store other than AWS, such as http://minio:9000.")
    public_endpoint: Origin | None = Field(
        None,
        description="Where clients reach the same store, if not at endpoint, such as https://s3.example.com: "
        "presigned links begin with it and are signed for it.",
    )
    links: Literal["gateway", "presigned"] = Field(
        "gateway",
        description="Where links to pictures lead: to this gateway, which reads the bucket for whoever "
        "comes, or to the bucket itself by presigned URLs.",
    )
    region: str = Field("us-east-1", description="The bucket's region.")
    access_key_id: SecretRef | None = Field(None, description="With secret_access_key.")
    secret_access_key: SecretRef | None = Field(None, description="With access_key_id.")
    path_style: bool | None = Field(
        None,
        description="ENDPOINT/BUCKET/… instead of BUCKET.ENDPOINT/…; default: where an endpoint is set.",
    )

    @model_validator(mode="after")
    def _both_keys(self) -> S3Settings:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("needs both of access_key_id and secret_access_key, or neither")
        return self


class MediaSettings(Strict):
    """Pictures that are answered as links (response_format: url)."""

    results: Literal["rehost", "pass_on"] = Field(
        "rehost",
        description="A provider's own link: fetched and served under one of ours, or passed on as it is.",
    )
    link_lifetime: Seconds = Field(
        3600.0,
        gt=0,
        description="How long a link works; OpenAI's work an hour. Presigned ones at most 7 days.",
    )
    keep: Seconds = Field(86_400.0, gt=0, description="How long a picture is kept; at least link_lifetime.")
    max_total: Bytes = Field(10 * 2**30, gt=0, description="All pictures together; beyond it the oldest go.")
    sweep_every: Seconds = Field(600.0, gt=0, description="How often old pictures are looked for.")
    fetch: FetchSettings = FetchSettings()
    s3: S3Settings = S3Settings()

    @model_validator(mode="after")
    def _kept_as_long_as_linked(self) -> MediaSettings:
        if self.keep < self.link_lifetime:
            raise ValueError("keep is shorter than link_lifetime: links would die before they expire")
        return self
