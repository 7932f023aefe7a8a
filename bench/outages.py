"""Outages under load: replicas, Redis, PostgreSQL and providers go away and come back, one after the other,
while official SDKs and clients that leave ask through a balancer; then what the clients saw, and what the
ledger says.

    python -m bench.outages
    python -m bench.outages --seconds 120 --concurrency 40 --away 60 --json

Starts everything itself: replicas, two fake providers, a Redis, a PostgreSQL and an S3 server. Status 0 when
every promise about money was kept, 1 when one was broken.
"""

from __future__ import annotations

import sys

from bench import _soaked
from tests.soak.clients import Manners
from tests.soak.outage_report import Report
from tests.soak.outages import Outages, Plan

LEAVING, SPENDERS = 4, 2


def main() -> None:
    parser = _soaked.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=45, help="of each phase, at least")
    parser.add_argument("--concurrency", type=int, default=28, help="clients at once")
    parser.add_argument("--away", type=float, default=20, help="seconds for which something is away")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--only", default="", help="the phases whose names hold this, such as PostgreSQL")
    parser.add_argument("--json", action="store_true", help="the report as one JSON object")
    options = parser.parse_args()
    others = 2 * LEAVING + SPENDERS
    manners = Manners(
        sdk=max(options.concurrency - others, 1), keyed=LEAVING, unkeyed=LEAVING, spenders=SPENDERS
    )
    plan = Plan(
        seconds=options.seconds,
        away=options.away,
        tail=min(15.0, options.seconds / 3),
        only=options.only,
        replicas=options.replicas,
        manners=manners,
        seed=options.seed,
    )
    _soaked.carry_out(
        lambda folder: Outages(plan, folder, say=lambda words: print(words, file=sys.stderr)).run(),
        options.keep,
        Report.to_json if options.json else str,
    )


if __name__ == "__main__":
    main()
