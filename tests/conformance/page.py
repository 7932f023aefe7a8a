"""docs/providers.md, written of what the suite found."""
# ruff: noqa: E501 (a line of the page is one line)

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.conformance.asks import ASKS, GROUPS
from tests.conformance.facts import built, marks, unverified
from tests.conformance.judging import Verdict
from tests.conformance.running import Results
from tests.conformance.stands import STANDS
from tests.conformance.troubles import TROUBLES

_PAGES = Path(__file__).parents[2] / "docs" / "providers"
_PAGE_OF = {"azure-openai": "azure", "azure-flux": "azure", "azure-mai": "azure"}

_HEAD = """# Providers

What each provider's models do with what a caller asks, as a test suite found it: it puts every adapter through
everything below, through a whole gateway, over real sockets, against a simulator of that provider that is as strict as
what is known of the real one. Each cell holds what the upstream was sent and what came back, measured, against what was
asked and what the headers said. A difference that the caller is not told of fails the suite.

This page is written by the suite (`python -m tests.conformance docs/providers.md`), and a test holds that it is current.
What a simulator says is only as good as what is known of its provider: each provider's own page says what is not
verified, and so does the [last table](#what-they-are-made-of-and-what-they-rest-on) here.

| word | means |
| --- | --- |
| exact | the upstream was sent it as asked, and that is what came; pixels stand beside it where none were asked |
| mapped | the nearest that the model has, which stands beside it; `x-imagegate-size` or `x-imagegate-adjustments` says so |
| emulated | done by the gateway (converted, cut, in several calls, whole answers as events); the headers say so |
| not offered | the model has no such thing: left out, and the headers say so (`dropped`, `ignored`) |
| refused | 400 that names the field, before anything is sent; `there`: by a model that the catalog does not know |
"""

_DOCTOR = """## Are they there?

```sh
imagegate doctor --config imagegate.yaml
```

asks every configured account for its list of models, with each of its keys, and never for a picture. It tells

* errors: an account that cannot be reached, a key that is refused or missing, a target that was shut down;
* `not set up`: an account of the built-in configuration whose key is not in the environment. Nobody asked for it, so
  nothing is wrong; in a file of yours the same is an error;
* warnings: a target that the account does not list, one that is shut down within 90 days, a price that is not known or
  was last verified more than 180 days ago, an account whose list cannot be read;
* with `--notes`, every fact of the configured targets that nobody has verified.

It ends with 0, or with 1 where there is an error (`--strict`: or a warning); `--json` gives all of it to programs. Of
models that are served only because the catalog has them (no `models:`), everything is a note. Azure's and Google
Cloud's lists do not name what targets name, so there is nothing to compare; OpenRouter's list is public and says nothing
of the key.
"""

_FAILURES = """## When they fail

What each kind of failure comes to for the client (status and `code` of OpenAI's envelope) and, in the cells, what it
comes to in the books: `released` costs nothing, `unknown` counts against limits until it is cleared up, `settled` was
charged as the answer itself reports. A dash: this upstream has no such answer that is known.
"""

_FACTS = """## What they are made of, and what they rest on

Lines of each adapter's own files, in tens, and of the packages that it shares with others; then how many facts of the
[catalog](models.md) were read at a primary source or tested, came second-hand, or are not verified.
"""


def page(results: Mapping[str, Results]) -> str:
    """The whole file."""
    tables = [f"## {group.capitalize()}\n\n" + "\n".join(_asked(group, results)) + "\n" for group in GROUPS]
    parts = [_HEAD, *tables]
    parts.append(_FAILURES + "\n" + "\n".join(_failures(results)) + "\n")
    parts.append(_DOCTOR)
    parts.append(_FACTS + "\n" + "\n".join(_made_of()) + "\n")
    parts.append("### Not verified\n\n" + "\n".join(_not_verified()) + "\n")
    return "\n".join(parts)


def wrong(results: Results) -> list[str]:
    """Every cell that is wrong, in words."""
    cells = [
        (f"{bench}, {name[1]}", cell) for bench, row in results.cells.items() for name, cell in row.items()
    ]
    cells += list(results.troubles.items())
    return [f"{where}: {cell.detail}" for where, cell in cells if cell.verdict is Verdict.WRONG]


def _asked(group: str, results: Mapping[str, Results]) -> Iterator[str]:
    titles = [ask.title for ask in ASKS if ask.group == group]
    yield from _header(["provider", "model", *titles])
    for type, found in results.items():
        for bench, cells in found.cells.items():
            yield _row([_link(type), f"`{bench}`", *(str(cells[group, title]) for title in titles)])


def _failures(results: Mapping[str, Results]) -> Iterator[str]:
    yield from _header(["what happens", "the client gets", *map(_link, results)])
    for name, outcome in TROUBLES.items():
        status = str(outcome.status[0]) if len(outcome.status) == 1 else "its own status"
        cells = [found.troubles.get(name) for found in results.values()]
        words = ["-" if cell is None else cell.detail for cell in cells]
        yield _row([name, status + (f" `{outcome.code}`" if outcome.code else ""), *words])


def _made_of() -> Iterator[str]:
    yield from _header(
        ["provider", "files", "lines", "shared", "read or tested", "second-hand", "not verified"]
    )
    for type in STANDS:
        code, found = built(type), marks(type)
        files = ", ".join(f"`{name}`" for name in code.files)
        numbers = (found["read"] + found["tested"], found["secondary"], found["unverified"])
        yield _row([_link(type), files, _tens(code.own), _tens(code.dialect), *map(str, numbers)])


def _not_verified() -> Iterator[str]:
    for type in STANDS:
        facts = unverified(type)
        if not facts:
            continue
        yield f"* {_link(type)}"
        for text, models in facts:
            yield f"  * {text} ({', '.join(f'`{name}`' for name in models)})"


def _tens(lines: int) -> str:
    return str(round(lines, -1)) if lines else "-"


def _link(type: str) -> str:
    name = _PAGE_OF.get(type, type)
    return f"[{type}](providers/{name}.md)" if (_PAGES / f"{name}.md").exists() else type


def _header(names: Sequence[str]) -> Iterator[str]:
    yield _row(names)
    yield _row(["---"] * len(names))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
