"""What docs/options.md names is there, in both languages."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from examples.node_package import provide

from tieline import EventSystem, RetryPolicy, Settings, idempotency_store
from tieline.subscription import SubscriptionOptions

ROOT = Path(__file__).parents[2]
OPTIONS: list[dict[str, Any]] = tomllib.loads((ROOT / "proto/contract.toml").read_text(encoding="utf-8"))["options"]
USES = sorted({use for option in OPTIONS for use in option["here"] if "(" in use})
VARIABLES = sorted({use for option in OPTIONS for use in option["here"] if "(" not in use})
TARGETS = ("publish", "publish_and_wait", "subscribe", "Settings", "EventSystem", "RetryPolicy", "idempotency_store")
NONSENSE = [*(f"{target}(nonsense=)" for target in TARGETS), "events.nonsense()"]
PLACES: dict[str, Callable[..., Any]] = {
    "EventSystem": EventSystem,
    "Settings": Settings,
    "RetryPolicy": RetryPolicy,
    "idempotency_store": idempotency_store,
    "publish": EventSystem.publish,
    "publish_and_wait": EventSystem.publish_and_wait,
}


def split(use: str) -> tuple[str, str]:
    found = re.fullmatch(r"([\w.]+)\((?:(\w+)=)?\)", use)
    assert found, use
    return found[1], found[2] or ""


def camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def in_python(use: str) -> bool:
    what, option = split(use)
    if what == "subscribe":
        return option in SubscriptionOptions.__annotations__
    if what in PLACES:
        return option in inspect.signature(PLACES[what]).parameters
    found: Any = EventSystem("memory://", service="options")
    for name in what.split(".")[1:]:
        found = getattr(found, name, None)
    return callable(found)


def missing_in_node(uses: list[str]) -> list[list[str]]:
    peers = ROOT / "tests/peers"
    provide(peers)
    asked = json.dumps([[camel(part) for part in split(use)] for use in uses])
    done = subprocess.run(
        ["node", str(peers / "options.mjs")], input=asked, capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("use", USES)
async def test_python_has_it(use: str) -> None:
    assert in_python(use)


def test_node_has_them_all() -> None:
    assert missing_in_node(USES) == []


async def test_what_is_not_there_is_noticed() -> None:
    assert not any(map(in_python, NONSENSE))
    assert missing_in_node(NONSENSE) == [[camel(part) for part in split(use)] for use in NONSENSE]


@pytest.mark.parametrize("name", VARIABLES)
def test_both_languages_read_the_variable(name: str) -> None:
    for folder, ending in (("clients/python/src", "*.py"), ("clients/node/src", "*.ts")):
        assert any(
            f'{name}"' in path.read_text("utf-8") or f"env.{name}" in path.read_text("utf-8")
            for path in (ROOT / folder).rglob(ending)
        ), folder
