"""Where the counters of limits are: the addresses of Redis and Valkey that ``storage.quota`` takes.

::

    redis://[[USER]:PASSWORD@]HOST[:6379][/DB]                                   one server
    redis+sentinel://[[USER]:PASSWORD@]HOST[:26379],HOST[:26379]/SERVICE[/DB]    the master, by its sentinels
    redis+cluster://[[USER]:PASSWORD@]HOST[:6379],HOST[:6379]                    a cluster, by some members

``rediss`` in place of ``redis`` is TLS on every connection. Behind ``?`` stand :data:`OPTIONS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, unquote

EXPECTED = (
    "expected local, redis://HOST:PORT/DB, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, "
    "redis+cluster://HOST:PORT,HOST:PORT (rediss for TLS), env:NAME or file:PATH"
)
"""What to write, in the words of an error."""

TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
"""As redis-py calls them: three files, ``required`` or ``none``, ``true`` or ``false``."""

SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
"""How to log in at the sentinels, which do not take the servers' login."""

OPTIONS = (*TLS_OPTIONS, *SENTINEL_OPTIONS)

_SCHEME = re.compile(r"redis(?P<tls>s?)(?:\+(?P<form>sentinel|cluster))?", re.IGNORECASE)
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")


class Form(StrEnum):
    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_PORTS: Mapping[Form, int] = {Form.SINGLE: 6379, Form.SENTINEL: 26379, Form.CLUSTER: 6379}

Host = tuple[str, int]
"""A name or an address (IPv6 without brackets), and a port."""


@dataclass(frozen=True, slots=True)
class Login:
    """Empty: none is needed."""

    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return "Login(…)"


@dataclass(frozen=True, slots=True)
class CountersAddress:
    """``hosts`` are the server, the sentinels, or members of the cluster. ``sentinel_login`` is how to log in
    at the sentinels; ``tls`` are :data:`TLS_OPTIONS`, None: without TLS."""

    form: Form
    hosts: tuple[Host, ...]
    login: Login = Login()
    service: str = ""
    db: int = 0
    sentinel_login: Login = Login()
    tls: Mapping[str, str | bool] | None = None

    @property
    def has_password(self) -> bool:
        return bool(self.login.password or self.sentinel_login.password)


def counters_address(url: str) -> CountersAddress:
    """Raises ValueError with words for the operator, which quote nothing that may be a secret."""
    scheme, found, rest = url.partition("://")
    kind = _SCHEME.fullmatch(scheme)
    if not found or kind is None or re.search(r"\s", url):
        raise ValueError(EXPECTED)
    if "#" in rest or "@" in "".join(re.split(r"[/?]", rest)[1:]):
        raise ValueError("a password's @, /, ?, # and % are written %40, %2F, %3F, %23 and %25")
    form = Form(kind["form"].lower()) if kind["form"] else Form.SINGLE
    before, _, query = rest.partition("?")
    place, _, path = before.partition("/")
    credentials, _, hosts = place.rpartition("@")
    options = _options(query, form, is_tls=bool(kind["tls"]))
    service, db = _path(path, form)
    username, _, password = credentials.partition(":")
    return CountersAddress(
        form,
        tuple(_hosts(hosts, form)),
        Login(unquote(username), unquote(password)),
        service,
        db,
        Login(options.get("sentinel_username", ""), options.get("sentinel_password", "")),
        _tls(options) if kind["tls"] else None,
    )


def _hosts(text: str, form: Form) -> Iterator[Host]:
    parts = text.split(",")
    if form is Form.SINGLE and len(parts) > 1:
        raise ValueError(
            "names several servers; write redis+sentinel:// where these are sentinels, redis+cluster:// "
            "where they are a cluster"
        )
    for part in parts:
        host = _HOST.fullmatch(part)
        if host is None or not 0 < int(host["port"] or _PORTS[form]) < 65536:
            raise ValueError(EXPECTED)
        yield host["name"].strip("[]"), int(host["port"] or _PORTS[form])


def _path(path: str, form: Form) -> tuple[str, int]:
    if form is Form.CLUSTER:
        if path not in ("", "0"):
            raise ValueError("a cluster has one database and no other; leave out what follows the last port")
        return "", 0
    if form is Form.SINGLE:
        if not re.fullmatch(r"\d*", path):
            raise ValueError("what follows the port is a database's number, such as /0")
        return "", int(path or 0)
    service, _, db = path.partition("/")
    if not service or re.fullmatch(r"\d+", service):
        raise ValueError(
            "lacks the service's name, by which the sentinels know the master: …/SERVICE or …/SERVICE/DB, "
            "such as /mymaster/0"
        )
    if not re.fullmatch(r"\d*", db):
        raise ValueError("what follows the service's name is a database's number, such as /mymaster/0")
    return unquote(service), int(db or 0)


def _options(query: str, form: Form, *, is_tls: bool) -> dict[str, str]:
    try:
        given = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise ValueError("what follows ? is written NAME=VALUE&NAME=VALUE") from None
    for name in given:
        if name not in OPTIONS:
            raise ValueError(f"has something behind ? that is none of {', '.join(OPTIONS)}")
        if name in TLS_OPTIONS and not is_tls:
            raise ValueError(f"has {name} without TLS; write rediss in place of redis")
        if name in SENTINEL_OPTIONS and form is not Form.SENTINEL:
            raise ValueError(f"has {name} and no sentinels; a server's own password stands before the @")
    return given


def _tls(options: Mapping[str, str]) -> dict[str, str | bool]:
    tls: dict[str, str | bool] = {name: options[name] for name in TLS_OPTIONS if name in options}
    if tls.get("ssl_cert_reqs", "required") not in ("required", "none"):
        raise ValueError("ssl_cert_reqs is required or none")
    if "ssl_check_hostname" in tls:
        if tls["ssl_check_hostname"] not in ("true", "false"):
            raise ValueError("ssl_check_hostname is true or false")
        tls["ssl_check_hostname"] = tls["ssl_check_hostname"] == "true"
    return tls
