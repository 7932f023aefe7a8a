"""``POST /v1/images/generations`` and ``POST /v1/images/edits``, told once::

    authenticate    key → caller                     (auth)
    read            body → fields and files          (intake)
    validate        fields → ImageCall               (images/validation)
    run             ImageCall → Answer               (engine), or with ?dryRun=true only told of (dry_run)
    deliver         Answer → socket                  (delivery)

Raw ASGI: these two routes carry the load, and their bodies and answers are streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Protocol, TypeVar

import msgspec
import structlog
from litestar.types import HTTPScope, Receive, Send

from config.catalog import Catalog
from config.schema import Settings
from gateway.api.abort import ABORT
from gateway.api.attribution import end_user_in, tags_of
from gateway.api.auth import Authenticator
from gateway.api.base_url import BaseUrls
from gateway.api.body import Body, ClientGone
from gateway.api.client_address import ClientAddresses
from gateway.api.delivery import AnswerCut, Departure, deliver
from gateway.api.errors import answer as error_answer
from gateway.api.errors import as_gateway_error, not_allowed
from gateway.api.intake import Intake, JsonBody
from gateway.api.preferences import preferences_of
from gateway.api.repetition import with_repetition
from gateway.api.replies import json_headers, reply, reply_and_close
from gateway.api.request_ids import mark_of
from gateway.api.switches import is_on
from gateway.api.understanding import Understanding
from gateway.caller import Caller
from gateway.engine.answer import CLIENT_GONE, Answer, RequestFacts
from gateway.engine.running import Running
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.raw import RawRequest
from gateway.media.uploads import Uploads
from gateway.routing.directory import ModelDirectory, PublicModel
from gateway.routing.drills import HEADER as DRILL
from gateway.routing.drills import read_drill
from gateway.routing.wishes import HEADER as WISHES
from gateway.routing.wishes import read_wishes
from gateway.telemetry import meters
from providers.base import Operation

T = TypeVar("T")

IN_THREAD = 256 * 1024
"""Words of more bytes, base64 among them, are parsed and checked by a worker thread."""

DRY_RUN = "dryRun"
"""The query's word for a call that is only asked about."""

_OUTCOMES = {401: "denied", 403: "denied", 429: "limited"}
"""What a metric calls an error, by its status; its code may be a provider's own word."""

_LONGEST_CLIENT_ID = 512
_log = structlog.get_logger("imagegate.request")


class Engine(Protocol):
    """What the HTTP face needs of the engine."""

    async def run(
        self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts
    ) -> Answer: ...


class DryRuns(Protocol):
    """What tells of calls without making them."""

    async def tell(
        self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts
    ) -> Mapping[str, object]: ...


def _no_abort() -> None:
    """Servers other than ours offer no way to break a connection off."""


def utc_today() -> date:
    return datetime.now(UTC).date()


