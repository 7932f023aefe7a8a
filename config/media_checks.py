"""Where pictures are kept, and where their links lead: what must fit together.

Messages never quote an address: it may hold a password.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from config.addresses import check_url
from config.findings import Findings, Location
from config.schema import Settings
from config.storage import Bucket, media_place

SHORTEST = 1.0
LONGEST = 7 * 86_400.0
"""Seconds that a presigned URL may work: AWS Signature Version 4 counts whole ones, and no more than a week
(docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html)."""

_S3: Location = ("media", "s3")


def check_media(settings: Settings, findings: Findings) -> None:
    s3 = settings.media.s3
    if s3.endpoint is not None:
        check_url((*_S3, "endpoint"), s3.endpoint, findings, "keys have settings of their own")
    try:
        place = media_place(settings.storage.media, Path())
    except ValueError as wrong:
        findings.problem(("storage", "media"), str(wrong))
        return
    if s3.links == "presigned":
        _check_presigned(settings, isinstance(place, Bucket), findings)
    elif s3.public_endpoint is not None:
        findings.warn(
            (*_S3, "public_endpoint"), "has no use: with media.s3.links: gateway no link leads to the bucket"
        )


def _check_presigned(settings: Settings, in_bucket: bool, findings: Findings) -> None:
    s3, lifetime = settings.media.s3, settings.media.link_lifetime
    if not in_bucket:
        findings.problem(
            (*_S3, "links"),
            "presigned URLs are a bucket's: write storage.media: s3://BUCKET/PREFIX, or links: gateway",
        )
    if not SHORTEST <= lifetime <= LONGEST:
        findings.problem(
            ("media", "link_lifetime"),
            "a presigned URL works for 1 second to 7 days; longer links are those of media.s3.links: gateway",
        )
    seen = "public_endpoint" if s3.public_endpoint is not None else "endpoint"
    address = s3.public_endpoint or s3.endpoint
    if address is not None and urlsplit(address).scheme == "http" and not _is_here(address):
        findings.warn(
            (*_S3, seen),
            "presigned links to it are plain http: whoever is on the way can use them; give clients an "
            "https address in media.s3.public_endpoint",
        )


def _is_here(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
