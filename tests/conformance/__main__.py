"""``python -m tests.conformance FILE`` writes the page; without FILE it is printed. Ends with 1 where a cell
is wrong."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import structlog

from tests.conformance.page import page, wrong
from tests.conformance.running import results_of
from tests.conformance.stands import STANDS


def main() -> int:
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    results = {type: results_of(type) for type in STANDS}
    text = page(results)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    else:
        print(text)
    faults = [f"{type}: {fault}" for type, found in results.items() for fault in wrong(found)]
    print(*faults, sep="\n", end="\n" if faults else "", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
