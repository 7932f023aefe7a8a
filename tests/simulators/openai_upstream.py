"""A fake of OpenAI's image API on a real loopback port, faithful in bytes and scriptable in misbehaviour.

It serves, with OpenAI's own authentication, validation, headers, key order, token counts and framing::

    POST /v1/images/generations   /v1/images/edits      Authorization: Bearer sk-upstream
    GET  /v1/models   /v1/models/{id}
    POST /openai/v1/images/…                            api-key: … (Azure's v1 form; model = deployment)
    POST /openai/deployments/{deployment}/images/…?api-version=…        (Azure's classic form)

What it does with a call of the image routes is, in this order: ``outage``, the next :meth:`Upstream.plan`,
the ``x-upstream`` header, a directive in the prompt, ``default``. In a test::

    async with Upstream() as upstream:
        upstream.plan(error("rate_limit"), ok(bytes=28_000_000, usage="before"))
        …                                   # point something at upstream.base_url with upstream.key
        assert [call.status for call in upstream.calls] == [429, 200]

As a process: ``python -m tests.simulators.openai_upstream --port 0`` prints its port. There,
``GET /_/calls``, ``GET /_/stats``, ``POST /_/plan`` (a JSON array of directives), ``POST /_/outage`` (a
directive or null) and ``POST /_/reset`` stand for the attributes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from tests.simulators.answers import job_usage
from tests.simulators.behaviours import Behaviour, from_text, in_prompt, ok
from tests.simulators.calls import Call
from tests.simulators.delivery import break_off, until_gone
from tests.simulators.forms import BrokenForm, parse_form
from tests.simulators.http1 import ClientGone, Connection, Request, Server
from tests.simulators.models import MODELS, Model
from tests.simulators.refusals import EMPTY_404, NO_KEY, REFUSALS, refusal, wrong_key
from tests.simulators.replies import list_models, refuse, respond, stream
from tests.simulators.routes import Route, route
from tests.simulators.validation import Fields, Job, check, read_form, read_json
from tests.simulators.wording import Refused, invalid, wrong_content_type

KEY = "sk-upstream"
AZURE_KEY = "azure-upstream"
DEPLOYMENTS = {"img2-prod": "gpt-image-2", "my-gpt-image-2": "gpt-image-2", "mini-prod": "gpt-image-1-mini"}
SMALL = 64 * 2**10


class Upstream:
    """``keys`` that are accepted, ``deployments`` of the Azure forms (name → model), ``default`` behaviour.

    ``send_buffer`` bounds, in bytes, what the kernel takes for a client that does not read; without it a few
    megabytes count as sent. ``keep`` is the number of calls remembered, ``keep_files`` whether with the
    bytes of their files and bodies.
    """

    def __init__(
        self,
        *,
        key: str = KEY,
        azure_key: str = AZURE_KEY,
        deployments: Mapping[str, str] = DEPLOYMENTS,
        default: Behaviour | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        send_buffer: int | None = None,
        keep: int = 10_000,
        keep_files: bool = True,
    ) -> None:
        self.key, self.azure_key = key, azure_key
        self.deployments = dict(deployments)
        self.default = default or ok()
        self.outage: Behaviour | None = None
        """What every call meets, whatever it asks for, until this is None again."""
        self.calls: deque[Call] = deque(maxlen=keep)
        self.running = 0
        self.most_running = 0
        self._host = host
        self._server = Server(self._serve, self._at_head, host=host, port=port, send_buffer=send_buffer)
        self._keep_files = keep_files
        self._plan: deque[Behaviour] = deque()
        self._numbers = itertools.count(1)
        self._arrived = asyncio.Condition()

    # -- life

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    async def __aenter__(self) -> Upstream:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``: the ``base_url`` of an Azure provider."""
        return f"http://{self._host}:{self.port}"

    @property
    def base_url(self) -> str:
        """Up to and including ``/v1``: the ``base_url`` of an OpenAI provider or SDK."""
        return f"{self.origin}/v1"

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._server.connections)

    # -- script and record

    def plan(self, *behaviours: Behaviour) -> None:
        """Behaviours for the next calls of the image routes, one each, after those planned before."""
        self._plan.extend(behaviours)

    @property
    def planned(self) -> int:
        """How many planned behaviours have not been used."""
        return len(self._plan)

    @property
    def images(self) -> list[Call]:
        """The calls of the image routes."""
        return [call for call in self.calls if call.operation]

    def reset(self) -> None:
        """Forget plan and calls."""
        self._plan.clear()
        self.calls.clear()
        self.most_running = self.running

    async def wait_for(self, count: int, timeout: float = 10.0) -> list[Call]:
        """The image calls, once at least ``count`` of them have arrived."""
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: len(self.images) >= count)
        return self.images

    # -- requests

    def _at_head(self, request: Request, connection: Connection) -> Awaitable[None] | None:
        found = route(request.path)
        if found is None or found.operation is None or not self._plan:
            return None
        if not (self._plan[0].early or self._plan[0].at == "during_body"):
            return None
        return self._without_body(request, connection, found, self._plan.popleft())

    async def _without_body(
        self, request: Request, connection: Connection, found: Route, behaviour: Behaviour
    ) -> None:
        call = self._record(request, connection, found)
        call.behaviour = behaviour
        await self._notify()
        try:
            if behaviour.refusal is not None:
                await refuse(call, connection, behaviour.refusal)
                call.answered = True
                # Closing with unread bytes would reset the connection and lose the answer: read on a while.
                await until_gone(connection, 2)
            else:
                await break_off(connection, behaviour)
        finally:
            call.done.set()

    async def _serve(self, request: Request, connection: Connection) -> None:
        if request.path.startswith("/_/"):
            await self._control(request, connection)
            return
        found = route(request.path)
        call = self._record(request, connection, found)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self._answer(call, request, connection, found)
        except ClientGone:
            call.disconnected = True
            raise
        finally:
            self.running -= 1
            call.done.set()
            if not self._keep_files:
                call.body = b""
                call.files = [replace(part, data=b"") for part in call.files]

    def _record(self, request: Request, connection: Connection, found: Route | None) -> Call:
        call = Call(
            number=next(self._numbers),
            connection=id(connection),
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            header_list=request.header_list,
            body=request.body,
            received_at=asyncio.get_running_loop().time(),
            operation=found.operation if found and request.method == "POST" else None,
            request_id=f"req_{uuid.uuid4().hex}",
        )
        self.calls.append(call)
        return call

    async def _notify(self) -> None:
        async with self._arrived:
            self._arrived.notify_all()

    async def _answer(
        self, call: Call, request: Request, connection: Connection, found: Route | None
    ) -> None:
        if found is None or call.operation is None:
            await self._answer_other(call, request, connection, found)
            return
        job: Job | None = None
        try:
            fields, form = self._read(call, request, found)
            model = self._deployed(request, fields, found)
            job = check(fields, edit=call.operation == "edits", form=form, azure=found.azure, model=model)
        except Refused as refused:
            call.problem = refused.answer
        behaviour = call.behaviour = self._choose(call, request)
        await self._notify()
        if job is not None and behaviour.refusal is None:
            # The work is done and billed, whoever gets to see it.
            call.usage = job_usage(job, job.n if behaviour.count is None else behaviour.count)
        await connection.sleep(behaviour.delay)
        if behaviour.at == "before_headers":
            await break_off(connection, behaviour)
        elif behaviour.refusal is not None or job is None:
            answer = behaviour.refusal or call.problem
            assert answer is not None
            await refuse(call, connection, answer)
            call.answered = True
        elif job.stream:
            await stream(call, connection, job, behaviour)
        else:
            await respond(call, connection, job, behaviour)

    async def _answer_other(
        self, call: Call, request: Request, connection: Connection, found: Route | None
    ) -> None:
        """Models, and everything that OpenAI answers with an empty 404."""
        if found is None or found.operation or request.method != "GET":
            await refuse(call, connection, EMPTY_404)
        else:
            try:
                self._authenticate(request, found)
            except Refused as refused:
                await refuse(call, connection, refused.answer)
            else:
                await list_models(call, connection, found.model)
        call.answered = True

    def _choose(self, call: Call, request: Request) -> Behaviour:
        if self.outage is not None:
            return self.outage
        if self._plan:
            return self._plan.popleft()
        if "x-upstream" in request.headers:
            return from_text(request.headers["x-upstream"])
        return in_prompt(str(call.fields.get("prompt", ""))) or self.default

    def _read(self, call: Call, request: Request, found: Route) -> tuple[Fields, bool]:
        """The request's fields, and whether they came as a form. They are recorded also for a caller who is
        then refused for his key."""
        problem: Refused | None = None
        form = request.content_type == "multipart/form-data" and call.operation == "edits"
        fields: Fields = {}
        try:
            if form:
                parsed = parse_form(request.headers["content-type"], request.body)
                call.files = parsed.files
                call.fields = dict(parsed.texts)
                fields = read_form(parsed)
            elif request.content_type == "application/json":
                call.fields = fields = read_json(request.body)
            else:
                raise wrong_content_type(request.headers.get("content-type", ""))
        except BrokenForm as broken:
            problem = Refused(refusal(400, f"Could not parse multipart form: {broken}."))
        except Refused as refused:
            problem = refused
        self._authenticate(request, found)
        if problem is not None:
            raise problem
        return fields, form

    def _authenticate(self, request: Request, found: Route) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if found.azure:
            if request.headers.get("api-key", token) != self.azure_key:
                raise Refused(REFUSALS["azure_key"])
        elif scheme.lower() != "bearer" or not token:
            raise Refused(NO_KEY)
        elif token != self.key:
            raise Refused(wrong_key(token))

    def _deployed(self, request: Request, fields: Fields, found: Route) -> Model | None:
        """The model behind an Azure deployment; None where the body's own model counts."""
        if not found.azure:
            return None
        name = found.deployment
        if name is None:
            asked = fields.get("model")
            if not isinstance(asked, str):
                return None  # the usual checks will say what is wrong with it
            name = asked
        elif "api-version" not in request.query:
            raise Refused(REFUSALS["azure_path"])
        elif fields.get("model", "gpt-image-2") not in MODELS:
            # Reported of the classic form: a deployment's name in the body breaks the call.
            raise invalid("model", f"Invalid value: '{fields['model']}'.")
        if name not in self.deployments:
            raise Refused(REFUSALS["azure_deployment"])
        return MODELS[self.deployments[name]]

    # -- a process's face

    async def _control(self, request: Request, connection: Connection) -> None:
        answer: object = {}
        if request.path == "/_/calls":
            answer = [call.summary() for call in self.calls]
        elif request.path == "/_/plan":
            self.plan(*map(from_text, json.loads(request.body)))
        elif request.path == "/_/outage":
            directive = json.loads(request.body)
            self.outage = None if directive is None else from_text(directive)
        elif request.path == "/_/reset":
            self.reset()
        elif request.path != "/_/stats":
            await connection.respond(404, [], b"")
            return
        else:
            answer = {
                "calls": len(self.calls),
                "running": self.running,
                "most_running": self.most_running,
                "connections": self.connections,
                "disconnected": sum(call.disconnected for call in self.calls),
            }
        body = json.dumps(answer).encode()
        await connection.respond(200, [("Content-Type", "application/json")], body)


async def _main(arguments: argparse.Namespace) -> None:
    upstream = Upstream(
        port=arguments.port,
        key=arguments.key,
        default=from_text(arguments.default),
        keep=arguments.keep,
        keep_files=False,
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with upstream:
        print(upstream.port, flush=True)
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake of OpenAI's image API; prints its port.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--default", default="ok", help="e.g. 'ok bytes=1024 delay=0.5'")
    parser.add_argument("--keep", type=int, default=1000, help="calls remembered")
    try:
        import uvloop
    except ImportError:
        factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
