"""Every case in every combination; `make conformance` does the same and prints the matrix."""

from __future__ import annotations

import pytest

from tests.conformance.runner.cases import load_all
from tests.conformance.runner.places import COMBINATIONS
from tests.conformance.runner.run import run_all
from tests.conformance.runner.verdict import KNOWN_FAILING, judge, read_known, report


@pytest.mark.timeout(900)
async def test_every_language_behaves_the_same(request: pytest.FixtureRequest) -> None:
    combinations = [
        each for each in COMBINATIONS if each.broker == "redis" or not request.config.getoption("other_server")
    ]
    results = await run_all(load_all(), combinations)
    verdict = judge(results, read_known(KNOWN_FAILING.read_text()))
    print(*report(results, verdict), sep="\n")
    assert verdict.good, "see the lines above"
