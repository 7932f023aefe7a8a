"""The sandbox as a provider: time passes, pictures are drawn in worker threads, and directives are obeyed."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from config.accounts.sandbox import SandboxProvider
from providers.account import Resolve
from providers.base import Certainty, ImageRequest, ImageResult, Kind, Probe, ProviderError
from providers.http import UpstreamClient
from providers.openai_errors import refusal
from providers.sandbox import answer, directives, studio
from providers.sandbox.directives import Behaviour
from providers.sandbox.studio import Commission, Drawn
from providers.sandbox.usage import usage
from providers.scrub import Scrubber

_PACE: Mapping[str, float] = {"low": 0.5, "medium": 1.0, "high": 2.0, "xhigh": 2.5, "max": 3.0}
"""Latency relative to a medium picture's, as the real models' relate."""


class Sandbox:
    """No key, no network, no cost. ``settings.latency`` is the time for one medium 1024x1024 picture."""

    type = "sandbox"

    def __init__(
        self, name: str, settings: SandboxProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        self.name = name
        self._latency = settings.latency
        self._lenient = settings.lenient
        # Drawing is CPU work in this very process; more threads at once than cores only hinder each other.
        self._easels = asyncio.Semaphore(os.cpu_count() or 1)

    async def send(
        self, request: ImageRequest, deadline: float, *, patience: float | None = None
    ) -> ImageResult:
        """See :class:`providers.base.Provider`."""
        ends_at = asyncio.get_running_loop().time() + deadline
        prompt, behaviour = directives.read(request.prompt)
        try:
            async with asyncio.timeout_at(ends_at):
                await self._misbehave(behaviour, request.prompt)
                chunks = await self._answer(request, prompt, behaviour)
        except TimeoutError:
            raise self._silent() from None
        return ImageResult(
            body=self._body(chunks, ends_at, cut=behaviour.cut),
            content_type="text/event-stream" if request.stream else "application/json",
            upstream_request_id=f"req_sandbox_{secrets.token_hex(8)}",
            aclose=_nothing_to_close,
        )

    async def _misbehave(self, behaviour: Behaviour, prompt: str) -> None:
        """Be slow, be silent, or fail, as asked."""
        await asyncio.sleep(behaviour.slow)
        if behaviour.silence is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(behaviour.silence):
                    await asyncio.Event().wait()
            raise self._silent()
        if behaviour.refusal is not None:
            said = behaviour.refusal
            raise refusal(
                said.status,
                said.headers,
                said.body,
                provider=self.name,
                scrub=Scrubber(),
                prompt=prompt,
            )
        if behaviour.failure is not None:
            kind, certainty, what = behaviour.failure
            raise ProviderError(kind, certainty, f"The call to provider '{self.name}' failed: {what}.")

    def _silent(self) -> ProviderError:
        return ProviderError(
            Kind.TIMEOUT,
            Certainty.MAYBE_ACCEPTED,
            f"The call to provider '{self.name}' failed: no answer came in time.",
        )

    async def _answer(
        self, request: ImageRequest, prompt: str, behaviour: Behaviour
    ) -> list[tuple[float, bytes]]:
        """Everything that will be sent, each chunk with the seconds to wait before it."""
        started = time.monotonic()
        job = await asyncio.to_thread(studio.commission, request, prompt, lenient=self._lenient)
        made = job.n - math.ceil(job.n * behaviour.missing)
        pictures = await asyncio.gather(*(self._drawn(job, index) for index in range(made)))
        if behaviour.truncated:
            pictures = [replace(drawn, final=drawn.final[: len(drawn.final) // 2]) for drawn in pictures]
        if behaviour.html:
            raise ProviderError(
                Kind.BAD_PAYLOAD,
                Certainty.ANSWERED,
                f"The answer of provider '{self.name}' is 'text/html' and not JSON.",
                status=200,
            )
        pause = max(0.0, self._seconds(job) - (time.monotonic() - started))
        if request.stream:
            return await asyncio.to_thread(_events, request, job, pictures, behaviour, pause)
        await asyncio.sleep(pause)
        used = _usage(job, made) if behaviour.usage else None
        chunks = await asyncio.to_thread(answer.document, job, pictures, int(time.time()), used)
        return [(0.0, chunk) for chunk in chunks]

    async def _drawn(self, job: Commission, index: int) -> Drawn:
        async with self._easels:
            return await asyncio.to_thread(studio.draw, job, index)

    def _seconds(self, job: Commission) -> float:
        pixels = job.size[0] * job.size[1] / 1024**2
        return self._latency * _PACE[job.quality] * (0.5 + 0.5 * pixels) * (1 + 0.3 * (job.n - 1))

    async def _body(
        self, chunks: Sequence[tuple[float, bytes]], ends_at: float, *, cut: bool
    ) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        left = sum(len(chunk) for _, chunk in chunks)
        if cut:
            left = left * 3 // 5
        for pause, chunk in chunks:
            if left <= 0:
                return
            if loop.time() + pause > ends_at:
                await asyncio.sleep(max(0.0, ends_at - loop.time()))
                raise self._silent()
            if pause:
                await asyncio.sleep(pause)
            yield chunk[:left]
            left -= len(chunk)

    async def probe(self) -> Probe:
        return Probe(reachable=True, detail="draws pictures itself; nothing is asked over the network")

    async def aclose(self) -> None:
        """Nothing is kept open."""


def _events(
    request: ImageRequest, job: Commission, pictures: Sequence[Drawn], behaviour: Behaviour, pause: float
) -> list[tuple[float, bytes]]:
    used = _usage(replace(job, n=1), 1) if behaviour.usage else None
    said = [
        event
        for drawn in pictures
        for event in answer.events(request.operation, job, drawn, int(time.time()), used)
    ]
    return [(pause / len(said), event) for event in said]


def _usage(job: Commission, made: int) -> dict[str, object]:
    return usage(
        job.prompt,
        job.input_sizes,
        quality=job.quality,
        size=job.size,
        n=made,
        partials=job.partials * made,
    )


async def _nothing_to_close() -> None:
    """No connection is held."""
