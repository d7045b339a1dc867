"""Running many cases in many combinations."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tests.conformance._contract.case_pb2 import FEATURE_HISTORY
from tests.conformance.runner.case_run import CaseFailed, CaseRun
from tests.conformance.runner.cases import Listed
from tests.conformance.runner.places import Combination, Place

PLACES_AT_ONCE = 2
LONE_AT_ONCE = 2
CASES_AT_ONCE = 12
CASE_SECONDS = 120.0

Commands = dict[str, list[str]]


class Result(NamedTuple):
    """What became of a case in a combination; `failure` is empty if it passed."""

    combination: Combination
    listed: Listed
    failure: str


def applies(listed: Listed, combination: Combination) -> bool:
    """Whether the combination has what the case needs."""
    return set(listed.case.needs) <= combination.features


async def run_all(
    cases: Sequence[Listed],
    combinations: Sequence[Combination],
    *,
    said: Callable[[str], None] = lambda text: None,
    commands: Commands | None = None,
) -> list[Result]:
    """Every case in every combination that has what it needs; `commands` puts other peers in the place of ours."""
    places, lone = asyncio.Semaphore(PLACES_AT_ONCE), asyncio.Semaphore(LONE_AT_ONCE)

    async def one(combination: Combination) -> list[Result]:
        mine = [(number, listed) for number, listed in enumerate(cases) if applies(listed, combination)]
        together = [one for one in mine if not one[1].case.alone]
        alone = [_alone(combination, *one, lone, commands) for one in mine if one[1].case.alone]
        parts = await asyncio.gather(_together(combination, together, places, commands), *alone)
        results = [result for part in parts for result in part]
        said(f"{combination.name}: {sum(not r.failure for r in results)} of {len(results)}")
        return results

    return [result for results in await asyncio.gather(*map(one, combinations)) for result in results]


async def _together(
    combination: Combination, cases: list[tuple[int, Listed]], places: asyncio.Semaphore, commands: Commands | None
) -> list[Result]:
    if not cases:
        return []
    limit = asyncio.Semaphore(CASES_AT_ONCE)
    async with places, Place(combination, commands, recorded=_recorded(listed for _, listed in cases)) as place:
        return await asyncio.gather(*(_one(place, listed, number, limit) for number, listed in cases))


async def _alone(
    combination: Combination, number: int, listed: Listed, lone: asyncio.Semaphore, commands: Commands | None
) -> list[Result]:
    async with lone, Place(combination, commands, recorded=_recorded([listed])) as place:
        return [await _one(place, listed, number, asyncio.Semaphore(1))]


def _recorded(cases: Iterable[Listed]) -> bool:
    return any(FEATURE_HISTORY in listed.case.needs for listed in cases)


async def _one(place: Place, listed: Listed, number: int, limit: asyncio.Semaphore) -> Result:
    async with limit:
        failure = ""
        try:
            async with asyncio.timeout(CASE_SECONDS):
                await CaseRun(place, listed.case, number).run()
        except CaseFailed as error:
            failure = str(error)
        except TimeoutError:
            failure = f"it did not end within {CASE_SECONDS:.0f} s"
        except Exception:  # also what goes wrong in the runner is a failure of the case, never of the whole run
            failure = traceback.format_exc(limit=-4)
        return Result(place.combination, listed, failure)
