"""Who is let in, who is not, and that all who are not hear the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from config.schema import Settings
from gateway.api import auth
from gateway.api.auth import REMEMBERED, Authenticator, masked
from gateway.api.failed_keys import ALLOWED, WINDOW
from gateway.errors import GatewayError, Unauthenticated
from gateway.ledger.keyformat import new_key
from tests.unit.api.serving import KEY, NARROW_KEY, PEPPER, FakeKeys, settings_with

ADDRESS = "192.0.2.1"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(keys: FakeKeys, clock: Clock) -> Authenticator:
    return Authenticator(settings_with(), keys, PEPPER, clock=clock)


def bearer(key: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key.encode("latin-1")}


async def refused(authenticator: Authenticator, headers: dict[bytes, bytes]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await authenticator.authenticate(headers, ADDRESS)
    return caught.value


@pytest.mark.parametrize(
    "headers",
    [bearer(KEY), {b"authorization": b"bearer   " + KEY.encode()}, {b"api-key": KEY.encode()}],
    ids=["bearer", "lower case", "azure"],
)
async def test_a_declared_key_is_let_in_without_asking_the_store(
    authenticator: Authenticator, keys: FakeKeys, headers: dict[bytes, bytes]
) -> None:
    caller = await authenticator.authenticate(headers, ADDRESS)
    assert (caller.key_name, caller.project_id, caller.models) == ("ci", "growth-team", None)
    assert keys.look_ups == 0


async def test_a_key_from_a_file_or_variable_is_known_by_its_value(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sk-from-a-file\n")
    declared = [
        {"name": "f", "key": "file:secret"},
        {"name": "v", "key": "env:TEAM_KEY"},
        {"name": "gone", "key": "env:NOBODY_SET_THIS"},
    ]
    project = {"name": "p", "models": ["a", "b"], "keys": declared}
    settings = Settings.model_validate({"organization": {"projects": [project]}})
    authenticator = Authenticator(settings, FakeKeys(), PEPPER, tmp_path, {"TEAM_KEY": "sk-from-env"})
    assert (await authenticator.authenticate(bearer("sk-from-a-file"), ADDRESS)).key_name == "f"
    caller = await authenticator.authenticate(bearer("sk-from-env"), ADDRESS)
    assert (caller.key_name, caller.models) == ("v", frozenset({"a", "b"}))


async def test_a_key_narrows_its_project(authenticator: Authenticator) -> None:
    caller = await authenticator.authenticate(bearer(NARROW_KEY), ADDRESS)
    assert caller.models == frozenset({"sandbox"})
    assert not caller.may_use("gpt-image-2")


async def test_a_stored_key_gets_the_limits_and_models_of_its_declared_project(keys: FakeKeys) -> None:
    project = {"name": "Big Team".replace(" ", "_"), "models": ["a", "b"]}
    project |= {"limits": [{"spend_usd": 5, "per": "day"}]}
    settings = Settings.model_validate({"organization": {"projects": [project]}})
    authenticator = Authenticator(settings, keys, PEPPER)
    caller = await authenticator.authenticate(bearer(keys.add("big-team", models=["b", "c"])), ADDRESS)
    assert caller.models == frozenset({"b"})
    assert [limit.per for limit in caller.project_limits] == ["day"]
    stranger = await authenticator.authenticate(bearer(keys.add("elsewhere")), ADDRESS)
    assert (stranger.project_id, stranger.project_name, stranger.models) == ("elsewhere", "elsewhere", None)


@pytest.mark.parametrize("case", ["unknown", "revoked", "expired", "foreign", "misspelt"])
async def test_f02_every_key_that_is_not_good_hears_the_same(
    authenticator: Authenticator, keys: FakeKeys, case: str
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    made: dict[str, Any] = {
        "unknown": new_key,
        "revoked": lambda: keys.add(revoked_at=long_ago),
        "expired": lambda: keys.add(expires_at=long_ago),
        "foreign": lambda: "sk-proj-" + "x" * 40,
        "misspelt": lambda: new_key()[:-1] + "!",
    }
    key = made[case]()
    error = await refused(authenticator, bearer(key))
    assert isinstance(error, Unauthenticated)
    assert error.message.replace(masked(key), "KEY") == (
        "Incorrect API key provided: KEY. Keys come from the operator of this gateway, who makes them with "
        "`imagegate keys create`."
    )
    assert (error.status, error.code, error.param, error.retryable) == (401, "invalid_api_key", None, False)
    assert error.headers["www-authenticate"] == 'Bearer realm="OpenAI API"'
    assert key not in error.message


@pytest.mark.parametrize(
    "headers",
    [{}, {b"authorization": b"Basic abc"}, {b"authorization": b"Bearer "}, {b"api-key": b" "}],
)
async def test_no_key_is_told_where_keys_come_from(
    authenticator: Authenticator, headers: dict[bytes, bytes]
) -> None:
    error = await refused(authenticator, headers)
    assert error.message.startswith("You didn't provide an API key.")
    assert "imagegate keys create" in error.message


async def test_a_misspelt_key_of_ours_is_refused_without_asking_the_store(
    authenticator: Authenticator, keys: FakeKeys
) -> None:
    await refused(authenticator, bearer(new_key()[:-1] + "!"))
    assert keys.look_ups == 0


async def test_an_answer_of_the_store_is_believed_for_a_few_seconds_only(
    authenticator: Authenticator, keys: FakeKeys, clock: Clock
) -> None:
    key = keys.add()
    for _ in range(3):
        await authenticator.authenticate(bearer(key), ADDRESS)
    assert keys.look_ups == 1
    keys.records.clear()
    await authenticator.authenticate(bearer(key), ADDRESS)
    clock.now += REMEMBERED + 0.1
    assert (await refused(authenticator, bearer(key))).status == 401
    assert REMEMBERED <= 5


async def test_a_key_made_after_it_was_refused_works_within_seconds(
    authenticator: Authenticator, keys: FakeKeys, clock: Clock
) -> None:
    key = keys.add()
    record = dict(keys.records)
    keys.records.clear()
    await refused(authenticator, bearer(key))
    await refused(authenticator, bearer(key))
    assert keys.look_ups == 1
    keys.records.update(record)
    clock.now += REMEMBERED + 0.1
    assert (await authenticator.authenticate(bearer(key), ADDRESS)).key_id == "key_0"


async def test_a_remembered_key_still_ends_when_it_expires(
    authenticator: Authenticator, keys: FakeKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = keys.add(expires_at=datetime.now(UTC) + timedelta(hours=1))
    await authenticator.authenticate(bearer(key), ADDRESS)

    class InTwoHours(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=2)

    monkeypatch.setattr(auth, "datetime", InTwoHours)
    assert (await refused(authenticator, bearer(key))).status == 401


async def test_an_address_that_guesses_is_told_to_wait_and_then_may_try_again(
    authenticator: Authenticator, keys: FakeKeys, clock: Clock
) -> None:
    for _ in range(ALLOWED):
        assert (await refused(authenticator, bearer(new_key()))).status == 401
    asked = keys.look_ups
    error = await refused(authenticator, bearer(new_key()))
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", WINDOW)
    assert keys.look_ups == asked
    assert (await authenticator.authenticate(bearer(KEY), ADDRESS)).key_name == "ci"
    assert (await authenticator.authenticate(bearer(keys.add()), "198.51.100.7")).key_name == "stored"
    clock.now += WINDOW + 1
    assert (await refused(authenticator, bearer(new_key()))).status == 401


async def test_a_key_in_use_is_not_locked_out_by_those_who_guess_beside_it(
    authenticator: Authenticator, keys: FakeKeys, clock: Clock
) -> None:
    key = keys.add()
    await authenticator.authenticate(bearer(key), ADDRESS)
    for _ in range(ALLOWED):
        await refused(authenticator, bearer(new_key()))
    clock.now += REMEMBERED + 0.1
    assert (await refused(authenticator, bearer(new_key()))).status == 429
    assert (await authenticator.authenticate(bearer(key), ADDRESS)).key_name == "stored"


async def test_a_script_with_one_wrong_key_does_not_lock_its_neighbours_out(
    authenticator: Authenticator, keys: FakeKeys
) -> None:
    wrong = new_key()
    for _ in range(5 * ALLOWED):
        assert (await refused(authenticator, bearer(wrong))).status == 401
    assert (await authenticator.authenticate(bearer(keys.add()), ADDRESS)).key_name == "stored"


@pytest.mark.parametrize("key", ["a" * 513, "sk-ü" + "é" * 40, "\x7f" * 40])
async def test_odd_keys_are_refused_and_never_shown(authenticator: Authenticator, key: str) -> None:
    error = await refused(authenticator, bearer(key))
    assert error.status == 401
    assert key not in error.message


def test_masking_keeps_the_first_8_and_last_4_of_long_keys_only() -> None:
    assert masked("sk-proj-abcdefghijklmnop") == "sk-proj-" + "*" * 12 + "mnop"
    assert masked("short") == "*****"
    assert len(masked("x" * 500)) == 44


def test_a_key_is_held_as_a_digest_only() -> None:
    authenticator = Authenticator(settings_with(), FakeKeys(), PEPPER)
    assert KEY not in repr(vars(authenticator))
    assert sha256(KEY.encode()).hexdigest() in repr(vars(authenticator))


async def test_a_caller_carries_what_its_project_says_of_it(keys: FakeKeys) -> None:
    project = {
        "name": "growth",
        "external_key_id": "cc-4711",
        "labels": {"owner": "ann"},
        "tags": ["run"],
        "end_user_header": "X-App-User",
        "keys": [
            {"name": "ci", "sha256": sha256(KEY.encode()).hexdigest()},
            {
                "name": "narrow",
                "sha256": sha256(NARROW_KEY.encode()).hexdigest(),
                "external_key_id": "cc-9",
            },
        ],
    }
    settings = Settings.model_validate({"organization": {"tags": ["team"], "projects": [project]}})
    authenticator = Authenticator(settings, keys, PEPPER)
    declared = await authenticator.authenticate(bearer(KEY), ADDRESS)
    stored = await authenticator.authenticate(bearer(keys.add("growth")), ADDRESS)
    for caller in (declared, stored):
        assert (caller.end_user_header, caller.tags) == ("x-app-user", frozenset({"team", "run"}))
        assert (caller.labels, caller.external_key_id) == ({"owner": "ann"}, "cc-4711")
    assert (await authenticator.authenticate(bearer(NARROW_KEY), ADDRESS)).external_key_id == "cc-9"
    stranger = await authenticator.authenticate(bearer(keys.add("elsewhere")), ADDRESS)
    assert (stranger.end_user_header, stranger.tags, stranger.labels) == (None, frozenset({"team"}), {})
