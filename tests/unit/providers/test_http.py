"""The upstream client against real sockets: what each way of breaking means."""

from __future__ import annotations

import asyncio
import random
import ssl
import subprocess
from pathlib import Path

import pytest

from config.accounts.openai import OpenAICompatibleProvider
from config.upstream import UpstreamSettings
from providers.base import Certainty, ImageRequest, Kind, Operation, Provider, ProviderError
from providers.http import READ_BUFFER, UpstreamClient
from providers.registry import build
from tests.unit.providers.wire import (
    Call,
    Counted,
    answers,
    body_of,
    eventually,
    failure,
    free_port,
    generation,
    picture_file,
    upstream,
)


def provider_at(url: str, client: UpstreamClient, **settings: object) -> Provider:
    config = OpenAICompatibleProvider(type="openai-compatible", base_url=url, **settings)  # type: ignore[arg-type]
    return build("here", config, client, base=Path())


def is_(error: ProviderError, kind: Kind, certainty: Certainty) -> bool:
    return (error.kind, error.certainty) == (kind, certainty)


class TestBeforeSending:
    async def test_a_refused_connection_is_not_sent(self, client: UpstreamClient) -> None:
        error = await failure(provider_at(f"http://127.0.0.1:{free_port()}", client), generation())
        assert is_(error, Kind.SERVER, Certainty.NOT_SENT)
        assert "refused" in error.message

    async def test_an_unknown_host_is_not_sent(self, client: UpstreamClient) -> None:
        error = await failure(provider_at("http://nowhere.invalid/v1", client), generation(), 15)
        assert is_(error, Kind.SERVER, Certainty.NOT_SENT)
        assert "host name could not be resolved" in error.message

    async def test_a_certificate_nobody_vouches_for_is_not_sent(
        self, client: UpstreamClient, tls: tuple[ssl.SSLContext, Path]
    ) -> None:
        async with upstream(answers(), tls=tls[0]) as there:
            error = await failure(provider_at(there.url, client), generation())
        assert is_(error, Kind.SERVER, Certainty.NOT_SENT)
        assert "TLS" in error.message
        assert there.calls == []

    async def test_tls_spoken_to_a_plain_server_is_not_sent(self, client: UpstreamClient) -> None:
        async with upstream(answers()) as there:
            error = await failure(provider_at(there.url.replace("http", "https"), client), generation(), 0.5)
        assert error.certainty is Certainty.NOT_SENT

    async def test_a_host_that_accepts_nothing_is_not_sent_within_the_connect_timeout(self) -> None:
        client = UpstreamClient(UpstreamSettings(connect_timeout=0.2, pool_timeout=0.1))
        # TLS hangs in its handshake at a listener that never speaks.
        async with upstream(answers()) as there:
            silent = await asyncio.start_server(lambda *_: asyncio.sleep(3), "127.0.0.1", 0)
            url = f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
            error = await asyncio.wait_for(failure(provider_at(url, client), generation(), 10), 8)
            silent.close()
        assert is_(error, Kind.TIMEOUT, Certainty.NOT_SENT)
        assert there.calls == []
        await client.aclose()

    async def test_a_call_is_not_begun_once_its_caller_has_no_patience_left(
        self, client: UpstreamClient
    ) -> None:
        """Neither on a connection that comes too late, nor on an idle one that is there at once."""
        silent = await asyncio.start_server(lambda *_: asyncio.sleep(3), "127.0.0.1", 0)
        url = f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        with pytest.raises(ProviderError) as slow:
            async with asyncio.timeout(8):
                await provider_at(url, client).send(generation(), 10, patience=0.2)
        silent.close()
        async with upstream(answers()) as there:
            here = provider_at(there.url, client)
            assert await body_of(await here.send(generation(), 10, patience=1))
            with pytest.raises(ProviderError) as late:
                await here.send(generation(), 10, patience=0)
            assert len(there.calls) == 1
        for raised in (slow, late):
            assert is_(raised.value, Kind.TIMEOUT, Certainty.NOT_SENT)

    async def test_a_body_that_is_not_read_is_not_sent_within_the_write_timeout(self) -> None:
        client = UpstreamClient(UpstreamSettings(write_timeout=0.3))
        source = Counted(bytes(32 * 2**20))

        async def never_reads(call: Call) -> None:
            call.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(5)

        async with upstream(never_reads) as there:
            request = ImageRequest(Operation.EDIT, "m", "p", {}, [source.file()])
            error = await failure(provider_at(there.url, client), request, 20)
        assert is_(error, Kind.TIMEOUT, Certainty.NOT_SENT)
        assert source.open_now == 0
        await client.aclose()

    async def test_a_reset_while_the_body_is_written_is_not_sent(self, client: UpstreamClient) -> None:
        source = Counted(bytes(32 * 2**20))

        async def hangs_up(call: Call) -> None:
            await call.reader.readexactly(1000)
            call.reset()

        async with upstream(hangs_up) as there:
            request = ImageRequest(Operation.EDIT, "m", "p", {}, [source.file()])
            error = await failure(provider_at(there.url, client), request)
        assert is_(error, Kind.SERVER, Certainty.NOT_SENT)
        assert source.open_now == 0

    async def test_an_input_that_is_gone_is_not_sent_and_its_path_is_not_told(
        self, client: UpstreamClient, tmp_path: Path
    ) -> None:
        gone = tmp_path / "secret-name.png"
        file = picture_file(b"x")
        missing = type(file)(file.filename, file.content_type, 10, lambda: gone.open("rb"))
        async with upstream(answers()) as there:
            error = await failure(
                provider_at(there.url, client), ImageRequest(Operation.EDIT, "m", "p", {}, [missing])
            )
        assert is_(error, Kind.SERVER, Certainty.NOT_SENT)
        assert "secret-name" not in error.message

    async def test_an_input_that_shrank_is_not_sent(self, client: UpstreamClient) -> None:
        source = Counted(b"short")
        async with upstream(answers()) as there:
            request = ImageRequest(Operation.EDIT, "m", "p", {}, [source.file(size=100)])
            error = await failure(provider_at(there.url, client), request)
        assert is_(error, Kind.SERVER, Certainty.NOT_SENT)
        assert source.open_now == 0


