"""The HTTP face on a real port: uvicorn in a thread, keys in memory, an engine that makes no picture."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvicorn

from config.catalog import CatalogModel, load_catalog
from config.schema import Settings
from gateway.api.auth import Authenticator
from gateway.api.connection import Connection
from gateway.api.router import ApiParts, build_app
from gateway.api.usage import Standings
from gateway.caller import Caller
from gateway.engine.answer import Answer, RequestFacts
from gateway.images.call import ImageCall
from gateway.ledger.keyformat import digest, new_key
from gateway.ledger.keys import KeyRecord
from gateway.media.store import MediaStore
from gateway.quota.of_settings import LimitBook
from gateway.routing.directory import ModelDirectory, PublicModel, Target
from gateway.routing.plan import Plan, plan
from providers.base import InputFile

KEY = "sk-test-declared-key-0123456789"
NARROW_KEY = "sk-test-narrow-key-0123456789"
PEPPER = b"pepper of the tests"
TODAY = date(2026, 11, 20)
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c626001000000ffff03000006000557bfabd40000000049454e44ae426082"
)
MODELS = ("gpt-image-2", "gpt-image-1.5", "gpt-image-2.5-sunburst", "gpt-image-2.6-flare", "sandbox")


def settings_with(uploads: Path | None = None, **server: Any) -> Settings:
    """``uploads`` is the folder that large uploads go to."""
    return Settings.model_validate(
        {
            "server": server,
            "spool": {"directory": str(uploads) if uploads else None},
            "organization": {
                "projects": [
                    {
                        "name": "Growth.Team",
                        "keys": [
                            {"name": "ci", "sha256": sha256(KEY.encode()).hexdigest()},
                            {
                                "name": "narrow",
                                "sha256": sha256(NARROW_KEY.encode()).hexdigest(),
                                "models": ["sandbox"],
                            },
                        ],
                    }
                ]
            },
        }
    )


def free_form(name: str) -> CatalogModel:
    return load_catalog().describe("openai-compatible", name)


def directory_of(*names: str) -> ModelDirectory:
    catalog = load_catalog()
    models = []
    for name in names:
        entry = catalog.get(name)
        assert entry is not None, name
        models.append(PublicModel(name, (Target("somewhere", name, entry),), entry))
    anything = free_form("anything")
    models.append(PublicModel("anything", (Target("elsewhere", "anything", anything),), anything))
    keyless = catalog.get("gpt-image-2")
    assert keyless is not None
    reason = "provider 'openai' has no key: the environment variable OPENAI_API_KEY is not set"
    models.append(PublicModel("keyless", (Target("openai", "gpt-image-2", keyless, reason),), keyless))
    return ModelDirectory(models)


@dataclass
class FakeEngine:
    """Keeps what it was asked for, once it has a plan for it as the real one must; ``work`` may fail or wait;
    ``answer`` is what it gives back."""

    calls: list[ImageCall] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    facts: list[RequestFacts] = field(default_factory=list)
    read: list[bytes] = field(default_factory=list)
    delivered: list[bool] = field(default_factory=list)
    work: Callable[[ImageCall], Awaitable[None]] | None = None
    chunks: Callable[[], AsyncIterator[bytes]] | None = None
    length: int | None = 2
    directory: ModelDirectory = field(default_factory=lambda: ModelDirectory([]))
    plans: list[Plan] = field(default_factory=list)

    async def run(self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts) -> Answer:
        self.plans.append(plan(call, model, caller, self.directory))
        self.calls.append(call)
        self.callers.append(caller)
        self.facts.append(facts)
        for image in call.images:
            if isinstance(image, InputFile):
                with image.open() as first, image.open() as second:
                    whole = first.read()
                    assert second.read() == whole, "a second handle starts at 0 and stands alone"
                self.read.append(whole)
        if self.work is not None:
            await self.work(call)
        content_type = "application/json" if self.length is not None else "text/event-stream"

        async def delivered(complete: bool) -> None:
            self.delivered.append(complete)

        chunks = (self.chunks or _braces)()
        return Answer(200, [("x-imagegate-model", model.name)], content_type, chunks, self.length, delivered)


async def _braces() -> AsyncIterator[bytes]:
    yield b"{"
    yield b"}"


class FakeDryRuns:
    """Tells the model's name; keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[ImageCall] = []

    async def tell(
        self, call: ImageCall, model: PublicModel, caller: Caller, facts: RequestFacts
    ) -> Mapping[str, object]:
        self.calls.append(call)
        return {"estimated": True, "model": model.name}


