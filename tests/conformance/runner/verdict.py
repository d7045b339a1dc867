"""What a run means: the matrix, the failures, and what was known to fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from tests.conformance.runner.run import Result

KNOWN_FAILING = Path(__file__).parents[1] / "known_failing.txt"


class Known(NamedTuple):
    """A line of known_failing.txt: patterns as in the shell, for combinations and for cases."""

    combination: str
    case: str

    def means(self, result: Result) -> bool:
        """Whether it speaks of this result."""
        return fnmatchcase(result.combination.name, self.combination) and fnmatchcase(result.listed.name, self.case)


class Verdict(NamedTuple):
    """Results by what they mean; anything but passes and known failures is wrong."""

    failures: list[Result]
    known: list[Result]
    surprises: list[Result]
    unused: list[Known]

    @property
    def good(self) -> bool:
        """Whether nothing is unexpected."""
        return not (self.failures or self.surprises or self.unused)


def read_known(text: str) -> list[Known]:
    """`combination | case` on a line; what follows "#" is for people."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return [Known(*(part.strip() for part in line.split("|"))) for line in lines if line]


def judge(results: Sequence[Result], known: Sequence[Known], *, whole: bool = True) -> Verdict:
    """Compare with what was known to fail; in a whole run, lines that speak of nothing are wrong too."""
    expected = [result for result in results if any(line.means(result) for line in known)]
    return Verdict(
        failures=[result for result in results if result.failure and result not in expected],
        known=[result for result in expected if result.failure],
        surprises=[result for result in expected if not result.failure],
        unused=[line for line in known if whole and not any(line.means(result) for result in results)],
    )


def report(results: Sequence[Result], verdict: Verdict) -> Iterator[str]:
    """Lines for people: the matrix, then whatever is not as it should be."""
    yield from matrix(results)
    for result in verdict.failures:
        yield f"FAILED {result.listed.name} [{result.combination.name}]\n    {result.failure.strip()}"
    for result in verdict.known:
        yield f"known to fail: {result.listed.name} [{result.combination.name}]"
    for result in verdict.surprises:
        yield f"PASSES, but is in {KNOWN_FAILING.name}: {result.listed.name} [{result.combination.name}]"
    for line in verdict.unused:
        yield f"{KNOWN_FAILING.name} speaks of nothing that was run: {line.combination} | {line.case}"
    cases = len({result.listed.name for result in results})
    passed = sum(not result.failure for result in results)
    yield f"{cases} cases, {passed} of {len(results)} passed, {len(verdict.known)} known to fail"


def matrix(results: Sequence[Result]) -> Iterator[str]:
    """Rows are groups of cases, columns are combinations: passed/all."""
    groups = list(dict.fromkeys(result.listed.group for result in results))
    columns = list(dict.fromkeys(result.combination for result in results))
    first = max(map(len, groups), default=0)
    names = [column.name.split(" ") for column in columns]
    widths = [max(7, *map(len, name)) for name in names]
    for part in (0, 1):
        cells = (name[part].rjust(width) for name, width in zip(names, widths, strict=True))
        yield " ".join([" " * first, *cells])
    for group in groups:
        row = [[r for r in results if r.listed.group == group and r.combination == column] for column in columns]
        cells = (_cell(cell).rjust(width) for cell, width in zip(row, widths, strict=True))
        yield " ".join([group.ljust(first), *cells])


def _cell(results: list[Result]) -> str:
    return f"{sum(not result.failure for result in results)}/{len(results)}" if results else "-"
