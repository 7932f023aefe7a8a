"""A rolling restart under load: the official SDK asks through a balancer while one replica after the other is
told to stop, finishes what it runs, ends, and is started again.

    python -m bench.rolling_restart --rounds 5 --per-second 15
    python -m bench.rolling_restart --local

Starts everything itself: replicas, a fake OpenAI, a Redis and a PostgreSQL (``--local``: a SQLite file for
each replica). Status 0 when every call was answered with its picture and the ledger says what the upstream
billed, 1 when not.
"""

from __future__ import annotations

from bench import _soaked
from tests.soak.rolling import Plan, Rolling


def main() -> None:
    parser = _soaked.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="restarts of each replica")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--per-second", type=float, default=12, help="requests")
    parser.add_argument("--longest", type=float, default=8, help="seconds that a picture takes at most")
    parser.add_argument("--delay", type=float, default=1, help="seconds, server.drain.delay")
    parser.add_argument("--local", action="store_true")
    options = parser.parse_args()
    plan = Plan(
        rounds=options.rounds,
        replicas=options.replicas,
        shared=not options.local,
        per_second=options.per_second,
        seconds=(0.3, options.longest),
        delay=options.delay,
        seed=options.seed,
    )
    _soaked.carry_out(lambda folder: Rolling(plan, folder).run(), options.keep)


if __name__ == "__main__":
    main()
