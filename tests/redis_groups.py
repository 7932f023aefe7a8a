"""Several Redis servers that stand in for each other: a master with replicas under sentinels, and a cluster.

As real as a machine allows: processes on free loopback ports that find out for themselves that one of them is
dead, and promote another. All want a password. Times are short, so that a failover takes a few seconds.
"""

from __future__ import annotations

import random
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from redis import Redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError
from redis.retry import Retry

from tests.servers import START_SECONDS, NotObtainable, redis_binary, stop

SERVICE = "counters"
PASSWORD = "of:the/servers"
SENTINEL_PASSWORD = "of&the@sentinels"
DOWN_AFTER_MS = 700
"""How long a server must be silent to be taken for dead."""

_MASTERS = 3
_SLOTS = 16384


class Group:
    """``url`` is the address as ``storage.quota`` takes it, password and all. Everything else names a server
    by its port."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self._folder = folder

    def master(self, tag: str = "") -> int:
        """Who has the counters with this hash tag now."""
        return next(iter(self.processes))

    def standby(self, master: int) -> int:
        """Who stands in for it; of several, the first."""
        for port, process in self.processes.items():
            if process.poll() is None:
                with suppress(RedisError):
                    if f"master_port:{master}\r" in self.text(port, "INFO", "replication"):
                        return port
        raise AssertionError("nobody stands in")

    def signal(self, port: int, number: int) -> None:
        self.processes[port].send_signal(number)

    def kill(self, port: int) -> None:
        """At once, without a word to anybody."""
        stop(self.processes[port], signal.SIGKILL)

    def ask(self, port: int, *command: str | int | bytes) -> Any:
        """Its answer as it comes."""
        once = Retry(NoBackoff(), 0)
        link = Redis(port=port, password=self.password_of(port), socket_timeout=2.0, retry=once, protocol=2)
        link.response_callbacks.clear()
        try:
            return link.execute_command(*command)
        finally:
            link.close()

    def text(self, port: int, *command: str | int) -> str:
        answer = self.ask(port, *command)
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    def password_of(self, port: int) -> str:
        return PASSWORD

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Raises AssertionError."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            with suppress(RedisError, OSError):
                if holds():
                    return
            time.sleep(0.05)
        raise AssertionError(f"Redis: {what} did not come about")

    def start(self, port: int, *lines: str, options: Sequence[str] = ()) -> None:
        home = self._folder / str(port)
        home.mkdir()
        config = home / "redis.conf"
        login = f'requirepass "{self.password_of(port)}"'
        config.write_text("\n".join([f"port {port}", "bind 127.0.0.1", f"dir {home}", login, *lines, ""]))
        with (home / "log").open("wb") as log:
            self.processes[port] = subprocess.Popen(
                [redis_binary(), str(config), *options],
                cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def serve(self, port: int, *lines: str) -> None:
        """A server without persistence."""
        replication = [f'masterauth "{PASSWORD}"', "repl-diskless-sync-delay 0"]
        self.start(port, 'save ""', "appendonly no", *replication, *lines)

    def until_served(self, ports: Sequence[int]) -> None:
        self.until("the servers", lambda: all(self.ask(port, "PING") == b"PONG" for port in ports))

    def until_copied(self, replicas: Sequence[int]) -> None:
        up = "master_link_status:up"
        self.until("the replicas", lambda: all(up in self.text(p, "INFO", "replication") for p in replicas))

    def end(self) -> None:
        for process in self.processes.values():
            stop(process, signal.SIGKILL)


class Watched(Group):
    """A master, a replica, three sentinels that watch them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sentinels = {free_port(): secrets.token_hex(20) for _ in range(3)}
        """Ports and ids."""

    def master(self, tag: str = "") -> int:
        for port in self.sentinels:
            with suppress(RedisError):
                return int(self.ask(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
        raise AssertionError("no sentinel answers")

    def password_of(self, port: int) -> str:
        return SENTINEL_PASSWORD if port in self.sentinels else PASSWORD

    def watch(self, master: int, replica: int) -> None:
        for port in self.sentinels:
            others = [(p, name) for p, name in self.sentinels.items() if p != port]
            self.start(
                port,
                f"sentinel myid {self.sentinels[port]}",
                f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"',
                f"sentinel monitor {SERVICE} 127.0.0.1 {master} 2",
                f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
                f"sentinel failover-timeout {SERVICE} 4000",
                f"sentinel known-replica {SERVICE} 127.0.0.1 {replica}",
                *(f"sentinel known-sentinel {SERVICE} 127.0.0.1 {p} {name}" for p, name in others),
                options=["--sentinel"],
            )
        self.until("the sentinels", lambda: all(self._knows_all(port) for port in self.sentinels))

    def _knows_all(self, port: int) -> bool:
        """Until then no sentinel can be elected."""
        fields = [field.decode() for field in self.ask(port, "SENTINEL", "MASTER", SERVICE)]
        known = dict(zip(fields[::2], fields[1::2], strict=True))
        return (known["num-other-sentinels"], known["num-slaves"], known["flags"]) == ("2", "1", "master")


class Clustered(Group):
    """Three masters with a third of the slots each, and a replica of each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ports = [free_port(bus=True) for _ in range(2 * _MASTERS)]
        self.masters, self.replicas = ports[:_MASTERS], ports[_MASTERS:]

    def master(self, tag: str = "") -> int:
        slot = key_slot(f"{{{tag}}}".encode())
        for port in self.processes:
            with suppress(RedisError):
                for first, last, (_, master, *_), *_ in self.ask(port, "CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return int(master)
        raise AssertionError("nobody has the slot")

    def form(self) -> None:
        ports = [*self.masters, *self.replicas]
        for number, port in enumerate(self.masters):
            slots = range(_SLOTS * number // _MASTERS, _SLOTS * (number + 1) // _MASTERS)
            self.ask(port, "CLUSTER", "ADDSLOTS", *slots)
        for number, port in enumerate(ports):
            self.ask(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            self.ask(port, "CLUSTER", "MEET", "127.0.0.1", ports[0])
        self._until_all("the members", "NODES", lambda said: said.count("connected") == len(ports))
        for master, replica in zip(self.masters, self.replicas, strict=True):
            self.ask(replica, "CLUSTER", "REPLICATE", self.text(master, "CLUSTER", "MYID"))
        self._until_all("the slots", "INFO", lambda said: "cluster_state:ok" in said)
        self.until_copied(self.replicas)
        self._until_all("agreement", "NODES", lambda said: said.count("slave") == _MASTERS)

    def _until_all(self, what: str, asked: str, says: Callable[[str], bool]) -> None:
        self.until(what, lambda: all(says(self.text(port, "CLUSTER", asked)) for port in self.processes))


@contextmanager
def sentinel() -> Iterator[Watched]:
    """Raises :class:`tests.servers.NotObtainable`."""
    with tempfile.TemporaryDirectory(prefix="ig-sentinel-") as folder:
        group = Watched(Path(folder))
        try:
            master, replica = free_port(), free_port()
            group.serve(master)
            group.serve(replica, f"replicaof 127.0.0.1 {master}")
            group.until_served([master, replica])
            group.until_copied([replica])
            group.watch(master, replica)
            hosts = ",".join(f"127.0.0.1:{port}" for port in group.sentinels)
            option = f"sentinel_password={quote(SENTINEL_PASSWORD, safe='')}"
            group.url = f"redis+sentinel://:{quote(PASSWORD, safe='')}@{hosts}/{SERVICE}/0?{option}"
            yield group
        finally:
            group.end()


@contextmanager
def cluster() -> Iterator[Clustered]:
    """Raises :class:`tests.servers.NotObtainable`."""
    with tempfile.TemporaryDirectory(prefix="ig-cluster-") as folder:
        group = Clustered(Path(folder))
        try:
            ports = [*group.masters, *group.replicas]
            for port in ports:
                group.serve(port, "cluster-enabled yes", f"cluster-node-timeout {DOWN_AFTER_MS}")
            group.until_served(ports)
            group.form()
            hosts = ",".join(f"127.0.0.1:{port}" for port in ports[:2])
            group.url = f"redis+cluster://:{quote(PASSWORD, safe='')}@{hosts}"
            yield group
        finally:
            group.end()


def free_port(*, bus: bool = False) -> int:
    """A port that nobody listens on right now; with its ``bus``, over which members of a cluster talk."""
    for _ in range(200):
        port = random.randrange(11_000, 22_000)
        with suppress(OSError), socket.socket() as here, socket.socket() as there:
            here.bind(("127.0.0.1", port))
            if bus:
                there.bind(("127.0.0.1", port + 10_000))
            return port
    raise NotObtainable("Redis: no free ports")
