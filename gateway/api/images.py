"""``POST /v1/images/generations`` and ``POST /v1/images/edits``, told once::

    authenticate    key → caller                     (auth)
    read            body → fields and files          (intake)
    validate        fields → ImageCall               (images/validation)
    run             ImageCall → Answer               (engine)
    deliver         Answer → socket                  (delivery)

Raw ASGI: these two routes carry the load, and their bodies and answers are streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from http import HTTPStatus
from time import perf_counter
from typing import Protocol

import structlog
from litestar.types import HTTPScope, Receive, Send

from config.catalog import Catalog
from config.schema import Settings
from gateway.api.abort import ABORT
from gateway.api.attribution import end_user_in, tags_of
from gateway.api.auth import Authenticator
from gateway.api.body import Body, ClientGone
from gateway.api.client_address import ClientAddresses
from gateway.api.delivery import AnswerCut, Departure, deliver
from gateway.api.errors import answer as error_answer
from gateway.api.errors import as_gateway_error, not_allowed
from gateway.api.intake import Intake, JsonBody
from gateway.api.json_body import decode_object
from gateway.api.model_choice import choose_model
from gateway.api.replies import reply, reply_and_close
from gateway.api.request_ids import mark_of
from gateway.api.uploads import Uploads
from gateway.caller import Caller
from gateway.engine.answer import CLIENT_GONE, Answer, RequestFacts
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.input_sizes import input_sizes
from gateway.images.raw import Encoding, RawRequest
from gateway.images.validation import model_name, validate
from gateway.routing.directory import ModelDirectory, PublicModel
from providers.base import Operation

IN_THREAD = 256 * 1024
"""JSON bodies of more bytes are parsed and checked by a worker thread."""

_LONGEST_CLIENT_ID = 512
_log = structlog.get_logger("imagegate.request")


class Engine(Protocol):
    """What the HTTP face needs of the engine."""

    async def run(
        self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts
    ) -> Answer: ...


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
        today: Callable[[], date] = utc_today,
    ) -> None:
        self._operation = operation
        self._normalization = settings.normalization
        self._spool_directory = settings.spool.directory
        self._directory = directory
        self._catalog = catalog
        self._engine = engine
        self._authenticator = authenticator
        self._addresses = ClientAddresses(settings.server.trusted_proxies)
        self._intake = Intake(settings.server.upload)
        self._stall = settings.server.read_stall
        self._today = today

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
            told = error_answer(error)
            if body.may_keep_alive:
                await reply(send, told.status, told.headers, told.body)
            else:
                await reply_and_close(receive, send, told.status, told.headers, told.body)
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
        caller = await self._authenticator.authenticate(headers, self._addresses.of(scope, headers))
        facts.notes.update(project=caller.project_id, key_id=caller.key_id)
        facts = replace(
            _with_client_id(facts, headers),
            end_user=end_user_in(caller, headers),
            tags=tags_of(caller, headers),
        )
        uploads = Uploads(self._spool_directory)
        try:
            call, model = await self._understand(headers, body, caller, uploads, deployment)
        except BaseException:
            uploads.close()
            raise
        departure = Departure(receive)
        facts = replace(facts, gone=lambda: departure.happened)
        try:
            abort = scope["state"].get(ABORT, _no_abort)
            return await self._answered(call, model, caller, facts, uploads, departure, send, abort)
        finally:
            departure.stop()

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
        if not call.stream:
            uploads.close()
        if await deliver(answer, departure, send, self._stall, abort):
            uploads.close()
        return answer.status

    async def _understand(
        self,
        headers: dict[bytes, bytes],
        body: Body,
        caller: Caller,
        uploads: Uploads,
        deployment: str | None,
    ) -> tuple[ImageCall, PublicModel]:
        raw = await self._intake.read(body, headers, self._operation, uploads)
        if body.received > IN_THREAD and isinstance(raw, JsonBody):
            return await asyncio.to_thread(self._judge, raw, caller, deployment)
        return self._judge(raw, caller, deployment)

    def _judge(
        self, body: RawRequest | JsonBody, caller: Caller, deployment: str | None
    ) -> tuple[ImageCall, PublicModel]:
        raw = body
        if isinstance(raw, JsonBody):
            raw = RawRequest(raw.operation, Encoding.JSON, decode_object(raw.data))
        name = deployment or model_name(raw, self._normalization.default_model)
        model = choose_model(name, caller, self._directory, self._catalog, self._today())
        call = validate(
            raw,
            name=name,
            entry=model.entry,
            defaults=model.defaults,
            unknown=self._normalization.unknown_fields,
        )
        return replace(call, inputs=input_sizes(call, raw.files)), model


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
