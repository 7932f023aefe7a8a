"""The published clients that count as supported, and what is asked of each.

A client is supported only with a test that runs the published package, at the version named here, in an
environment of its own (``.cache/clients/NAME-VERSION``). docs/clients.md holds the table of this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CELLS = ("generate", "edit, 2 files", "n = 2", "alias model", "wrong key", "upstream 429")
"""What every client does; a client without a way to do one of them names the reason in ``cannot``."""


@dataclass(frozen=True, slots=True)
class Client:
    """One way to use one package. ``script`` lies beside this file and takes ``mode`` as its argument; it
    prints a line of JSON ``{"cell": …, "error": …}`` for each cell."""

    name: str
    registry: Literal["PyPI", "npm"]
    packages: tuple[tuple[str, str], ...]
    script: str
    mode: str
    cannot: tuple[tuple[str, str], ...] = ()

    @property
    def requirements(self) -> list[str]:
        """As the registry's package manager takes them."""
        pin = "==" if self.registry == "PyPI" else "@"
        return [f"{name}{pin}{version}" for name, version in self.packages]

    @property
    def environment(self) -> str:
        """Below ``.cache/``; clients of one set of packages share it."""
        packages = "+".join(
            f"{name.lstrip('@').replace('/', '-')}-{version}" for name, version in self.packages
        )
        return f"clients/{self.registry.lower()}-{packages}"

    @property
    def id(self) -> str:
        return f"{self.environment.removeprefix('clients/')}-{self.mode}"

    @property
    def versions(self) -> str:
        return ", ".join(f"{name} {version}" for name, version in self.packages)


AI = ("ai", "7.0.173")
NO_EDITS = (("edit, 2 files", "has no edits"),)

PUBLISHED = (
    *(
        Client(f"openai for Python, {label}", "PyPI", (("openai", version),), "openai_python.py", mode)
        for version in ("3.52.0", "2.54.0")
        for mode, label in (("sync", "`OpenAI`"), ("async", "`AsyncOpenAI`"), ("azure", "`AzureOpenAI`"))
    ),
    *(
        Client("openai for Node", "npm", (("openai", version),), "openai_node.mjs", "openai")
        for version in ("7.55.0", "6.30.1")
    ),
    Client("Vercel AI SDK", "npm", (AI, ("@ai-sdk/openai", "4.0.118")), "ai_sdk.mjs", "openai"),
    Client("Vercel AI SDK", "npm", (AI, ("@ai-sdk/openai-compatible", "3.0.92")), "ai_sdk.mjs", "compatible"),
    Client("LiteLLM as a client", "PyPI", (("litellm", "1.106.2"),), "litellm_client.py", "sync"),
    Client(
        "LangChain's `DallEAPIWrapper`, Python",
        "PyPI",
        (("langchain-community", "0.4.2"), ("openai", "3.52.0")),
        "langchain_python.py",
        "sync",
        NO_EDITS,
    ),
    Client(
        "LangChain's `DallEAPIWrapper`, Node",
        "npm",
        (("@langchain/openai", "1.6.0"), ("@langchain/core", "1.2.13")),
        "langchain_node.mjs",
        "tool",
        NO_EDITS,
    ),
)


def table() -> list[str]:
    """The table of docs/clients.md."""
    rows = ["| client | package | " + " | ".join(CELLS) + " |", "|---|---|" + "---|" * len(CELLS)]
    for client in PUBLISHED:
        cannot = dict(client.cannot)
        cells = " | ".join(cannot.get(cell, "yes") for cell in CELLS)
        rows.append(f"| {client.name} | {client.registry}: {client.versions} | {cells} |")
    return rows
