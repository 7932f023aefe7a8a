"""A configuration that changes while requests run: taken over wholly or not at all, never under a request."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.loader import Loaded
from config.sources import Signature, Sources
from gateway.api.config_stands import ConfigStands
from gateway.api.failed_keys import ALLOWED
from gateway.app import gateway as serving
from gateway.app import reloading
from gateway.errors import Unavailable
from gateway.quota import keeper
from tests.contract.gateway_here import KEY, Here
from tests.faults.routed import config, routed
from tests.simulators.behaviours import ok
from tests.simulators.openai_upstream import Upstream


async def changed(here: Here, text: str) -> ConfigStands:
    here.config.write_text(text)
    return await here.reloading.reload("command")


async def test_the_next_request_is_served_with_it_and_one_that_runs_as_it_began(
    start_upstream: Any, tmp_path: Path
) -> None:
    old, new = await start_upstream(), await start_upstream()
    old.plan(ok(delay=0.8))
    async with routed({"old": old}, tmp_path) as here:
        running = asyncio.create_task(here.generate())
        await sent(old)
        stands = await changed(here, config({"new": new}))
        assert (stands.version, stands.refused, stands.because) == (2, None, "command")
        assert not running.done()
        assert (await here.generate()).status_code == 200
        assert len(new.calls) == 1
        assert (await running).status_code == 200
        rows = await here.rows("attempts")
    assert [(row["provider"], row["state"]) for row in rows] == [("old", "settled"), ("new", "settled")]


async def test_a_stream_that_runs_comes_to_its_end(start_upstream: Any, tmp_path: Path) -> None:
    old, new = await start_upstream(), await start_upstream()
    old.plan(ok(delay=0.5))
    body = {"model": "gpt-image-2", "prompt": "x", "stream": True, "partial_images": 1}
    async with routed({"old": old}, tmp_path) as here:

        async def streamed() -> str:
            return (await here.client.post("/v1/images/generations", json=body)).text

        running = asyncio.create_task(streamed())
        await sent(old)
        await changed(here, config({"new": new}))
        assert "image_generation.completed" in await running
    assert not new.calls


async def test_nothing_is_lost_and_nothing_is_paid_twice_while_it_changes_again_and_again(
    start_upstream: Any, tmp_path: Path
) -> None:
    one, two = await start_upstream(), await start_upstream()
    texts = [config({"one": one}), config({"two": two}), config({"one": one, "two": two})]
    project = {"limits": [{"spend_usd": 1000, "per": "day"}]}
    texts.append(config({"two": two, "one": one}, project=project))
    async with routed({"one": one}, tmp_path) as here:

        async def ask(number: int) -> int:
            await asyncio.sleep(number * 0.02)
            return (await here.generate()).status_code

        asked = [asyncio.create_task(ask(number)) for number in range(60)]
        for turn in range(8):
            assert (await changed(here, texts[turn % len(texts)])).refused is None
            await asyncio.sleep(0.1)
        statuses = await asyncio.gather(*asked)
        rows = await here.rows("attempts")
        standing = (await here.client.get("/v1/usage")).json()
    assert statuses == [200] * 60
    assert len(one.calls) + len(two.calls) == len(rows) == 60
    assert {row["state"] for row in rows} == {"settled"}
    assert standing


@pytest.mark.parametrize(
    "fault",
    [
        "providers: [",
        "providers: {up: {type: openai, api_key: sk-plain-text}}",
        "modles: {}",
        "include: [teams/none.yaml]",
        "server: {metrics_token: 'file:no-such-file'}",
        "organization: {alerts: {webhook: 'https://x.example/', secret: 'file:no-such-file'}}",
    ],
)
async def test_what_cannot_be_served_with_changes_nothing(
    upstream: Upstream, tmp_path: Path, fault: str
) -> None:
    async with routed({"up": upstream}, tmp_path) as here:
        before = here.gateway.engine
        stands = await changed(here, fault)
        assert stands.refused is not None
        assert stands.refused.problems
        assert "sk-plain-text" not in str(stands)
        assert here.gateway.engine is before
        ready = await here.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
        assert ready.json()["config"]["refused"]["problems"] == list(stands.refused.problems)
        assert (await here.generate()).status_code == 200
        stands = await changed(here, config({"up": upstream}))
        assert (stands.version, stands.refused) == (1, None)


async def test_a_key_that_changes_in_its_file_is_used_by_the_next_call(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with routed({"up": upstream}, tmp_path) as here:
        assert (await here.generate()).status_code == 200
        kept = here.gateway.config.now.digest
        upstream.key = "sk-the-next-one"
        assert (await here.generate()).status_code == 502
        (tmp_path / "key").write_text("sk-the-next-one\n")
        stands = await here.reloading.reload("files")
        assert (stands.version, stands.digest) == (2, kept)
        # A key that was refused is left alone for a while; this is another one.
        answer = await here.generate()
        assert answer.status_code == 200, answer.text


async def test_a_key_that_changes_while_a_file_is_refused_is_used_all_the_same(
    upstream: Upstream, tmp_path: Path
) -> None:
    """Keys are exchanged by others, and the old ones end."""
    async with routed({"up": upstream}, tmp_path) as here:
        assert (await changed(here, "modles: {}")).refused is not None
        upstream.key = "sk-the-next-one"
        (tmp_path / "key").write_text("sk-the-next-one")
        stands = await here.reloading.reload("files")
        assert (stands.version, stands.refused is not None) == (2, True)
        assert (await here.generate()).status_code == 200
        (tmp_path / "key").unlink()
        stands = await here.reloading.reload("files")
        assert (stands.version, stands.refused is not None) == (2, True)
        assert (await here.generate()).status_code == 200
        (tmp_path / "key").write_text("sk-the-next-one")
        stands = await changed(here, config({"up": upstream}))
        assert (stands.version, stands.refused) == (2, None)


async def test_a_secret_that_is_gone_is_no_reason_to_switch_anything_off(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with routed({"up": upstream}, tmp_path) as here:
        (tmp_path / "key").rename(tmp_path / "elsewhere")
        stands = await here.reloading.reload("files")
        assert stands.refused is not None
        assert "file:key" in stands.refused.problems[0]
        assert (await here.generate()).status_code == 200
        (tmp_path / "elsewhere").rename(tmp_path / "key")
        assert (await here.reloading.reload("files")).refused is None


async def test_a_file_that_was_cut_off_at_its_beginning_is_no_configuration(
    upstream: Upstream, tmp_path: Path
) -> None:
    """A full disk, or a writer that was killed: without it nobody's key would be known."""
    async with routed({"up": upstream}, tmp_path) as here:
        more = tmp_path / "more.yaml"
        more.write_text("")
        text = config({"up": upstream}) + "include: [more.yaml]\n"
        assert (await changed(here, text)).refused is not None
        more.write_text("# nothing yet")
        assert (await changed(here, text)).version == 2
        stands = await changed(here, "")
        assert stands.refused is not None
        assert "is empty" in stands.refused.problems[0]
        assert (await here.generate()).status_code == 200
        assert (await changed(here, "# nothing any more")).version == 3


