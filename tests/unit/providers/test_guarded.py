"""Guarded fetching over real sockets: what comes back, what is refused, and where no connection ever goes."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.media import FetchSettings
from config.upstream import UpstreamSettings
from providers import guarded, public_address
from providers.guarded import MOST_REDIRECTS, FetchFailed, GuardedFetch, Reason
from tests.conftest import NOT_TESTED
from tests.servers import NotObtainable
from tests.simulators.file_server import (
    FileServer,
    Visit,
    drips,
    file_server,
    moves,
    never_ends,
    says,
    says_nothing,
    tls_for,
)

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(1000)


@contextlib.asynccontextmanager
async def fetching(*named: str, **settings: Any) -> AsyncIterator[GuardedFetch]:
    fetch = GuardedFetch(FetchSettings(private_origins=list(named), **settings))
    try:
        yield fetch
    finally:
        await fetch.aclose()


async def body_of(fetch: GuardedFetch, url: str, **bounds: Any) -> bytes:
    async with fetch.fetch(url, **bounds) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def failure(fetch: GuardedFetch, url: str, **bounds: Any) -> FetchFailed:
    with pytest.raises(FetchFailed) as failed:
        await body_of(fetch, url, **bounds)
    return failed.value


@pytest.fixture
async def server() -> AsyncIterator[FileServer]:
    async with file_server({"/a.png": says(PICTURE)}) as running:
        yield running


async def test_a_named_origin_is_fetched(server: FileServer) -> None:
    async with fetching(server.origin) as fetch:
        assert await body_of(fetch, f"{server.origin}/a.png") == PICTURE


async def test_a_providers_own_server_may_be_fetched_from_for_its_answers_alone(server: FileServer) -> None:
    url = f"{server.origin}/a.png"
    async with fetching() as fetch:
        assert await body_of(fetch, url, also=[f"{server.origin}/v1"]) == PICTURE
        for others in ([], ["http://127.0.0.1:1/v1"], ["https://127.0.0.1"], ["nonsense"], [""]):
            assert (await failure(fetch, url, also=others)).reason is Reason.FORBIDDEN


async def test_nothing_of_ours_goes_along(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with fetching(server.origin) as fetch:
        await body_of(fetch, f"{server.origin}/a.png")
    (visit,) = server.visits
    assert visit.headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept": "image/*",
        "accept-encoding": "identity",
        "user-agent": "imagegate",
        "connection": "close",
    }


async def test_a_cookie_is_not_kept(server: FileServer) -> None:
    async def with_cookie(visit: Visit) -> None:
        await visit.say(302, {"Location": "/a.png", "Set-Cookie": "a=b", "Content-Length": 0})

    server.pages["/cookie"] = with_cookie
    async with fetching(server.origin) as fetch:
        await body_of(fetch, f"{server.origin}/cookie")
    assert [("cookie" in visit.headers, "referer" in visit.headers) for visit in server.visits] == [
        (False, False)
    ] * 2


async def test_f08_without_its_name_an_inner_server_is_never_connected_to(server: FileServer) -> None:
    async with fetching() as fetch:
        error = await failure(fetch, f"https://127.0.0.1:{server.port}/a.png")
        assert error.reason is Reason.FORBIDDEN
    assert server.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed_each_judged_anew(server: FileServer, status: int) -> None:
    server.pages["/there"] = moves("a.png", status)
    server.pages["/inside"] = moves("https://127.0.0.1:1/", status)
    server.pages["/metadata"] = moves("http://169.254.169.254/latest/", status)
    server.pages["/plain"] = moves("http://example.com/", status)
    server.pages["/file"] = moves("file:///etc/passwd", status)
    server.pages["/broken"] = moves("https://[", status)
    server.pages["/nowhere"] = moves("", status)
    async with fetching(server.origin) as fetch:
        assert await body_of(fetch, f"{server.origin}/there") == PICTURE
        for page in ("inside", "metadata", "plain", "file", "broken"):
            assert (await failure(fetch, f"{server.origin}/{page}")).reason is Reason.FORBIDDEN, page
        assert (await failure(fetch, f"{server.origin}/nowhere")).reason is Reason.REDIRECTS


async def test_redirects_end(server: FileServer) -> None:
    for number in range(MOST_REDIRECTS):
        server.pages[f"/{number}"] = moves(f"/{number + 1}")
    server.pages[f"/{MOST_REDIRECTS}"] = says(PICTURE)
    server.pages["/round"] = moves("/round")
    async with fetching(server.origin) as fetch:
        assert await body_of(fetch, f"{server.origin}/0") == PICTURE
        server.visits.clear()
        assert (await failure(fetch, f"{server.origin}/round")).reason is Reason.REDIRECTS
        assert len(server.visits) == MOST_REDIRECTS + 1


async def test_size_is_bounded_by_what_is_said_and_by_what_comes(server: FileServer) -> None:
    server.pages["/long"] = says(PICTURE, length=2**40)
    server.pages["/endless"] = never_ends(bytes(65536))
    async with fetching(server.origin) as fetch:
        for page in ("long", "endless"):
            error = await failure(fetch, f"{server.origin}/{page}", most_bytes=1 << 20)
            assert error.reason is Reason.TOO_LARGE
        assert len(await body_of(fetch, f"{server.origin}/a.png", most_bytes=len(PICTURE))) == len(PICTURE)


@pytest.mark.parametrize("page", [drips(PICTURE, 0.02), says_nothing(), moves("/slow")])
async def test_time_is_bounded_over_the_whole_fetch(server: FileServer, page: Any) -> None:
    server.pages["/slow"] = page
    async with fetching(server.origin) as fetch:
        async with asyncio.timeout(15):
            error = await failure(fetch, f"{server.origin}/slow", seconds=0.3)
    assert error.reason in (Reason.TOO_SLOW, Reason.REDIRECTS)


async def test_an_answer_that_is_cut_is_no_picture(server: FileServer) -> None:
    server.pages["/cut"] = says(PICTURE, length=len(PICTURE) + 1)
    async with fetching(server.origin) as fetch:
        assert (await failure(fetch, f"{server.origin}/cut")).reason is Reason.UNREACHABLE


@pytest.mark.parametrize("status", [204, 206, 401, 404, 500])
async def test_another_status_is_told(server: FileServer, status: int) -> None:
    server.pages["/no"] = says(b"", status)
    async with fetching(server.origin) as fetch:
        error = await failure(fetch, f"{server.origin}/no")
    assert (error.reason, str(status) in error.message) == (Reason.REFUSED, True)


async def test_what_is_no_http_or_not_there_is_unreachable(server: FileServer) -> None:
    async def garbage(visit: Visit) -> None:
        visit.writer.write(b"SSH-2.0-OpenSSH_9\r\n\r\n")
        await visit.writer.drain()

    server.pages["/ssh"] = garbage
    gone = "http://127.0.0.1:1"
    async with fetching(server.origin, gone) as fetch:
        for url in (f"{server.origin}/ssh", gone):
            error = await failure(fetch, url)
            assert error.reason is Reason.UNREACHABLE
            assert "127" not in error.message


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Every name resolves to the first answer, then to the next; the look-ups that were made."""
    asked: list[str] = []
    left = list(answers)

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            (family[ipaddress.ip_address(text).version], socket.SOCK_STREAM, 6, "", (text, port))
            for text in found
        ]

    monkeypatch.setattr(guarded.socket, "getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["8.8.8.8", "127.0.0.1"],
        ["2606:4700::1111", "::1"],
        ["64:ff9b::a9fe:a9fe"],
        ["::ffff:10.0.0.1"],
        [],
    ],
)
async def test_f08_a_name_with_one_address_inside_is_refused_like_one_that_does_not_exist(
    monkeypatch: pytest.MonkeyPatch, found: list[str]
) -> None:
    names(monkeypatch, found)
    async with fetching() as fetch:
        error = await failure(fetch, "https://pictures.example/a.png")
    assert (error.reason, error.message) == (Reason.FORBIDDEN, public_address.NOT_PUBLIC)
    assert (error.host, error.kind is not None) == ("pictures.example", True)


