"""Buckets on the tests' S3 servers, and what lies in them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

KEY = "test"
"""An access key's id and its secret, which both servers take."""

_numbers = itertools.count()


def s3_client(server: str) -> Any:
    session = pytest.importorskip("botocore.session").get_session()
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": KEY}
    return session.create_client("s3", "us-east-1", endpoint_url=server, **keys)


def new_bucket(server: str) -> str:
    """The name of an empty one that no other test of this process uses."""
    name = f"pictures-{next(_numbers)}"
    s3_client(server).create_bucket(Bucket=name)
    return name


def objects_in(server: str, bucket: str) -> list[str]:
    """The keys of all that lies there, uploads that never ended included."""
    client = s3_client(server)
    whole = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    begun = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [entry["Key"] for entry in (*whole, *begun)]
