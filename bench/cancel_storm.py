"""A storm of clients that leave at random moments, and what the gateway holds, owes and keeps afterwards.

    python -m bench.cancel_storm --requests 1500

Gateway, fake OpenAI and clients share one process, so that every leaked task, file and spooled byte is seen.
Status 0 when all calls afterwards succeed, nothing is held, the ledger says what the upstream billed, and
nothing leaked; 1 when not.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

import structlog

from tests.soak.storm import Plan, storm


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--at-once", type=int, default=100, help="clients")
    parser.add_argument("--places", type=int, default=30, help="calls at once to the provider; more wait")
    parser.add_argument("--slowest", type=float, default=1.0, help="seconds that a picture takes at most")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    plan = Plan(options.requests, options.at_once, options.places, options.slowest, options.seed)
    with tempfile.TemporaryDirectory(prefix="ig-storm-") as folder:
        report = asyncio.run(storm(plan, Path(folder)))
    print(report)
    sys.exit(0 if report.clean else 1)


if __name__ == "__main__":
    main()
