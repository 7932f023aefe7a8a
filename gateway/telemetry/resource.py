"""Who is speaking, on every metric and span."""

from __future__ import annotations

import socket

from opentelemetry.sdk.resources import Resource

from gateway.version import VERSION


def resource() -> Resource:
    """``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` of the environment come on top."""
    own = {"service.instance.id": socket.gethostname(), "service.version": VERSION}
    named = Resource.create(own)
    if str(named.attributes.get("service.name", "")).startswith("unknown_service"):
        named = named.merge(Resource({"service.name": "imagegate"}))
    return named