class TestAfterSending:
    async def test_silence_until_the_deadline_is_maybe_accepted(self, client: UpstreamClient) -> None:
        async def silent(call: Call) -> None:
            await call.read()
            await asyncio.sleep(60)

        async with upstream(silent) as there:
            error = await asyncio.wait_for(failure(provider_at(there.url, client), generation(), 0.3), 20)
        assert is_(error, Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED)

    @pytest.mark.parametrize("how", ["reset", "close"])
    async def test_an_end_without_an_answer_is_maybe_accepted(self, client: UpstreamClient, how: str) -> None:
        async def ends(call: Call) -> None:
            await call.read()
            call.reset() if how == "reset" else call.writer.close()

        async with upstream(ends) as there:
            error = await failure(provider_at(there.url, client), generation())
        assert is_(error, Kind.SERVER, Certainty.MAYBE_ACCEPTED)

    async def test_an_answer_that_is_not_http_is_maybe_accepted(self, client: UpstreamClient) -> None:
        async def garbage(call: Call) -> None:
            await call.read()
            call.writer.write(b"\x00\x01 what?\r\n\r\n")
            await call.writer.drain()

        async with upstream(garbage) as there:
            error = await failure(provider_at(there.url, client), generation())
        assert is_(error, Kind.SERVER, Certainty.MAYBE_ACCEPTED)

    @pytest.mark.parametrize("how", ["reset", "close"])
    @pytest.mark.parametrize("framing", ["length", "chunked"])
    async def test_a_cut_body_is_answered_bad_payload(
        self, client: UpstreamClient, how: str, framing: str
    ) -> None:
        async def cuts(call: Call) -> None:
            await call.read()
            framed = "content-length: 1000" if framing == "length" else "transfer-encoding: chunked"
            piece = b'{"da' if framing == "length" else b'4\r\n{"da\r\n'
            call.writer.write(
                f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{framed}\r\n\r\n".encode() + piece
            )
            await call.writer.drain()
            await asyncio.sleep(0.05)
            call.reset() if how == "reset" else call.writer.close()

        async with upstream(cuts) as there:
            error = await failure(provider_at(there.url, client), generation())
        assert is_(error, Kind.BAD_PAYLOAD, Certainty.ANSWERED)
        assert error.status == 200

    async def test_silence_in_the_middle_of_the_body_is_maybe_accepted(self, client: UpstreamClient) -> None:
        async def stalls(call: Call) -> None:
            await call.read()
            await call.say(200, b'{"da', {"content-length": "1000"})
            await asyncio.sleep(5)

        async with upstream(stalls) as there:
            error = await failure(provider_at(there.url, client), generation(), 0.4)
        assert is_(error, Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED)

    async def test_a_trickle_does_not_outlive_the_deadline(self, client: UpstreamClient) -> None:
        async def trickles(call: Call) -> None:
            await call.read()
            await call.say(200, b"{", {"content-length": "1000"})
            while True:
                call.writer.write(b" ")
                await call.writer.drain()
                await asyncio.sleep(0.02)

        async with upstream(trickles) as there:
            error = await asyncio.wait_for(failure(provider_at(there.url, client), generation(), 0.4), 20)
        assert is_(error, Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED)