async def test_a_socket_to_an_address_that_nobody_judged_is_not_made() -> None:
    judged = frozenset({ipaddress.ip_address("8.8.8.8")})
    with pytest.raises(PermissionError):
        guarded._socket(judged, (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443)))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    try:
        return tls_for("DNS:pictures.example", tmp_path_factory.mktemp("tls"))
    except NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")


@contextlib.asynccontextmanager
async def public(
    monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, Path], **upstream: Any
) -> AsyncIterator[tuple[FileServer, GuardedFetch]]:
    """A server on 127.0.0.2, which counts as public here, at the usual port of https."""
    real = public_address.refused_as
    monkeypatch.setattr(
        public_address, "refused_as", lambda address: None if str(address) == "127.0.0.2" else real(address)
    )
    async with file_server({"/a.png": says(PICTURE)}, host="127.0.0.2", tls=tls[0]) as server:
        monkeypatch.setitem(public_address._PORTS, "https", server.port)
        fetch = GuardedFetch(FetchSettings(), UpstreamSettings(ca_file=str(tls[1]), **upstream))
        try:
            yield server, fetch
        finally:
            await fetch.aclose()


async def test_the_connection_goes_to_the_judged_address_under_the_hosts_name(
    monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, Path]
) -> None:
    """DNS rebinding: a second look-up would lead to 127.0.0.1, and there is none. The certificate was checked
    for the name, so TLS asked for it."""
    asked = names(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    async with public(monkeypatch, tls) as (server, fetch):
        assert await body_of(fetch, "https://pictures.example/a.png") == PICTURE
        assert asked == ["pictures.example"]
        assert server.visits[0].headers["host"] == "pictures.example"
        error = await failure(fetch, "https://pictures.example/a.png")
        assert (error.reason, server.connections) == (Reason.FORBIDDEN, 1)


async def test_a_certificate_of_another_host_is_refused(
    monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, Path]
) -> None:
    names(monkeypatch, ["127.0.0.2"])
    async with public(monkeypatch, tls) as (server, fetch):
        error = await failure(fetch, "https://other.example/a.png")
        assert (error.reason, server.visits) == (Reason.UNREACHABLE, [])


async def test_a_redirect_whose_host_turns_inward_is_refused(
    monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, Path]
) -> None:
    names(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    async with public(monkeypatch, tls) as (server, fetch):
        server.pages["/turn"] = moves("https://pictures.example/a.png")
        error = await failure(fetch, "https://pictures.example/turn")
        assert (error.reason, server.connections) == (Reason.FORBIDDEN, 1)


async def test_a_proxy_is_told_the_judged_address_and_no_name(
    monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, Path]
) -> None:
    names(monkeypatch, ["127.0.0.2"])
    asked: list[str] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head)
        host, _, port = head.split()[1].rpartition(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    address = f"http://name:secret@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    async with public(monkeypatch, tls, proxy=address) as (server, fetch):
        assert await body_of(fetch, "https://pictures.example/a.png") == PICTURE
        assert server.visits[0].headers["host"] == "pictures.example"
        assert "proxy-authorization" not in server.visits[0].headers
    assert asked[0].startswith(f"CONNECT 127.0.0.2:{server.port} ")
    assert "Proxy-Authorization: Basic" in asked[0]
    proxy.close()