async def test_a_secret_that_never_was_there_is_taken_when_it_comes(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with routed({"up": upstream}, tmp_path, providers={"up": {"api_key": "file:later"}}) as here:
        refused = await here.generate()
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "model_not_configured")
        assert "within seconds" in refused.json()["error"]["message"]
        (tmp_path / "later").write_text(upstream.key)
        await here.reloading.reload("files")
        assert (await here.generate()).status_code == 200


async def test_accounts_that_did_not_change_keep_their_connections_and_what_is_known_of_them(
    start_upstream: Any, tmp_path: Path
) -> None:
    same, other = await start_upstream(), await start_upstream()
    both = {"same": same, "other": other}
    async with routed(both, tmp_path) as here:
        before = here.gateway._version.draft
        await changed(here, config(both, providers={"other": {"max_in_flight": 3}}))
        after = here.gateway._version.draft
        assert after.accounts.usable["same"] is before.accounts.usable["same"]
        assert after.accounts.usable["other"] is not before.accounts.usable["other"]
        assert after.accounts.usable["other"].line is before.accounts.usable["other"].line
        assert after.accounts.usable["other"].line.cap.now == 3
        assert (after.client, after.fetch) == (before.client, before.fetch)
        assert {id(part) for part in before.without(after)} == {id(before.accounts.usable["other"])}