class TestRelay:
    async def test_the_bytes_arrive_unchanged_in_large_chunks(self, client: UpstreamClient) -> None:
        body = random.Random(1).randbytes(4 * 2**20)
        async with upstream(answers(body=body)) as there:
            result = await provider_at(there.url, client).send(generation(), 10)
            chunks = [chunk async for chunk in result.body]
            await result.aclose()
        assert b"".join(chunks) == body
        assert max(map(len, chunks)) > 16 * 1024
        assert max(map(len, chunks)) <= READ_BUFFER

    async def test_a_compressed_answer_is_not_decoded_but_refused(self, client: UpstreamClient) -> None:
        async with upstream(answers(body=b"\x1f\x8b", headers={"content-encoding": "gzip"})) as there:
            error = await failure(provider_at(there.url, client), generation())
            assert there.calls[0].header("accept-encoding") == "identity"
        assert is_(error, Kind.BAD_PAYLOAD, Certainty.ANSWERED)

    async def test_redirects_are_not_followed(self, client: UpstreamClient) -> None:
        async with upstream(answers(307, b"", {"location": "/elsewhere"})) as there:
            error = await failure(provider_at(there.url, client), generation())
            assert len(there.calls) == 1
        assert is_(error, Kind.NOT_FOUND, Certainty.REJECTED)

    async def test_cookies_are_not_kept(self, client: UpstreamClient) -> None:
        async with upstream(answers(headers={"set-cookie": "a=b; Path=/"})) as there:
            here = provider_at(there.url, client)
            await body_of(await here.send(generation(), 5))
            await body_of(await here.send(generation(), 5))
            assert "cookie" not in there.calls[1].names

    async def test_a_connection_is_used_again_and_an_unread_answer_ends_its_own(
        self, client: UpstreamClient
    ) -> None:
        async with upstream(answers()) as there:
            here = provider_at(there.url, client)
            for _ in range(3):
                await body_of(await here.send(generation(), 5))
            assert there.connections == 1
        async with upstream(answers(body=bytes(2**20))) as there:
            here = provider_at(there.url, client)
            for _ in range(3):
                await (await here.send(generation(), 5)).aclose()
            assert there.connections == 3

    async def test_the_environments_proxy_is_not_used(
        self, client: UpstreamClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with upstream(answers()) as there:
            assert await body_of(await provider_at(there.url, client).send(generation(), 5))


class TestProxyAndRoots:
    async def test_a_configured_proxy_carries_the_call_and_gets_its_credentials(self) -> None:
        async with upstream(answers()) as proxy:
            settings = UpstreamSettings(proxy=proxy.url.replace("://", "://me:s%40cret@"))
            client = UpstreamClient(settings)
            await body_of(await provider_at("http://images.invalid/v1", client).send(generation(), 5))
            await client.aclose()
        assert proxy.calls[0].target == "http://images.invalid/v1/images/generations"
        assert proxy.calls[0].header("proxy-authorization") == "Basic bWU6c0BjcmV0"

    async def test_a_proxy_that_refuses_the_tunnel_is_not_sent(self) -> None:
        async with upstream(answers(407, b"")) as proxy:
            client = UpstreamClient(UpstreamSettings(proxy=proxy.url.replace("://", "://me:s%40cret@")))
            error = await failure(provider_at("https://images.invalid/v1", client), generation())
            await client.aclose()
        assert proxy.calls[0].method == "CONNECT"
        assert proxy.calls[0].header("proxy-authorization") == "Basic bWU6c0BjcmV0"
        assert is_(error, Kind.SERVER, Certainty.NOT_SENT)
        assert "proxy" in error.message
        assert "s@cret" not in error.message

    async def test_a_configured_root_is_trusted(self, tls: tuple[ssl.SSLContext, Path]) -> None:
        client = UpstreamClient(UpstreamSettings(ca_file=tls[1].name), base=tls[1].parent)
        async with upstream(answers(), tls=tls[0]) as there:
            assert await body_of(await provider_at(there.url, client).send(generation(), 5))
        await client.aclose()

    def test_a_root_that_cannot_be_read_is_an_error_at_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(OSError):
            UpstreamClient(UpstreamSettings(ca_file="absent.pem"), base=tmp_path)


class TestUploads:
    async def test_a_file_is_read_in_pieces_from_a_fresh_handle_each_time(
        self, client: UpstreamClient
    ) -> None:
        source = Counted(random.Random(2).randbytes(3 * 2**20))
        request = ImageRequest(Operation.EDIT, "m", "p", {}, [source.file()])
        async with upstream(answers()) as there:
            here = provider_at(there.url, client)
            for _ in range(2):
                await body_of(await here.send(request, 10))
            assert all(source.data in call.body for call in there.calls)
        assert source.opened == 2
        assert source.open_now == 0
        assert source.largest_read <= 256 * 1024

    async def test_an_early_refusal_is_heard_while_the_body_is_still_on_its_way(
        self, client: UpstreamClient
    ) -> None:
        source = Counted(bytes(64 * 2**20))

        async def too_large(call: Call) -> None:
            await call.reader.readexactly(1000)
            await call.say(413, b'{"error":{"message":"too large","code":null}}')
            await asyncio.sleep(60)

        async with upstream(too_large) as there:
            request = ImageRequest(Operation.EDIT, "m", "p", {}, [source.file()])
            error = await asyncio.wait_for(failure(provider_at(there.url, client), request, 60), 20)
        assert is_(error, Kind.INVALID, Certainty.REJECTED)
        assert error.status == 413
        assert source.open_now == 0

    async def test_a_cancelled_upload_closes_its_file(self, client: UpstreamClient) -> None:
        source = Counted(bytes(64 * 2**20))

        async def never_reads(call: Call) -> None:
            call.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(5)

        async with upstream(never_reads) as there:
            request = ImageRequest(Operation.EDIT, "m", "p", {}, [source.file()])
            task = asyncio.create_task(provider_at(there.url, client).send(request, 20))
            await eventually(lambda: source.open_now == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert source.open_now == 0


async def test_after_a_storm_of_cancelled_calls_every_later_one_succeeds(client: UpstreamClient) -> None:
    chance = random.Random(7)

    async def slow(call: Call) -> None:
        await call.read()
        await asyncio.sleep(0.02)
        await call.say(200, b'{"data":[]}' + b" " * 100_000)

    async with upstream(slow) as there:
        here = provider_at(there.url, client)

        async def one() -> bytes:
            return await body_of(await here.send(generation(), 10))

        async def cancelled(after: float) -> None:
            task = asyncio.create_task(one())
            await asyncio.sleep(after)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(cancelled(chance.uniform(0, 0.06)) for _ in range(300)))
        done = await asyncio.gather(*(one() for _ in range(40)), return_exceptions=True)
    assert [type(each) for each in done] == [bytes] * 40


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server context for 127.0.0.1 and the file that vouches for it."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=127.0.0.1"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
    ]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("NOT TESTED: TLS upstreams, for want of openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


async def test_a_message_names_the_provider_and_no_address(client: UpstreamClient) -> None:
    error = await failure(provider_at(f"http://127.0.0.1:{free_port()}", client), generation())
    assert "127.0.0.1" not in error.message
    assert "'here'" in error.message
