"""What every test may ask for: real servers, a real gateway, and an honest list of what was not tested."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
import structlog

from gateway.telemetry import log
from tests import gateway_process, redis_groups, servers
from tests.gateway_process import Gateway
from tests.redis_groups import Clustered, Watched

T = TypeVar("T")

NOT_TESTED = "NOT TESTED: "
PROVIDER_VARIABLES = ("OPENAI_", "AZURE_", "GEMINI_", "GOOGLE_", "XAI_", "OPENROUTER_", "AWS_", "IMAGEGATE_")


# How long an example takes is the machine's affair, and no property.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """No test may spend money or take a detour because of what the tester's shell exports."""
    for name in [name for name in os.environ if name.startswith(PROVIDER_VARIABLES)]:
        del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost,::1"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say loudly what this machine could not offer: a skip is not a pass."""
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _, found, reason = text.partition(NOT_TESTED)
        if found:
            reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count} tests skipped: {reason}", red=True)


def obtain(server: Callable[[], AbstractContextManager[T]], stack: ExitStack) -> T:
    """Enter ``server`` or skip the test with the reason."""
    try:
        return stack.enter_context(server())
    except servers.NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands configure the logs of their process; here that is the whole test run's."""

    def configure(level: str = "INFO") -> None:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )

    structlog.reset_defaults()
    monkeypatch.setattr(log, "configure", configure)
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis of this test process; a test that needs it empty flushes it."""
    with ExitStack() as stack:
        yield obtain(servers.redis, stack)


@pytest.fixture(scope="session")
def redis_sentinel() -> Iterator[Watched]:
    """A Redis under sentinels, for tests of the ``xdist_group`` "redis groups" that kill nobody."""
    with ExitStack() as stack:
        yield obtain(redis_groups.sentinel, stack)


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[Clustered]:
    """A Redis cluster, likewise."""
    with ExitStack() as stack:
        yield obtain(redis_groups.cluster, stack)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An asyncpg URL of a PostgreSQL of this test process (superuser, database ``postgres``)."""
    with ExitStack() as stack:
        yield obtain(servers.postgres, stack)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of an S3-compatible server of this test process, without buckets."""
    with ExitStack() as stack:
        yield obtain(servers.s3, stack)


@pytest.fixture(scope="session")
def strict_s3_server() -> Iterator[str]:
    """The URL of an S3-compatible server that verifies signatures (key ``test``, secret ``test``)."""
    with ExitStack() as stack:
        yield obtain(servers.strict_s3, stack)


_databases = itertools.count()


@pytest.fixture
async def postgres_database(postgres_url: str) -> str:
    """The URL of an empty database that no other test uses."""
    import asyncpg

    name = f"test_{next(_databases)}"
    link = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    try:
        await link.execute(f"CREATE DATABASE {name}")
    finally:
        await link.close()
    return postgres_url.rsplit("/", 1)[0] + "/" + name


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """A factory: ``start_gateway(config_text, env=…, data=…)`` runs a gateway process until the test ends."""
    started: list[Gateway] = []

    def start(config_text: str = gateway_process.SANDBOX, **options: Any) -> Gateway:
        options.setdefault("folder", tmp_path / f"gateway-{len(started)}")
        gateway = gateway_process.launch(config_text, **options)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        gateway.stop()


@pytest.fixture(scope="session")
def sandbox_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway with the sandbox, shared by tests that only talk to it."""
    gateway = gateway_process.launch(folder=tmp_path_factory.mktemp("sandbox-gateway"))
    yield gateway
    gateway.stop()