async def test_calls_of_both_versions_share_the_account_s_places(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = ok(delay=0.3)
    async with routed({"up": upstream}, tmp_path, providers={"up": {"max_in_flight": 1}}) as here:
        first = asyncio.create_task(here.generate())
        await sent(upstream)
        await changed(
            here,
            config({"up": upstream}, providers={"up": {"max_in_flight": 1, "organization": "org-other"}}),
        )
        second = await here.generate()
        assert ((await first).status_code, second.status_code) == (200, 200)
    assert upstream.most_running == 1


async def test_a_limit_that_is_new_knows_what_was_spent_before_it(upstream: Upstream, tmp_path: Path) -> None:
    limit = {"limits": [{"images": 3, "per": "month"}]}
    async with routed({"up": upstream}, tmp_path) as here:
        for _ in range(3):
            assert (await here.generate()).status_code == 200
        await here.gateway.engine.running.drained(10)
        await changed(here, config({"up": upstream}, project=limit))
        refused = await here.generate()
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "images")
        await changed(here, config({"up": upstream}, project={"limits": [{"images": 4, "per": "month"}]}))
        assert (await here.generate()).status_code == 200
        assert (await here.generate()).status_code == 429
        await changed(here, config({"up": upstream}))
        assert (await here.generate()).status_code == 200
    assert len(upstream.calls) == 5


