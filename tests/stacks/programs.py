"""The example programs in other languages, as `make stacks` has built them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.processes import Peer

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {
    "go": [ROOT / "examples/go/bin/example"],
    "java": ["java", "-jar", ROOT / "examples/java/target/example.jar"],
}


def chosen() -> list[str]:
    """The languages to test, from TEST_STACKS.

    Raises:
        UsageError: none is named, or one is unknown.
    """
    languages = os.environ.get("TEST_STACKS", "").split()
    if not languages or not set(languages) <= COMMANDS.keys():
        raise pytest.UsageError("run these by `make stacks`: it builds the programs and names them in TEST_STACKS")
    return languages


class Program(Peer):
    """`example serve ADDRESS` or `example demo ADDRESS`, in one of the languages."""

    def __init__(self, language: str, command: str, address: str) -> None:
        super().__init__(*COMMANDS[language], command, address)
        self.language = language
        self.command_name = command

    async def line(self, pattern: str, *, seconds: float = 20.0) -> str:
        """See `Peer.line`. The demo announces nothing."""
        if pattern == "^READY" and self.command_name == "demo":
            return ""
        return await super().line(pattern, seconds=seconds)

    @property
    def instance(self) -> str:
        """The instance it is now."""
        return [line for line in self.output if line.startswith("READY")][-1].split()[1]
