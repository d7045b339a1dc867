"""What tests of single parts share."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.mail_places import KINDS, Box, opened, transport_of

_numbers = itertools.count(1)


@pytest.fixture(params=KINDS)
async def box(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Box]:
    """The mail of a topic that no other test has."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    async with opened(transport_of(request.param, tmp_path / "events.db", url), f"mail{next(_numbers)}") as made:
        yield made
