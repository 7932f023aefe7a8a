"""What the YAML may say of the way to the providers, whatever the account."""

from __future__ import annotations

from pydantic import Field

from config.units import Seconds, Strict


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
