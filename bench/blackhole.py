"""How long a client waits for its answer when Redis is there and silent, or not there at all.

    python -m bench.blackhole --calls 500

One gateway with a dollar limit counts in a Redis of its own, which is then stopped (SIGSTOP: it accepts and
says nothing), continued, and killed. Each time ``--calls`` requests are made, ``--at-once`` of them together.
Status 0 when every one of them was answered 503 within a second and nothing was sent to the provider.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import httpx

from tests import gateway_process, servers
from tests.simulators.process import UpstreamProcess
from tests.soak.stores import Redis

LIMIT_SECONDS = 1.0
BODY = {"model": "gpt-image-2", "prompt": "a red kite", "size": "1024x1024", "quality": "low"}


async def measure(api: str, calls: int, at_once: int) -> tuple[list[float], set[str]]:
    """Seconds of each call, and what was answered."""
    seconds: list[float] = []
    answers: set[str] = set()
    numbers = iter(range(calls))
    headers = {"authorization": f"Bearer {gateway_process.KEY}"}
    async with httpx.AsyncClient(headers=headers, timeout=90, trust_env=False) as client:

        async def caller() -> None:
            for _ in numbers:
                begun = perf_counter()
                answer = await client.post(f"{api}/images/generations", json=BODY)
                seconds.append(perf_counter() - begun)
                code = answer.json()["error"]["code"] if answer.status_code != 200 else ""
                answers.add(f"{answer.status_code} {code}".strip())

        await asyncio.gather(*(caller() for _ in range(at_once)))
    return sorted(seconds), answers


def run(calls: int, at_once: int, folder: Path) -> int:
    missed = 0
    with UpstreamProcess() as upstream, Redis(folder / "redis") as redis:
        organization = gateway_process.ORGANIZATION.replace(
            "organization:", "organization:\n  limits: [{spend_usd: 1000, per: day}]"
        )
        account = {"type": "openai", "base_url": upstream.base_url, "api_key": "env:UPSTREAM_KEY"}
        text = f"providers: {json.dumps({'up': account})}\nstorage: {{quota: '{redis.url}'}}\n{organization}"
        gateway = gateway_process.launch(text, folder=folder / "gateway", env={"UPSTREAM_KEY": upstream.key})
        try:
            warm, answers = asyncio.run(measure(gateway.api, 20, 4))
            print(f"with Redis: p50 {warm[len(warm) // 2] * 1000:.0f} ms, {sorted(answers)}")
            sent = len(upstream.calls())
            assert redis.process is not None
            for name, number in (("silent", signal.SIGSTOP), ("gone", signal.SIGKILL)):
                redis.process.send_signal(number)
                seconds, answers = asyncio.run(measure(gateway.api, calls, at_once))
                if number == signal.SIGSTOP:
                    redis.process.send_signal(signal.SIGCONT)
                half, high = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
                print(
                    f"{name}: {calls} calls, {at_once} at once: p50 {half * 1000:.0f} ms, "
                    f"p99 {high * 1000:.0f} ms, longest {seconds[-1] * 1000:.0f} ms, {sorted(answers)}"
                )
                missed += seconds[-1] > LIMIT_SECONDS or answers != {"503 budget_store_unavailable"}
            extra = len(upstream.calls()) - sent
            print(f"sent to the provider meanwhile: {extra}")
            missed += extra > 0
        finally:
            gateway.stop()
    return int(missed > 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ig-blackhole-") as folder:
        try:
            status = run(options.calls, options.at_once, Path(folder))
        except servers.NotObtainable as missing:
            sys.exit(str(missing))
    sys.exit(status)


if __name__ == "__main__":
    main()
