"""Who is speaking, on every metric and span, and by which words."""

from __future__ import annotations

import socket

from opentelemetry.sdk.resources import Resource

from gateway.version import VERSION

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
"""Which version of the semantic conventions the names are of: always this one. The switch of instrumentation
libraries, ``OTEL_SEMCONV_STABILITY_OPT_IN``, is not read."""


def resource() -> Resource:
    """``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` of the environment come on top."""
    own = {"service.instance.id": socket.gethostname(), "service.version": VERSION}
    named = Resource.create(own)
    if str(named.attributes.get("service.name", "")).startswith("unknown_service"):
        named = named.merge(Resource({"service.name": "imagegate"}))
    return named
