"""``rediss``: every connection is encrypted, those that ask where the counters are too.

The Redis of the test environment speaks no TLS, so that a proxy speaks it for a cluster of one, which
announces the proxy's port: who would go around it finds nothing encrypted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.quota import connection
from gateway.quota.errors import StoreAway
from gateway.quota.outcomes import Admitted, Epoch, Reservation
from gateway.quota.redis import RedisQuotaStore
from gateway.quota.terms import Limit, Measure, Scope
from tests import servers
from tests.conftest import NOT_TESTED
from tests.redis_groups import PASSWORD, Group, free_port
from tests.simulators.file_server import tls_for

LIMIT = Limit(Scope.key("p1", "k1"), Measure.SPEND, 1000, "total")


@asynccontextmanager
async def encrypted(context: ssl.SSLContext, to: int) -> AsyncIterator[int]:
    """The port of a proxy that speaks TLS in front of the server at another port."""

    async def pass_on(here: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await here.read(65536):
                there.write(piece)
                await there.drain()
        there.close()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(pass_on(reader, before), pass_on(behind, writer))

    server = await asyncio.start_server(taken, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    made = Group(tmp_path)
    yield made
    made.end()


async def test_counters_are_kept_over_tls(group: Group, tmp_path: Path) -> None:
    try:
        context, authority = tls_for("DNS:counters.example", tmp_path)
        port = free_port(bus=True)
        async with encrypted(context, port) as proxy:
            group.serve(port, "cluster-enabled yes", f"cluster-announce-port {proxy}")
            await asyncio.to_thread(group.until_served, [port])
            group.ask(port, "CLUSTER", "ADDSLOTS", *range(16384))
            await asyncio.to_thread(
                group.until, "the slots", lambda: "cluster_state:ok" in group.text(port, "CLUSTER", "INFO")
            )
            for number, form in enumerate(("rediss", "rediss+cluster"), 1):
                await _look(form, proxy, authority, number)
    except servers.NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")


async def _look(form: str, port: int, authority: Path, number: int) -> None:
    url = f"{form}://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
    trusted = f"ssl_ca_certs={quote(str(authority))}"
    for untrusted in (url, f"{url}?{trusted}"):  # nobody vouches for it; it has another name
        with pytest.raises(StoreAway):
            await connection.identity(untrusted, "default")
    epoch = Epoch(number, await connection.identity(f"{url}?{trusted}&ssl_check_hostname=false", "default"))

    async def source() -> Epoch:
        return epoch

    store = RedisQuotaStore.connect(f"{url}?{trusted}&ssl_check_hostname=false", source)
    try:
        await store.freeze(epoch)
        await store.freeze(epoch)
        await store.rebuild(epoch, [], [])
        outcome = await store.reserve([Reservation("a/1", {Measure.SPEND: 100}, [LIMIT])])
        assert isinstance(outcome, Admitted)
        assert (await store.standing([LIMIT]))[0].held == 100
    finally:
        await store.aclose()
