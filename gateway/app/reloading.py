"""Taking over a changed configuration while serving.

Every second its files, those that it includes and those of its secrets are looked at (config/sources.py).
What has changed and then stood still for a look is read and checked as at a start, and taken over wholly or
not at all. A command and SIGHUP do the same at once. What is refused is an error in the log with every
reason, ``config_rejected``, and a metric; requests and readiness know nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

import structlog

from config.loader import ConfigErrors, Loaded
from config.references import Seen, seen
from config.sources import Signature
from gateway.api.config_stands import ConfigStands, Refused
from gateway.app.gateway import Gateway
from gateway.errors import GatewayError
from gateway.telemetry import meters

LOOK_SECONDS = 1.0

AGAIN_SECONDS = 30.0
"""After which what was refused is tried again: a volume may have been away, and say nothing of its return."""

_log = structlog.get_logger("imagegate.config")


class Reloading:
    """One per process. ``load`` reads the configuration as at the start, command line included; ``loaded`` is
    what it gave then."""

    def __init__(self, gateway: Gateway, load: Callable[[], Loaded], loaded: Loaded) -> None:
        self._gateway = gateway
        self._load = load
        self._sources = loaded.sources
        self._signature: Signature | None = None
        """Of the sources before they were read; None: some were not known before, and may have changed since
        without anybody seeing it. Then all is read once more."""
        self._read = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    @property
    def stands(self) -> ConfigStands:
        return self._gateway.config.now

    async def reload(self, because: str) -> ConfigStands:
        """Read everything anew, and serve with it from the next request on. What cannot be served with is
        refused, and the answer says why. Raises nothing."""
        async with self._one_at_a_time:
            try:
                return await self._read_anew(because)
            except GatewayError as error:
                reason = error.message
            except (OSError, ValueError, LookupError) as error:
                reason = str(error)
            except Exception as error:
                _log.exception("config_not_taken_over")
                reason = f"imagegate failed at it ({type(error).__name__}); its log says where"
            return self._refused([reason], because)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Changes are taken over while this is open and ``server.watch`` is on."""
        watching = asyncio.create_task(self._watch(), name="watch-config")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        before: Signature | None = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._gateway.settings.server.watch:
                continue
            try:
                now = await asyncio.to_thread(self._sources.signature)
                # A file that is just being written is left to be finished.
                if now == before and (now != self._signature or self._is_to_be_tried_again):
                    await self.reload("files")
                before = now
            except Exception:
                _log.exception("config_not_watched")

    @property
    def _is_to_be_tried_again(self) -> bool:
        return self.stands.refused is not None and monotonic() - self._read >= AGAIN_SECONDS

    async def _read_anew(self, because: str) -> ConfigStands:
        self._read = monotonic()
        # Before it is read: what changes while it is read is read once more.
        self._signature = await asyncio.to_thread(self._sources.signature)
        try:
            loaded = await asyncio.to_thread(self._load)
        except ConfigErrors as errors:
            self._sources |= errors.sources
            self._refused([str(problem) for problem in errors.problems], because)
            return await self._with_secrets_of_now(because)
        if loaded.sources != self._sources:
            self._sources, self._signature = loaded.sources, None
        found = await asyncio.to_thread(seen, loaded.settings, loaded.base)
        if lost := [*_emptied(loaded, self._gateway.loaded), *_lost(found, self._gateway.secrets)]:
            return self._refused(lost, because)
        if self._gateway.serves_with(loaded):
            return self._unchanged()
        return await self._taken_over(loaded, because)

    async def _taken_over(self, loaded: Loaded, because: str) -> ConfigStands:
        stands = await self._gateway.take_over(loaded, because)
        meters.config_reloads.add(1, {"outcome": "applied"})
        _log.info("config_applied", version=stands.version, digest=stands.digest, because=because)
        for warning in (*loaded.warnings, *loaded.unset, *loaded.extras):
            _log.warning("config", detail=warning)
        if stands.waiting:
            _log.warning("config_waits_for_restart", settings=list(stands.waiting))
        return stands

    async def _with_secrets_of_now(self, because: str) -> ConfigStands:
        """What is in force follows its secrets also while something newer is refused: keys are exchanged by
        others, at times of their own, and the old ones end."""
        loaded, before = self._gateway.loaded, self.stands
        found = await asyncio.to_thread(seen, loaded.settings, loaded.base)
        if found != self._gateway.secrets and not _lost(found, self._gateway.secrets):
            stands = await self._taken_over(loaded, because)
            self._gateway.keep(replace(stands, refused=before.refused, waiting=before.waiting))
        return self.stands

    def _unchanged(self) -> ConfigStands:
        meters.config_reloads.add(1, {"outcome": "unchanged"})
        if self.stands.refused is not None:
            _log.info("config_as_before", version=self.stands.version, digest=self.stands.digest)
            self._gateway.keep(replace(self.stands, refused=None))
        return self.stands

    def _refused(self, problems: Sequence[str], because: str) -> ConfigStands:
        before = self.stands.refused
        if because == "files" and before is not None and before.problems == tuple(problems):
            return self.stands  # what was read once more: it has been told
        meters.config_reloads.add(1, {"outcome": "refused"})
        _log.error("config_rejected", kept_version=self.stands.version, problems=list(problems))
        self._gateway.keep(replace(self.stands, refused=Refused(datetime.now(UTC), tuple(problems))))
        return self.stands


def _emptied(now: Loaded, before: Loaded) -> list[str]:
    """Files that were not: a writer that has just begun, or a full disk. At a start an empty
    file is one without settings; here every model and key of it would go."""
    return [
        f"{name} is empty; put back what stood there, or leave a comment in it"
        for name in now.empty
        if name not in before.empty
    ]


def _lost(now: Seen, before: Seen) -> list[str]:
    """Secrets that were there and are not: somebody is in the middle of something. At a start they would
    switch off a model or a key; here what works goes on working."""
    there = {text for text, found in before.values() if found is not None}
    return [
        f"{text} led to a secret and now to nothing; put it back, or take the setting out"
        for text in dict.fromkeys(text for text, found in now.values() if found is None)
        if text in there
    ]