class FakeKeys:
    """Keys in memory, and how often they were looked up."""

    def __init__(self) -> None:
        self.records: dict[str, KeyRecord] = {}
        self.look_ups = 0

    def add(self, project_id: str = "growth-team", **changes: Any) -> str:
        key = new_key()
        record = {"expires_at": None, "revoked_at": None, "models": None, **changes}
        self.records[digest(key, PEPPER)] = KeyRecord(
            id=f"key_{len(self.records)}",
            project_id=project_id,
            name="stored",
            redacted="sk-ig-...",
            created_at=datetime.now(UTC),
            **record,
        )
        return key

    async def find(self, digest: str) -> KeyRecord | None:
        self.look_ups += 1
        return self.records.get(digest)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object, after a look at the envelope that every refusal has."""
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"].startswith("req_")
        assert list(self.json) == ["error"]
        error: dict[str, Any] = self.json["error"]
        assert {"message", "type", "param", "code"} <= set(error)
        assert isinstance(error["message"], str)
        assert error["message"]
        return error


@dataclass
class Face:
    """A running HTTP face and what stands behind it."""

    port: int
    engine: FakeEngine
    keys: FakeKeys
    app: Any
    uploads: Path
    mode: str | None = None
    """What ``x-imagegate-size-mode`` says in every request; None: nothing."""

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = KEY,
    ) -> Reply:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            sent = {"authorization": f"Bearer {key}"} if key else {}
            if self.mode is not None:
                sent["x-imagegate-size-mode"] = self.mode
            link.request(method, path, body, {**sent, **(headers or {})})
            answer = link.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            link.close()

    def post_json(self, path: str, document: object, key: str | None = KEY) -> Reply:
        return self.request(
            "POST", path, json.dumps(document).encode(), {"content-type": "application/json"}, key
        )

    def generate(self, **fields: object) -> Reply:
        return self.post_json("/v1/images/generations", {"model": "gpt-image-2", "prompt": "a dot", **fields})

    def edit_form(self, *parts: bytes, boundary: str = "b") -> Reply:
        return self.request(
            "POST",
            "/v1/images/edits",
            form(*parts, boundary=boundary),
            {"content-type": f"multipart/form-data; boundary={boundary}"},
        )

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)


def text(name: str, value: str | bytes, extra: str = "") -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return f'Content-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + data


def file(
    name: str, data: bytes = PNG, filename: str | None = "a.png", kind: str | None = "image/png"
) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"'
    head += f'; filename="{filename}"' if filename is not None else ""
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return f"{head}\r\n\r\n".encode() + data


def form(*parts: bytes, boundary: str = "b") -> bytes:
    edge = f"--{boundary}".encode()
    return b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--\r\n"


@contextmanager
def face(
    settings: Settings | None = None,
    *,
    engine: FakeEngine | None = None,
    keys: FakeKeys | None = None,
    directory: ModelDirectory | None = None,
    ready: Callable[[], Awaitable[bool]] | None = None,
    normalization: Mapping[str, object] | None = None,
    quota: Standings | None = None,
    media: MediaStore | None = None,
) -> Iterator[Face]:
    """Serve until the block ends. With ``quota``, ``/v1/usage`` too; with ``media``, ``/media``."""
    engine, keys = engine or FakeEngine(), keys or FakeKeys()
    engine.directory = directory = directory or directory_of(*MODELS)
    settings = settings or settings_with()
    if normalization:
        settings = Settings.model_validate({**settings.model_dump(), "normalization": normalization})
    parts = ApiParts(
        settings=settings,
        directory=directory,
        catalog=load_catalog(),
        engine=engine,
        authenticator=Authenticator(settings, keys, PEPPER),
        dry_runs=FakeDryRuns(),
        ready=ready or _yes,
        limits=LimitBook(settings, load_catalog()) if quota else None,
        quota=quota,
        media=media,
        today=lambda: TODAY,
    )
    app = build_app(parts)
    # With the protocol named, asyncio turns Nagle's algorithm off; without it, every answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    server = _InThread(
        uvicorn.Config(
            app, http=Connection, ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=5
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield Face(listener.getsockname()[1], engine, keys, app, Path(settings.spool.directory or "/tmp"))
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


class _InThread(uvicorn.Server):
    """Signals belong to the test run."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _yes() -> bool:
    return True


def uploads_left(folder: Path) -> list[str]:
    """Files in the folder, and this process's descriptors of files there that have no name any more."""
    left = [path.name for path in folder.iterdir()]
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            if target.startswith(f"{folder}/"):
                left.append(target)
    return left
