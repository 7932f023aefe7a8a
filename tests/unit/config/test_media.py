"""Where links lead: what fits together, and what is told of what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.loader import ConfigErrors, Loaded, load

S3 = "s3://pictures/kept"


def loaded(folder: Path, *, place: str = S3, lifetime: str = "1h", keep: str = "30d", **s3: object) -> Loaded:
    file = folder / "gateway.yaml"
    media = {"link_lifetime": lifetime, "keep": keep, "s3": s3}
    file.write_text(
        "providers: {sandbox: {type: sandbox}}\n"
        f"storage: {{media: '{place}'}}\n"
        f"media: {json.dumps(media)}\n"
    )
    return load(file)


def refused(folder: Path, **words: object) -> str:
    with pytest.raises(ConfigErrors) as wrong:
        loaded(folder, **words)  # type: ignore[arg-type]
    return str(wrong.value)


@pytest.mark.parametrize("lifetime", ["1s", "1h", "7d"])
def test_presigned_links_work_for_up_to_a_week(tmp_path: Path, lifetime: str) -> None:
    assert loaded(tmp_path, links="presigned", lifetime=lifetime).warnings == []


@pytest.mark.parametrize("lifetime", ["999ms", "8d"])
def test_no_other_lifetime_can_be_signed(tmp_path: Path, lifetime: str) -> None:
    told = refused(tmp_path, links="presigned", lifetime=lifetime)
    assert "media.link_lifetime: a presigned URL works for 1 second to 7 days" in told
    assert loaded(tmp_path, links="gateway", lifetime=lifetime).warnings == []


def test_a_folder_has_no_links_of_its_own(tmp_path: Path) -> None:
    told = refused(tmp_path, links="presigned", place="file:data/media")
    assert "media.s3.links: presigned URLs are a bucket's: write storage.media: s3://BUCKET/PREFIX" in told


def test_a_link_is_one_of_two_kinds(tmp_path: Path) -> None:
    assert "media.s3.links" in refused(tmp_path, links="public")


@pytest.mark.parametrize("endpoint", ["minio:9000", "https://key:secret@minio", "https://", "ftp://minio"])
def test_an_endpoint_is_an_address_without_keys(tmp_path: Path, endpoint: str) -> None:
    told = refused(tmp_path, endpoint=endpoint)
    assert "media.s3.endpoint" in told
    assert "secret@" not in told


@pytest.mark.parametrize(
    "endpoint", ["https://files.example/store", "https://a:b@files.example", "files.example"]
)
def test_a_public_endpoint_is_an_origin(tmp_path: Path, endpoint: str) -> None:
    told = refused(tmp_path, links="presigned", public_endpoint=endpoint)
    assert "media.s3.public_endpoint: expected an origin: https:// or http://, a host" in told
    assert "a:b" not in told


def test_text_of_a_wrong_form_is_told_its_form(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        "providers: {aws: {type: bedrock, region: Oregon}}\n"
        "media: {fetch: {private_origins: ['https://files.intern/here']}}\n"
    )
    with pytest.raises(ConfigErrors) as wrong:
        load(file)
    assert "providers.aws.region: expected text of the form ^[a-z]{2}" in str(wrong.value)
    assert "media.fetch.private_origins[0]: expected an origin" in str(wrong.value)


def test_links_over_plain_http_are_warned_of(tmp_path: Path) -> None:
    (told,) = loaded(tmp_path, links="presigned", endpoint="http://minio:9000").warnings
    assert "media.s3.endpoint: presigned links to it are plain http" in told
    (told,) = loaded(tmp_path, links="presigned", public_endpoint="http://s3.example").warnings
    assert "media.s3.public_endpoint: presigned links to it are plain http" in told
    for here in ("http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"):
        assert loaded(tmp_path, links="presigned", endpoint=here).warnings == []
    behind = {"endpoint": "http://minio:9000", "public_endpoint": "https://s3.example"}
    assert loaded(tmp_path, links="presigned", **behind).warnings == []


def test_a_public_endpoint_that_no_link_uses_is_warned_of(tmp_path: Path) -> None:
    (told,) = loaded(tmp_path, public_endpoint="https://s3.example").warnings
    assert "media.s3.public_endpoint: has no use" in told
