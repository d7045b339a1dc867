"""Which tests a run against another server repeats: those that may talk to Redis or PostgreSQL themselves.

A test may if it, a fixture of its or something of `tests/` that one of these uses is written with the word. What has a
parameter that is the name of a broker is repeated for `redis` only: a gateway before Redis is a client in Python, and
what it asks of the server is what that client asks.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

_SERVERS = re.compile("[rR]edis|[pP]ostgres")
_BROKERS = ("place", "url", "address", "box", "store", "systems", "broker", "up", "where", "kind")
_ELSEWHERE = {"memory", "file", "sqlite", "gateway", "embedded", "gateway+redis"}
_WORD = re.compile(r"[A-Za-z_]\w*")


def may_talk_to_a_server(item: pytest.Item) -> bool:
    """Whether the test is worth repeating against another server."""
    if not isinstance(item, pytest.Function):
        return True
    params = item.callspec.params if hasattr(item, "callspec") else {}
    given = [value for name in _BROKERS if isinstance(value := params.get(name), str)]
    if _ELSEWHERE.intersection(given):
        return False
    if any(map(_SERVERS.search, given)):
        return True
    fixtures = [definition.func for named in item._fixtureinfo.name2fixturedefs.values() for definition in named]
    return any(_is_written(each.__module__, each.__name__) for each in (item.function, *fixtures))


@cache
def _is_written(module: str, name: str) -> bool:
    """Whether the word is in what stands at the top of a module under a name, or in what that uses."""
    seen, waiting = set[tuple[str, str]](), [(module, name)]
    while waiting:
        at = waiting.pop()
        if at in seen or not at[0].startswith("tests."):
            continue
        seen.add(at)
        text = _module(at[0]).texts.get(at[1], "")
        if _SERVERS.search(text):
            return True
        waiting += _uses(at[0], text)
    return False


def _uses(module: str, text: str) -> Iterator[tuple[str, str]]:
    origins = _module(module).origins
    for word in set(_WORD.findall(text)):
        yield origins.get(word, (module, word))


class _Module(NamedTuple):
    """What stands at the top of a module: the text of each name, and of imported names where they are from."""

    texts: dict[str, str]
    origins: dict[str, tuple[str, str]]


@cache
def _module(name: str) -> _Module:
    path = Path(sys.modules[name].__file__ or "")
    lines = path.read_text().splitlines()
    texts, origins = dict[str, str](), dict[str, tuple[str, str]]()
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.ImportFrom):
            origins |= {each.asname or each.name: (node.module or "", each.name) for each in node.names}
        for bound in _bound(node):
            first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
            texts[bound] = texts.get(bound, "") + "\n".join(lines[first - 1 : node.end_lineno])
    return _Module(texts, origins)


def _bound(node: ast.stmt) -> list[str]:
    """The names that a statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node]
    names = (part for target in targets for part in ast.walk(target))
    return [part.id for part in names if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