class ImageRequests:
    """Serves one operation on all its paths."""

    def __init__(
        self,
        operation: Operation,
        *,
        settings: Settings,
        directory: ModelDirectory,
        catalog: Catalog,
        engine: Engine,
        authenticator: Authenticator,
        dry_runs: DryRuns,
        running: Running,
        today: Callable[[], date] = utc_today,
    ) -> None:
        self._operation = operation
        self._spool_directory = settings.spool.directory
        self._understanding = Understanding(settings.normalization, directory, catalog, today)
        self._engine = engine
        self._dry_runs = dry_runs
        self._running = running
        self._authenticator = authenticator
        self._addresses = ClientAddresses(settings.server.trusted_proxies)
        self._base_urls = BaseUrls(settings.server)
        self._intake = Intake(settings.server.upload)
        self._stall = settings.server.read_stall
        self._providers = frozenset(settings.providers)
        self._swaps = any(rule.model is not None for rule in settings.routing.rules)
        """Whether a rule may have a request read again."""

    async def __call__(
        self, scope: HTTPScope, receive: Receive, send: Send, *, deployment: str | None = None
    ) -> None:
        """Answers every request, and writes its one log line. ``deployment`` is the model where the path
        names one."""
        mark = mark_of(scope)
        headers = dict(scope["headers"])
        notes: dict[str, object] = {}
        facts = RequestFacts(mark.request_id, datetime.now(UTC), mark.started, notes=notes)
        body = Body(receive, headers)
        try:
            status = await self._serve(scope, headers, body, facts, receive, send, deployment)
        except ClientGone:
            status = CLIENT_GONE
        except AnswerCut as cut:
            status, notes["cut"] = int(HTTPStatus.OK), True
            _log.error("answer_cut", request_id=mark.request_id, exc_info=cut.__cause__)
        except Exception as caught:
            error = as_gateway_error(caught, scope["method"], mark)
            status = int(error.status)
            notes["error_code"] = error.code
            notes["error_param"] = error.param
            notes.update(error.noted)
            told = error_answer(error)
            if body.complete or (body.may_keep_alive and not self._running.draining):
                await reply(send, told.status, told.headers, told.body)
            else:
                await reply_and_close(receive, send, told.status, told.headers, told.body)
        meters.request_duration.record(perf_counter() - mark.started, _labels(self._operation, notes, status))
        _log.info(
            "request",
            request_id=mark.request_id,
            path=mark.path,
            status=status,
            ms=round((perf_counter() - mark.started) * 1000, 1),
            bytes_in=body.received,
            **{name: value for name, value in notes.items() if value is not None},
        )

    async def _serve(
        self,
        scope: HTTPScope,
        headers: dict[bytes, bytes],
        body: Body,
        facts: RequestFacts,
        receive: Receive,
        send: Send,
        deployment: str | None,
    ) -> int:
        if scope["method"] != "POST":
            raise not_allowed(scope["method"], mark_of(scope).path, "POST")
        self._running.admit()
        caller = await self._authenticator.authenticate(headers, self._addresses.of(scope, headers))
        facts.notes.update(project=caller.project_id, key_id=caller.key_id)
        facts = replace(
            with_repetition(_with_client_id(facts, headers), headers),
            end_user=end_user_in(caller, headers),
            tags=tags_of(caller, headers),
        )
        only_tells = is_on(scope["query_string"], DRY_RUN)
        uploads = Uploads(self._spool_directory)
        try:
            path = mark_of(scope).path
            wishes = preferences_of(headers, path)
            asked = replace(
                facts,
                wishes=read_wishes(_text(headers, WISHES), caller.providers_header, self._providers),
                drill=read_drill(_text(headers, DRILL), caller.drills, self._providers),
            )
            raw = await self._intake.read(body, headers, self._operation, uploads)
            in_thread = _words(raw, body.received) > IN_THREAD
            understand = partial(self._understanding.call, raw, caller, wishes, deployment)
            call, model = await _run(understand, in_thread=in_thread)
            self._running.admit()  # the drain may have begun while the body came
        except BaseException:
            uploads.close()
            raise
        facts = replace(asked, uploads=uploads, base_url=self._base_urls.of(scope, headers))
        if self._swaps:

            async def reread(name: str) -> tuple[ImageCall, PublicModel]:
                again = partial(self._understanding.swapped, raw, caller, wishes, name)
                return await _run(again, in_thread=in_thread)

            facts = replace(facts, reread=reread)
        if only_tells:
            return await self._tell(call, model, caller, facts, uploads, send)
        departure = Departure(receive)
        facts = replace(facts, gone=lambda: departure.happened, when_gone=departure.then)
        try:
            abort = scope["state"].get(ABORT, _no_abort)
            return await self._answered(call, model, caller, facts, uploads, departure, send, abort)
        finally:
            departure.stop()

    async def _tell(
        self,
        call: ImageCall,
        model: PublicModel,
        caller: Caller,
        facts: RequestFacts,
        uploads: Uploads,
        send: Send,
    ) -> int:
        """What the call would be, in place of the call."""
        facts.notes.update(dry_run=True, model=model.name, operation=call.operation.value)
        try:
            body = msgspec.json.encode(await self._dry_runs.tell(call, model, caller, facts))
        finally:
            uploads.close()
        await reply(send, 200, [*json_headers(len(body)), (b"cache-control", b"no-store")], body)
        return 200

    async def _answered(
        self,
        call: ImageCall,
        model: PublicModel,
        caller: Caller,
        facts: RequestFacts,
        uploads: Uploads,
        departure: Departure,
        send: Send,
        abort: Callable[[], object],
    ) -> int:
        """Run and deliver. The files are given back as soon as nobody can ask for them again: a stream may
        still move to another target, and a paid call goes on when its client or this handler has gone; then
        they go with the call."""
        try:
            answer = await self._engine.run(call, model, caller, facts)
        except Exception:
            uploads.close()
            raise
        ends_here = not facts.respond_async
        if not call.stream and ends_here:
            uploads.close()
        if await deliver(answer, departure, send, self._stall, abort) and ends_here:
            uploads.close()
        return answer.status


def _labels(operation: Operation, notes: Mapping[str, object], status: int) -> dict[str, str]:
    """Of a metric: names of the configuration, and never a client's word."""
    if status == CLIENT_GONE or notes.get("client_gone"):
        outcome = "client_gone"
    elif status < HTTPStatus.BAD_REQUEST:
        outcome = "cut" if notes.get("cut") else "dry_run" if notes.get("dry_run") else "ok"
    else:
        outcome = _OUTCOMES.get(status) or (
            "invalid" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
        )
    return {
        "route": operation.value,
        "model": str(notes.get("model") or ""),
        "provider": str(notes.get("provider") or ""),
        "outcome": outcome,
    }


def _words(raw: RawRequest | JsonBody, received: int) -> int:
    """Bytes of a body that are not a form's files: those were looked at on their way in."""
    return received if isinstance(raw, JsonBody) else received - sum(each.file.size for each in raw.files)


async def _run(work: Callable[[], T], *, in_thread: bool) -> T:
    return await asyncio.to_thread(work) if in_thread else work()


def _text(headers: dict[bytes, bytes], name: str) -> str | None:
    raw = headers.get(name.encode())
    return None if raw is None else raw.decode("latin-1")


def _with_client_id(facts: RequestFacts, headers: dict[bytes, bytes]) -> RequestFacts:
    raw = headers.get(b"x-client-request-id")
    if not raw:
        return facts
    text = raw.decode("latin-1")
    if len(text) > _LONGEST_CLIENT_ID or not text.isascii() or not text.isprintable():
        raise InvalidRequest(
            f"Invalid 'X-Client-Request-Id' header: at most {_LONGEST_CLIENT_ID} printable ASCII characters.",
            param="X-Client-Request-Id",
            code="invalid_value",
            status=HTTPStatus.BAD_REQUEST,
        )
    return RequestFacts(facts.request_id, facts.received_at, facts.started, text, facts.notes)