async def test_what_calls_of_before_spend_is_counted_and_is_no_drift(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold nothing under a limit that came while they ran."""
    monkeypatch.setattr(keeper, "DRIFT_SECONDS", 0.2)
    upstream.plan(ok(delay=0.5))
    limits = {
        "limits": [{"spend_usd": 100, "per": "month"}],
        "end_user_limits": [{"images": 5, "per": "month"}],
    }
    async with routed({"up": upstream}, tmp_path) as here:
        with capture_logs() as logs:
            running = asyncio.create_task(here.generate())
            await sent(upstream)
            await changed(here, config({"up": upstream}, project=limits))
            assert (await running).status_code == 200
            async with asyncio.timeout(10):
                while (await spent(here)) == 0:
                    await asyncio.sleep(0.05)
        events = {line["event"] for line in logs}
    assert "limit_learnt" in events
    assert "ledger_drift" not in events


async def spent(here: Here) -> float:
    usage = (await here.client.get("/v1/usage")).json()
    return sum(float(limit["used"]) for limit in usage["limits"] if limit["measure"] == "spend_usd")


async def test_a_key_that_was_taken_out_is_refused_and_one_that_came_is_let_in(
    upstream: Upstream, tmp_path: Path
) -> None:
    other = hashlib.sha256(b"another key of this project").hexdigest()
    async with routed({"up": upstream}, tmp_path) as here:
        assert (await here.generate()).status_code == 200
        text = config({"up": upstream})
        here.config.write_text(text.replace(hashlib.sha256(KEY.encode()).hexdigest(), other))
        await here.reloading.reload("command")
        assert (await here.generate()).status_code == 401
        here.client.headers["authorization"] = "Bearer another key of this project"
        assert (await here.generate()).status_code == 200


async def test_what_lasts_waits_for_a_restart_and_the_rest_of_the_file_does_not(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with routed({"up": upstream}, tmp_path) as here:
        stands = await changed(
            here,
            config(
                {"up": upstream},
                models={"hero": {"targets": [{"provider": "up", "model": "gpt-image-2"}]}},
                server={"port": 1, "max_connections": 5},
            ),
        )
        assert stands.waiting == ("server.max_connections", "server.port")
        names = [model["id"] for model in (await here.client.get("/v1/models")).json()["data"]]
        assert names == ["gpt-image-2", "hero"]
        told = (await here.client.get("/metrics")).text
        assert "imagegate_config_restart_pending 2.0" in told
        assert f'digest="{stands.digest}"' in told


async def test_a_call_has_the_time_that_its_version_gave_it_when_the_process_is_to_end(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with routed({"up": upstream}, tmp_path, routing={"deadline": "300s"}) as here:
        before = here.gateway.grace
        await changed(here, config({"up": upstream}, routing={"deadline": "20s"}))
        assert before - 30 < here.gateway.grace <= before
        await changed(here, config({"up": upstream}, server={"drain": {"grace": "60s"}}))
        assert here.gateway.grace == 60


async def test_what_waits_for_a_restart_makes_no_new_version_each_time(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with routed({"up": upstream}, tmp_path) as here:
        (tmp_path / "other").write_text("another secret of the gateway, long enough")
        text = config({"up": upstream}, server={"secret": "file:other"})
        stands = await changed(here, text)
        assert (stands.version, stands.waiting) == (2, ("server.secret",))
        assert (await changed(here, text)).version == 2


async def test_what_fails_while_it_is_taken_over_leaves_the_limits_of_before(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(_: object) -> None:
        raise RuntimeError

    limit = {"limits": [{"images": 3, "per": "month"}]}
    async with routed({"up": upstream}, tmp_path, project=limit) as here:
        with monkeypatch.context() as patch:
            patch.setattr(keeper.Keeper, "drift", failing)
            stands = await changed(here, config({"up": upstream}))
        assert (stands.version, stands.refused is None) == (1, False)
        # What the counters are raised to, and built anew for.
        assert here.gateway.keeping.book is here.gateway.limits
        assert (await changed(here, config({"up": upstream}))).version == 2


async def test_limits_that_could_not_be_counted_are_as_soon_as_they_can(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "RECOUNT_SECONDS", 0.1)
    counted = keeper.Keeper.drift
    failures = 3

    async def away(self: keeper.Keeper) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unavailable("The ledger is away.", code="ledger_unavailable")
        return await counted(self)

    async with routed({"up": upstream}, tmp_path) as here:
        assert (await here.generate()).status_code == 200
        await here.gateway.engine.running.drained(10)
        monkeypatch.setattr(keeper.Keeper, "drift", away)
        limit = {"limits": [{"images": 1, "per": "month"}]}
        assert (await changed(here, config({"up": upstream}, project=limit))).version == 2
        limit = {"limits": [{"images": 1, "per": "year"}]}
        assert (await changed(here, config({"up": upstream}, project=limit))).version == 3
        async with asyncio.timeout(10):
            while failures >= 0:
                await asyncio.sleep(0.05)
            assert here.gateway._recount is not None
            await here.gateway._recount
        assert (await here.generate()).status_code == 429


async def test_who_guesses_keys_is_held_back_by_every_version(upstream: Upstream, tmp_path: Path) -> None:
    async with routed({"up": upstream}, tmp_path) as here:
        mine = here.client.headers["authorization"]
        for number in range(ALLOWED):
            here.client.headers["authorization"] = f"Bearer sk-guessed-{number}"
            assert (await here.generate()).status_code == 401
        await changed(here, config({"up": upstream}, routing={"max_attempts": 2}))
        assert (await here.generate()).status_code == 429
        here.client.headers["authorization"] = mine
        assert (await here.generate()).status_code == 200


async def test_a_file_that_changes_while_it_is_first_read_is_read_again(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has looked at it before: it was not known to belong to the configuration."""
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.05)
    target = "targets: [{provider: up, model: gpt-image-2}]"
    async with routed({"up": upstream}, tmp_path) as here:
        more = tmp_path / "more.yaml"
        more.write_text(f"models: {{early: {{{target}}}}}")
        read = here.reloading._load

        def disturbed() -> Loaded:
            loaded = read()
            if "late" not in more.read_text():
                more.write_text(f"models: {{later: {{{target}}}}}")
            return loaded

        monkeypatch.setattr(here.reloading, "_load", disturbed)
        async with here.reloading.watched():
            here.config.write_text(config({"up": upstream}) + "include: [more.yaml]\n")
            async with asyncio.timeout(10):
                while "later" not in here.gateway.directory.names():
                    await asyncio.sleep(0.02)


