"""Imports run one way (design §3), so that a room can be understood without the rooms above it."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.sources import imports, modules

FLOORS = {"config": 0, "providers": 1, "gateway": 2}

ROOMS = {
    "images": 0,
    "routing": 1, "quota": 1, "ledger": 1, "media": 1, "telemetry": 1,
    "engine": 2,
    "api": 3, "dashboard": 3,
    "app": 4, "cli": 4,
}  # fmt: skip
"""Rooms of the gateway by height."""

LEAVES = {"caller", "errors", "version", "process"}
"""Modules beside the rooms: everyone may import them, they import no room."""

TOGETHER = {("cli", "app")}
"""Rooms of one height that may meet: ``imagegate serve`` runs the app."""

IMPURE = {
    "asyncio", "threading", "multiprocessing", "concurrent", "subprocess", "socket", "ssl", "signal",
    "os", "sys", "pathlib", "shutil", "tempfile", "time", "random", "secrets", "uuid", "logging", "structlog",
    "contextvars", "httpx", "httpx2", "aiohttp", "litestar", "sqlalchemy", "redis", "urllib.request",
}  # fmt: skip
CLOCKS = {"now", "utcnow", "today"}


def test_the_three_packages_import_downwards_only() -> None:
    wrong = [
        f"{name}:{line} imports {target}"
        for name, tree in modules(*FLOORS)
        for target, line in imports(name, tree)
        if FLOORS.get(target.split(".")[0], -1) > FLOORS[name.split(".")[0]]
    ]
    assert wrong == []


def test_no_package_imports_tests_or_bench() -> None:
    wrong = [
        f"{name}:{line} imports {target}"
        for name, tree in modules(*FLOORS)
        for target, line in imports(name, tree)
        if target.split(".")[0] in {"tests", "bench", "scripts"}
    ]
    assert wrong == []


def test_rooms_of_the_gateway_import_downwards_only() -> None:
    wrong = []
    for name, tree in modules("gateway"):
        parts = name.split(".")
        for target, line in imports(name, tree):
            above = target.split(".")
            if above[0] != "gateway" or len(above) < 2 or above[1] in LEAVES:
                continue
            if len(parts) < 2 or parts[1] in LEAVES:
                wrong.append(f"{name}:{line} imports {target}")
                continue
            here, there = parts[1], above[1]
            if here != there and (here, there) not in TOGETHER and ROOMS[there] >= ROOMS[here]:
                wrong.append(f"{name}:{line} imports {target}")
    assert wrong == []


def test_every_room_of_the_gateway_has_a_height() -> None:
    rooms = {name.split(".")[1] for name, _ in modules("gateway") if "." in name}
    assert rooms - set(ROOMS) <= LEAVES


def test_images_are_pure_functions() -> None:
    """No I/O, no clock, no randomness, no state: what they decide can be tested by the thousand."""
    wrong = []
    for name, tree in modules("gateway/images"):
        for target, line in imports(name, tree):
            if {target, target.split(".")[0], target.rsplit(".", 1)[0]} & IMPURE:
                wrong.append(f"{name}:{line} imports {target}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Global):
                wrong.append(f"{name}:{node.lineno} changes a global")
            elif isinstance(node, ast.Call):
                called = node.func
                if isinstance(called, ast.Name) and called.id in {"open", "print", "input", "exec", "eval"}:
                    wrong.append(f"{name}:{node.lineno} calls {called.id}()")
                if isinstance(called, ast.Attribute) and called.attr in CLOCKS:
                    wrong.append(f"{name}:{node.lineno} reads the clock")
    assert wrong == []


@pytest.mark.parametrize("package", ["gateway.cli.main", "gateway.app"])
def test_the_entry_points_exist(package: str) -> None:
    names = {name for name, _ in modules("gateway")}
    assert package in names


def test_a_provider_is_called_in_one_place_and_under_a_hold() -> None:
    """No route can spend without leave to send: ``dispatch`` alone calls a provider, and it takes one."""
    callers = set()
    for name, tree in modules("gateway"):
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr == "send" and "provider" in ast.unparse(node.func.value).lower():
                callers.add(name)
    assert callers == {"gateway.engine.dispatch"}
    (tree,) = (tree for name, tree in modules("gateway") if name == "gateway.engine.dispatch")
    (call,) = (node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef))
    assert "DispatchedHold" in {ast.unparse(arg.annotation) for arg in call.args.args if arg.annotation}
