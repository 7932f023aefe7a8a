"""Whether the tests would notice: small faults put into quota, pricing and ledger one at a time, and counted
where a test fails.

    python -m bench.mutants [--number 150] [--seed 1] [--workers 2] [--only quota/plan] [--list]

Works on a copy of the tree in a temporary folder. A sample of all possible mutants is drawn with the seed, so
that the same seed on the same tree is the same run. Which tests a module answers to stands in ``ROOMS``; the
variants on PostgreSQL and Redis are left out, and so is code that only PostgreSQL reaches.

Not mutated, because no test should tell: annotations, decorators, texts, what is raised (whether it is, is),
and ``strict=`` of ``zip``. Survivors are printed with line and change; exit status 1 below 90 %.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]
COPIED = (
    "config",
    "providers",
    "gateway",
    "tests",
    "docs",
    "bench",
    "scripts",
    "pyproject.toml",
    "README.md",
)
ENOUGH = 0.9
PATIENCE = 90
"""Seconds for one command; a mutant that hangs is noticed."""

NONE_CHOSEN = 5
"""pytest's exit status."""

CHOSEN = "not postgres and not redis and not sqlite-1 and not sqlite-2"
"""Of the variants of a test: one database, one seed."""

UNIT_QUOTA = "tests/unit/quota"
PRICES = "tests/unit/images/test_pricing.py tests/unit/images/test_estimate.py"
LEDGER = "tests/unit/ledger/"

ROOMS: dict[str, tuple[str, ...]] = {
    # Cheapest first: the next command runs where the mutant outlived the one before.
    **{
        f"gateway/quota/{name}.py": (UNIT_QUOTA, further)
        for name, further in {
            "local": "tests/property/test_quota_machine.py",
            "local_counters": "tests/property/test_quota_machine.py",
            "plan": "tests/property/test_quota_machine.py",
            "holds": "tests/property/test_quota_machine.py",
            "terms": "tests/property/test_quota_machine.py tests/unit/engine/test_rules.py",
            "windows": "tests/property/test_quota_windows.py tests/property/test_quota_machine.py",
        }.items()
    },
    "gateway/images/pricing.py": (PRICES, "tests/property/test_pricing.py"),
    "gateway/images/estimate.py": (PRICES, "tests/property/test_pricing.py"),
    "gateway/images/asked.py": (PRICES, "tests/property/test_estimates.py tests/property/test_pricing.py"),
    "gateway/images/estimates.py": ("tests/property/test_estimates.py",),
    "gateway/images/settlement.py": ("tests/unit/images/test_settlement.py", "tests/unit/engine"),
    "gateway/images/output_tokens.py": (f"tests/unit/images/test_output_tokens.py {PRICES}",),
    "gateway/images/input_tokens.py": (f"tests/unit/images/test_input_tokens.py {PRICES}",),
    "gateway/ledger/entries.py": (
        f"{LEDGER}test_ledger.py {LEDGER}test_writer.py {LEDGER}test_unknowns.py",
        f"{LEDGER}test_arrears.py {LEDGER}test_reports.py tests/unit/engine/test_record.py",
    ),
    "gateway/ledger/counted.py": (
        f"{LEDGER}test_counted.py",
        f"{LEDGER}test_unknowns.py {LEDGER}test_ledger.py",
        f"{LEDGER}test_rollups.py tests/unit/accounts/test_credits.py",
    ),
    "gateway/ledger/snapshot.py": (
        f"{LEDGER}test_counted.py {LEDGER}test_unknowns.py",
        f"{LEDGER}test_epochs.py {LEDGER}test_ledger.py",
        f"{LEDGER}test_rollups.py tests/unit/accounts/test_credits.py",
    ),
    "gateway/ledger/unknowns.py": (f"{LEDGER}test_unknowns.py", f"{LEDGER}test_ledger.py"),
    "gateway/ledger/epochs.py": (f"{LEDGER}test_epochs.py", f"{LEDGER}test_ledger.py"),
    "gateway/ledger/rollups.py": (
        f"{LEDGER}test_counted.py",
        f"{LEDGER}test_rollups.py {LEDGER}test_reports.py",
    ),
    "gateway/ledger/keys.py": (f"{LEDGER}test_keys.py", "tests/unit/cli/test_keys.py"),
    "gateway/ledger/keyformat.py": (f"{LEDGER}test_keyformat.py",),
}

SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPPOSITE: dict[type[ast.operator], type[ast.operator]] = {ast.Add: ast.Sub, ast.Sub: ast.Add}


@dataclass(frozen=True)
class Mutant:
    """``text`` in place of the source's characters ``start`` to ``end``."""

    module: str
    line: int
    start: int
    end: int
    before: str
    text: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {_short(self.before)}  ->  {_short(self.text)}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:87]}..."


class Mutator:
    """All mutants of one module."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source
        self.encoded = source.encode()
        starts = [0]
        for line in self.encoded.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self.starts = starts
        self.found: list[Mutant] = []

    def mutants(self) -> list[Mutant]:
        for statement in ast.parse(self.source).body:
            self.visit(statement)
        return self.found

    def replace(self, node: ast.AST, by: ast.AST | str) -> None:
        start = self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        text = by if isinstance(by, str) else f"({ast.unparse(by)})"
        before = self.encoded[start:end].decode()
        self.found.append(Mutant(self.module, node.lineno, start, end, before, text))  # type: ignore[attr-defined]

    def visit(self, node: ast.AST) -> None:
        match node:
            case ast.JoinedStr() | ast.Import() | ast.ImportFrom():
                return  # the parts of an f-string have no places of their own before Python 3.12
            case ast.If(test=test) if "postgresql" in ast.unparse(test):
                for each in node.orelse:
                    self.visit(each)
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for default in [*node.args.defaults, *node.args.kw_defaults]:
                    if default is not None:
                        self.visit(default)
                self.body(node.body)
                return
            case ast.ClassDef():
                self.body(node.body)
                return
            case ast.AnnAssign():
                if node.value is not None:
                    self.visit(node.value)
                return
            case ast.Raise():
                self.replace(node, "pass")
                return
            case ast.Assign(targets=[ast.Name(id="_ADVISORY_LOCK")]):
                return
            case ast.keyword(arg="strict"):
                return
        for changed in self.changes(node):
            self.replace(node, changed)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr | ast.stmt | ast.comprehension | ast.keyword | ast.match_case):
                self.visit(child)

    def body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.visit(statement)

    def changes(self, node: ast.AST) -> Iterator[ast.AST | str]:
        match node:
            case ast.Expr(value=ast.Constant()):
                return
            case ast.Expr() | ast.AugAssign() | ast.Continue():
                yield "pass"
                if isinstance(node, ast.AugAssign) and type(node.op) in OPPOSITE:
                    yield ast.unparse(_with(node, op=OPPOSITE[type(node.op)]()))
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield "pass"
            case ast.Return(value=value) if value is not None:
                if not (isinstance(value, ast.Constant) and value.value is None):
                    yield "return None"
            case ast.Compare():
                for at, op in enumerate(node.ops):
                    yield _with(node, ops=[*node.ops[:at], SWAPPED[type(op)](), *node.ops[at + 1 :]])
            case ast.BinOp() if type(node.op) in OPPOSITE:
                yield _with(node, op=OPPOSITE[type(node.op)]())
            case ast.BoolOp():
                yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            case ast.UnaryOp(op=ast.Not()):
                yield node.operand
            case ast.UnaryOp(op=ast.USub()):
                yield node.operand
            case ast.Call(func=ast.Name(id="min" | "max" as name)):
                yield _with(node, func=ast.Name("max" if name == "min" else "min"))
            case ast.Constant(value=bool(value)):
                yield repr(not value)
            case ast.Constant(value=int(value)):
                yield repr(value + 1)
                yield f"({value - 1!r})"
        match node:
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                if not isinstance(test, ast.Compare | ast.UnaryOp):
                    self.replace(test, f"(not ({ast.unparse(test)}))")
                if isinstance(node, ast.If):
                    self.replace(test, "False")
            case ast.comprehension():
                for test in node.ifs:
                    self.replace(test, "True")


def _with(node: ast.AST, **changed: object) -> ast.AST:
    made = copy.deepcopy(node)
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def all_mutants(only: str) -> list[Mutant]:
    found = []
    for module in ROOMS:
        if only in module:
            found += Mutator(module, (ROOT / module).read_text("utf-8")).mutants()
    return found


class Copy:
    """A tree of its own to put mutants into, one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name)  # with what is compiled: its times are kept
            elif source.exists():
                shutil.copy(source, folder / name)

    async def passes(self, command: str, *, compiled: bool = False) -> bool:
        """Whether all tests of one command pass here."""
        environ = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "" if compiled else "1",
        }
        arguments = ["-m", "pytest", "-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        arguments += ["-p", "bench.mutants_examples", "-k", CHOSEN]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            *command.split(),
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
            return False
        self.last = out.decode()
        if process.returncode == NONE_CHOSEN:
            raise SystemExit(f"no tests: {command}")
        return process.returncode == 0

    async def kills(self, mutant: Mutant) -> bool:
        path = self.folder / mutant.module
        source = path.read_bytes()
        path.write_bytes(source[: mutant.start] + mutant.text.encode() + source[mutant.end :])
        for stale in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            stale.unlink()
        try:
            for command in ROOMS[mutant.module]:
                if not await self.passes(command):
                    return True
            return False
        finally:
            path.write_bytes(source)


async def check(tree: Copy, modules: list[str]) -> None:
    """The tests pass as they stand, and fail where a module cannot even be imported: so it is the copy that
    they test."""
    for command in dict.fromkeys(command for module in modules for command in ROOMS[module]):
        started = perf_counter()
        if not await tree.passes(command, compiled=True):
            raise SystemExit(f"these fail without any mutant: {command}\n{tree.last[-3000:]}")
        print(f"{perf_counter() - started:6.1f} s  {command}", flush=True)
    for module in modules:
        end = (tree.folder / module).stat().st_size
        broken = Mutant(module, 1, end, end, "", "\nraise RuntimeError('mutant')\n")
        if not await tree.kills(broken):
            raise SystemExit(f"{module}: its tests do not load the copy")


async def run(mutants: list[Mutant], workers: int, folder: Path, *, checked: bool) -> list[Mutant]:
    """The survivors."""
    trees = [Copy(folder / str(number)) for number in range(workers)]
    if not checked:
        modules = [m for m in ROOMS if any(mutant.module == m for mutant in mutants)]
        await asyncio.gather(*(check(tree, modules[n::workers]) for n, tree in enumerate(trees)))
    waiting = list(reversed(mutants))
    survivors: list[Mutant] = []

    async def work(tree: Copy) -> None:
        while waiting:
            mutant = waiting.pop()
            if not await tree.kills(mutant):
                survivors.append(mutant)
                print(f"survived  {mutant}", flush=True)

    await asyncio.gather(*map(work, trees))
    return survivors


def report(mutants: list[Mutant], survivors: list[Mutant]) -> float:
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    alive = set(survivors)
    for mutant in mutants:
        for name in (mutant.module, "/".join(mutant.module.split("/")[:2]), "all"):
            counts[name][1] += 1
            counts[name][0] += mutant not in alive
    for name in sorted(counts, key=lambda name: (name == "all", name)):
        killed, total = counts[name]
        print(f"{killed:4} of {total:4} killed  {killed / total:4.0%}  {name}")
    killed, total = counts["all"]
    return killed / total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--number", type=int, default=150, help="how many to try")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="a part of the module's path")
    parser.add_argument("--among", default="", help="only these mutants, by a file of lines as printed")
    parser.add_argument("--list", action="store_true", help="say what would be tried")
    parser.add_argument("--unchecked", action="store_true", help="do not first run the tests without mutants")
    options = parser.parse_args()
    mutants = all_mutants(options.only)
    print(f"{len(mutants)} mutants can be made; seed {options.seed}")
    if options.among:
        wanted = Path(options.among).read_text("utf-8")
        mutants = [mutant for mutant in mutants if str(mutant) in wanted]
    elif options.number < len(mutants):
        mutants = random.Random(options.seed).sample(mutants, options.number)
    if options.list:
        print(*mutants, sep="\n")
        return 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        survivors = asyncio.run(run(mutants, options.workers, Path(folder), checked=options.unchecked))
    return 0 if report(mutants, survivors) >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