async def test_watching_is_a_setting_that_follows_the_file_as_well(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.02)
    looks: list[Sources] = []

    def counted(sources: Sources) -> Signature:
        looks.append(sources)
        return signature(sources)

    signature = Sources.signature
    monkeypatch.setattr(Sources, "signature", counted)
    async with routed({"up": upstream}, tmp_path) as here, here.reloading.watched():
        async with asyncio.timeout(10):
            while len(looks) < 5:
                await asyncio.sleep(0.02)
            await changed(here, config({"up": upstream}, server={"watch": False}))
            await asyncio.sleep(0.1)
            del looks[:]
            await asyncio.sleep(0.3)
            assert not looks
            await changed(here, config({"up": upstream}))
            while len(looks) < 5:
                await asyncio.sleep(0.02)


async def test_a_defect_in_reading_is_told_as_a_refusal(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> Loaded:
        raise RecursionError

    async with routed({"up": upstream}, tmp_path) as here:
        monkeypatch.setattr(here.reloading, "_load", failing)
        stands = await here.reloading.reload("command")
        assert stands.refused is not None
        assert "RecursionError" in stands.refused.problems[0]


async def test_what_could_not_be_read_for_a_while_is_read_again_and_told_once(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network volume: no file that can be looked at has changed."""
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(reloading, "AGAIN_SECONDS", 0.1)
    failures = 3

    async with routed({"up": upstream}, tmp_path) as here:
        read = here.reloading._load

        def stale() -> Loaded:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise OSError(116, "Stale file handle")
            return read()

        monkeypatch.setattr(here.reloading, "_load", stale)
        with capture_logs() as logs:
            async with here.reloading.watched(), asyncio.timeout(10):
                while failures > 0:
                    await asyncio.sleep(0.02)
                while here.reloading.stands.refused is not None:
                    await asyncio.sleep(0.02)
    assert [line["event"] for line in logs if line["event"].startswith("config_")] == [
        "config_rejected",
        "config_as_before",
    ]


async def test_a_model_that_lacks_its_key_is_told_of(upstream: Upstream, tmp_path: Path) -> None:
    async with routed({"up": upstream}, tmp_path) as here:
        with capture_logs() as logs:
            await changed(here, config({"up": upstream}, providers={"up": {"api_key": "file:later"}}))
    assert any("file later" in line.get("detail", "") for line in logs if line["event"] == "config")


async def test_strangers_are_told_that_something_was_refused_and_operators_what(
    upstream: Upstream, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("metrics-token")
    async with routed({"up": upstream}, tmp_path, server={"metrics_token": "file:token"}) as here:
        await changed(here, "modles: {}")
        told = (await here.client.get("/readyz")).json()["config"]
        assert (told["version"], told["refused"]["problems"]) == (1, 1)
        assert "gateway.yaml" not in str(told)
        whole = await here.client.get("/readyz", headers={"authorization": "Bearer metrics-token"})
        assert "modles" in whole.json()["config"]["refused"]["problems"][0]


async def sent(upstream: Upstream) -> None:
    async with asyncio.timeout(10):
        while upstream.running == 0:
            await asyncio.sleep(0.01)
