"""``imagegate doctor`` on a bucket: tried as it is used, and left as it was found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from config.loader import load
from gateway.cli.doctor import doctor
from gateway.cli.examination import Level
from gateway.cli.media_examination import MediaExamined, examine_media
from tests.buckets import KEY, new_bucket, objects_in
from tests.servers import free_port
from tests.simulators.file_server import file_server, says


def written(folder: Path, bucket: str, *, keys: bool = True, **s3: str) -> Path:
    (folder / "key").write_text(KEY)
    file = folder / "gateway.yaml"
    named = {"access_key_id": "file:key", "secret_access_key": "file:key"} if keys else {}
    file.write_text(
        "providers: {sandbox: {type: sandbox}}\n"
        f"storage: {{media: 's3://{bucket}/kept'}}\n"
        f"media: {{s3: {json.dumps({**named, **s3})}}}\n"
    )
    return file


async def examined(file: Path) -> MediaExamined:
    loaded = load(file)
    found = await examine_media(loaded.settings, base=loaded.base)
    assert found is not None
    return found


async def test_a_bucket_that_gives_out_its_pictures_is_well(tmp_path: Path, strict_s3_server: str) -> None:
    bucket = new_bucket(strict_s3_server)
    file = written(tmp_path, bucket, endpoint=strict_s3_server, links="presigned")
    assert await examined(file) == MediaExamined(bucket, True, True, ())
    assert objects_in(strict_s3_server, bucket) == []
    file = written(tmp_path, bucket, endpoint=strict_s3_server)
    assert await examined(file) == MediaExamined(bucket, True, None, ())


async def test_one_that_looks_at_no_signature_is_told_of(tmp_path: Path, s3_server: str) -> None:
    file = written(tmp_path, new_bucket(s3_server), endpoint=s3_server, links="presigned")
    (finding,) = (await examined(file)).findings
    assert finding.level is Level.ERROR
    assert finding.text.startswith("gives pictures to links with a wrong signature")


async def test_links_that_end_with_temporary_keys_are_told_of(
    tmp_path: Path, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", KEY)
    file = written(tmp_path, new_bucket(s3_server), keys=False, endpoint=s3_server, links="presigned")
    told = [finding.text for finding in (await examined(file)).findings if finding.level is Level.WARNING]
    assert len(told) == 1
    assert told[0].startswith("presigned links are signed with temporary keys")


async def test_an_address_that_clients_cannot_use_is_told_of(tmp_path: Path, strict_s3_server: str) -> None:
    bucket = new_bucket(strict_s3_server)
    words = {"endpoint": strict_s3_server, "links": "presigned"}
    nobody = written(tmp_path, bucket, public_endpoint=f"http://127.0.0.1:{free_port()}", **words)
    found = await examined(nobody)
    (finding,) = found.findings
    assert (found.keeps, found.linked, finding.level) == (True, None, Level.WARNING)
    assert "could not be followed from here: the connection was refused" in finding.text
    async with file_server() as stranger:
        elsewhere = written(tmp_path, bucket, public_endpoint=stranger.origin, **words)
        found = await examined(elsewhere)
    (finding,) = found.findings
    assert (found.keeps, found.linked, finding.level) == (True, False, Level.ERROR)
    assert "a presigned link is answered 404" in finding.text


async def test_a_public_bucket_is_told_of(tmp_path: Path, strict_s3_server: str) -> None:
    async with file_server() as open_door:
        words = {"endpoint": strict_s3_server, "public_endpoint": open_door.origin}
        open_door.pages = _Everything()
        found = await examined(written(tmp_path, new_bucket(strict_s3_server), **words))
    (finding,) = found.findings
    assert (finding.level, finding.text.partition(":")[0]) == (Level.ERROR, "is public")


class _Everything(dict):  # type: ignore[type-arg]
    """A server that has whatever it is asked for."""

    def get(self, target: object, default: object = None) -> object:
        return says(b"picture")


async def test_a_bucket_that_cannot_be_used_is_told_of_with_its_reason(tmp_path: Path) -> None:
    found = await examined(written(tmp_path, "pictures", endpoint=f"http://127.0.0.1:{free_port()}"))
    (finding,) = found.findings
    assert (found.keeps, finding.level) == (False, Level.ERROR)
    assert finding.text.startswith("cannot be used: Generic S3 error: Error performing PUT http://127.0.0.1")
    file = written(tmp_path, "pictures")
    (tmp_path / "key").unlink()
    (finding,) = (await examined(file)).findings
    assert finding.level is Level.ERROR
    assert "the file key cannot be read" in finding.text


def test_the_command_says_it_in_a_line_and_in_json(tmp_path: Path, strict_s3_server: str) -> None:
    bucket = new_bucket(strict_s3_server)
    file = written(tmp_path, bucket, endpoint=strict_s3_server, links="presigned")
    done = CliRunner().invoke(doctor, ["--config", str(file)])
    assert done.exit_code == 0, done.output
    assert f"bucket {bucket}: keeps pictures: yes, presigned links: work\n" in done.output
    whole = json.loads(CliRunner().invoke(doctor, ["--config", str(file), "--json"]).output)
    assert whole["media"] == {"bucket": bucket, "keeps": True, "linked": True, "findings": []}
    file = written(tmp_path, "no-such-bucket", endpoint=strict_s3_server)
    done = CliRunner().invoke(doctor, ["--config", str(file)])
    assert done.exit_code == 1
    assert "keeps pictures: no, presigned links: -" in done.output


def test_a_folder_is_not_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("providers: {sandbox: {type: sandbox}}\n")
    done = CliRunner().invoke(doctor, ["--config", str(file), "--json"])
    assert json.loads(done.output)["media"] is None
    assert list(tmp_path.iterdir()) == [file]
