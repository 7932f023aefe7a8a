"""A look at the Redis of ``storage.quota``: is it there, may it count, and who takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import quota_url
from gateway.cli.examination import Finding, Level
from gateway.quota.survey import survey


@dataclass(frozen=True, slots=True)
class CountersExamined:
    """``form`` is ``single``, ``sentinel`` or ``cluster``, None where the address is not known; ``server`` is
    what would count, such as ``redis 7.2.4``, None where nothing was reached."""

    form: str | None
    server: str | None
    findings: tuple[Finding, ...]


async def examine_counters(settings: Settings, *, base: Path) -> CountersExamined | None:
    """None where the counters are in the process."""
    try:
        url = quota_url(settings, base)
        if url is None:
            return None
        found = await survey(url)
    except (SecretMissing, ValueError) as error:
        return CountersExamined(None, None, (Finding(Level.ERROR, str(error)),))
    errors = [Finding(Level.ERROR, text) for text in found.problems]
    warnings = [Finding(Level.WARNING, text) for text in found.warnings]
    return CountersExamined(found.form, found.server, (*errors, *warnings))
