"""The soak: replicas and Redis die under load, and not a cent is overspent, lost or doubled.

    python -m bench.soak --requests 10000 --kills 300 --redis-kills 10
    python -m bench.soak --local --requests 3000 --kills 60

Starts everything itself: replicas, a fake OpenAI, a Redis and a PostgreSQL (``--local``: one replica that
counts by itself, on SQLite). Status 0 when everything adds up, 1 when something does not.
"""

from __future__ import annotations

from bench import _soaked
from tests.soak.soak import Plan, Soak


def main() -> None:
    parser = _soaked.parser(__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=300, help="SIGKILLs of replicas")
    parser.add_argument("--redis-kills", type=int, default=10, help="every third time it comes back empty")
    parser.add_argument("--stalls", type=int, default=3, help="replicas stopped past their lease")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--lease", type=float, default=45, help="seconds")
    parser.add_argument("--twice", type=float, default=0.2, help="share of ends that are told twice")
    parser.add_argument("--per-second", type=float, default=20, help="requests")
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=30, help="at most, without the decay of holds")
    parser.add_argument("--local", action="store_true")
    options = parser.parse_args()
    plan = Plan(
        requests=options.requests,
        kills=options.kills,
        redis_kills=0 if options.local else options.redis_kills,
        stalls=0 if options.local else options.stalls,
        replicas=1 if options.local else options.replicas,
        shared=not options.local,
        lease=options.lease,
        twice=options.twice,
        workers=options.workers,
        per_second=options.per_second,
        most_seconds=options.minutes * 60,
        seed=options.seed,
    )
    _soaked.carry_out(lambda folder: Soak(plan, folder).run(), options.keep)


if __name__ == "__main__":
    main()
