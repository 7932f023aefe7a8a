"""What the YAML may say of the side that clients see: where the gateway listens, what it takes of a body."""

from __future__ import annotations

from pydantic import Field

from config.drain import DrainSettings
from config.secrets import SecretRef
from config.units import Bytes, Seconds, Strict


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
    watch: bool = Field(
        True,
        description="Whether changes of this file, of included ones and of files with secrets are taken over "
        "while serving. Without it only SIGHUP and imagegate reload do that.",
    )
