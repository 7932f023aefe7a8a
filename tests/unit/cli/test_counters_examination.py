"""``imagegate doctor``: what is said of the Redis that is to count."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from gateway.cli.main import cli
from tests import redis_groups, servers
from tests.conftest import obtain
from tests.redis_groups import PASSWORD, SENTINEL_PASSWORD, Clustered, Watched

pytestmark = pytest.mark.xdist_group("redis groups")


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What doctor says of the counters at this address, and how it ends."""
    file = tmp_path / "c.yaml"
    file.write_text("providers: {s: {type: sandbox}}\nstorage: {quota: 'env:QUOTA_URL'}\n")

    def looked(url: str, *words: str) -> tuple[dict[str, Any], int]:
        monkeypatch.setenv("QUOTA_URL", url)
        done = CliRunner().invoke(cli, ["doctor", "--config", str(file), "--json", *words])
        for secret in (PASSWORD, SENTINEL_PASSWORD, "hunter2"):
            assert secret not in done.output
        return json.loads(done.output)["counters"], done.exit_code

    return looked


def texts(counters: dict[str, Any]) -> str:
    return "\n".join(f"{each['level']}: {each['text']}" for each in counters["findings"])


def test_one_server_that_is_well_is_named_with_its_version(redis_server: str, look: Any) -> None:
    counters, status = look(redis_server, "--strict")
    assert (counters["form"], counters["findings"], status) == ("single", [], 0)
    assert counters["server"].startswith(("redis ", "valkey "))


def test_a_server_that_may_evict_counters_is_an_error(redis_server: str, look: Any) -> None:
    link = Redis.from_url(redis_server)
    try:
        link.config_set("maxmemory-policy", "allkeys-lru")
        counters, status = look(redis_server)
    finally:
        link.config_set("maxmemory-policy", "noeviction")
        link.close()
    assert ("set noeviction" in texts(counters), status) == (True, 1)


def test_a_server_that_is_not_there_is_an_error(look: Any) -> None:
    counters, status = look(f"redis://:hunter2@127.0.0.1:{servers.free_port()}")
    assert counters["server"] is None
    assert ("error: cannot be reached" in texts(counters), status) == (True, 1)


def test_an_address_that_is_none_is_an_error(look: Any) -> None:
    counters, status = look("redis+sentinel://:hunter2@s1,s2")
    assert counters["form"] is None
    assert "what env:QUOTA_URL holds cannot be used: lacks the service's name" in texts(counters)
    assert status == 1


def test_a_cluster_is_asked_where_the_counters_would_be(redis_cluster: Clustered, look: Any) -> None:
    counters, status = look(redis_cluster.url, "--strict")
    assert (counters["form"], counters["findings"], status) == ("cluster", [], 0)


def test_sentinels_that_know_another_service_are_an_error(redis_sentinel: Watched, look: Any) -> None:
    counters, status = look(redis_sentinel.url.replace(f"/{redis_groups.SERVICE}/", "/another/"))
    assert ("know no service of this name" in texts(counters), status) == (True, 1)


def test_passwords_that_are_wrong_are_told_apart(redis_sentinel: Watched, look: Any) -> None:
    url = redis_sentinel.url.partition("?")[0]
    counters, status = look(url)
    assert (texts(counters).count("warning: 127.0.0.1:"), status) == (3, 1)
    counters, status = look(redis_sentinel.url.replace("of%3Athe%2Fservers", "hunter2"))
    assert (texts(counters).count("warning: 127.0.0.1:"), status) == (0, 1)
    assert "error: cannot be reached" in texts(counters)


def test_what_nobody_could_take_the_place_of_is_a_warning(look: Any) -> None:
    with ExitStack() as stack:
        watched = obtain(redis_groups.sentinel, stack)
        assert look(watched.url, "--strict")[0]["findings"] == []
        gone = next(iter(watched.sentinels))
        watched.kill(gone)
        watched.kill(watched.standby(watched.master()))
        counters, status = look(watched.url)
    assert f"warning: 127.0.0.1:{gone} does not answer" in texts(counters)
    assert "warning: the server that would count has no replica" in texts(counters)
    assert (counters["server"] is not None, status) == (True, 0)
