from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from gateway.errors import InvalidRequest
from gateway.ledger.keyformat import digest
from gateway.ledger.ledger import Ledger
from gateway.ledger.tables import api_keys
from tests.unit.ledger.entries import NOON, request

PEPPER = b"a pepper of a test"


async def test_a_key_is_found_by_its_digest_and_only_under_its_pepper(ledger: Ledger) -> None:
    expires = datetime.now(UTC) + timedelta(days=30)
    record, key = await ledger.keys.create(
        name="ci", project_id="proj_growth", pepper=PEPPER, expires_at=expires, models=["gpt-image-2", "hero"]
    )
    assert await ledger.keys.find(digest(key, PEPPER)) == record
    assert (record.expires_at, record.models, record.redacted) == (
        expires,
        ["gpt-image-2", "hero"],
        f"sk-ig-...{key[-4:]}",
    )
    assert await ledger.keys.find(digest(key, b"another pepper")) is None
    assert await ledger.keys.find(digest(key + "x", PEPPER)) is None
    assert await ledger.keys.find("'; DROP TABLE api_keys; --") is None


async def test_the_key_itself_is_nowhere_in_the_database(ledger: Ledger) -> None:
    _, key = await ledger.keys.create(name="ci", project_id="p", pepper=PEPPER)
    rows = await ledger._store.read(lambda connection: connection.execute(select(api_keys)).all())
    assert all(key not in str(value) and key[6:-4] not in str(value) for row in rows for value in row)


async def test_revoking_is_final_and_may_be_repeated(ledger: Ledger) -> None:
    record, key = await ledger.keys.create(name="ci", project_id="p", pepper=PEPPER)
    first = await ledger.keys.revoke(record.id)
    assert first is not None
    assert first.revoked_at is not None
    assert await ledger.keys.revoke(record.id) == first
    assert await ledger.keys.find(digest(key, PEPPER)) == first
    assert await ledger.keys.revoke("key_none") is None


async def test_the_list_is_in_order_and_says_when_each_was_last_used(ledger: Ledger) -> None:
    assert await ledger.keys.any() is False
    first, _ = await ledger.keys.create(name="a", project_id="p", pepper=PEPPER)
    second, _ = await ledger.keys.create(name="b", project_id="p", pepper=PEPPER)
    await ledger.record(request("r1", key_id=second.id, received_at=NOON - timedelta(days=1)))
    await ledger.record(request("r2", key_id=second.id))
    listed = await ledger.keys.list()
    assert [(key.id, key.last_used_at) for key in listed] == [(first.id, None), (second.id, NOON)]
    assert await ledger.keys.any() is True


async def test_a_revoked_key_is_still_a_key_that_was_made(ledger: Ledger) -> None:
    record, _ = await ledger.keys.create(name="a", project_id="p", pepper=PEPPER)
    await ledger.keys.revoke(record.id)
    assert await ledger.keys.any() is True


async def test_a_key_as_made_is_a_key_as_stored_with_a_name_as_long_as_may_be(ledger: Ledger) -> None:
    begun = datetime.now(UTC)
    record, key = await ledger.keys.create(name="x" * 128, project_id="p", pepper=PEPPER)
    other, _ = await ledger.keys.create(name="y", project_id="p", pepper=PEPPER)
    assert (record.name, record.project_id, record.models) == ("x" * 128, "p", None)
    assert (record.expires_at, record.revoked_at, record.last_used_at) == (None, None, None)
    assert begun <= record.created_at <= datetime.now(UTC)
    assert (record.id[:4], len(record.id)) == ("key_", 28)
    assert await ledger.keys.find(digest(key, PEPPER)) == record
    assert await ledger.keys.list() == [record, other]
    revoked = await ledger.keys.revoke(record.id)
    assert revoked is not None
    assert (await ledger.keys.list())[1] == other
    assert revoked.revoked_at is not None
    assert begun <= revoked.revoked_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"project_id": ""}, "project_id"),
        ({"models": []}, "models"),
        ({"models": [""]}, "models"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(
    ledger: Ledger, changes: dict[str, object], param: str
) -> None:
    fields: dict[str, object] = {"name": "a", "project_id": "p", "pepper": PEPPER}
    with pytest.raises(InvalidRequest) as refused:
        await ledger.keys.create(**(fields | changes))  # type: ignore[arg-type]
    assert refused.value.param == param
    assert await ledger.keys.any() is False
