"""python -m tests.conformance.runner [--cases PATTERN] [--combinations PATTERN]; exits 1 if anything is unexpected."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from fnmatch import fnmatchcase

from tests.conformance.runner.cases import BadCaseError, load_all
from tests.conformance.runner.places import COMBINATIONS
from tests.conformance.runner.run import run_all
from tests.conformance.runner.verdict import KNOWN_FAILING, judge, read_known, report


def main() -> int:
    """Run what was asked for, and print what it means."""
    parser = argparse.ArgumentParser(prog="conformance", description="Does every language behave the same?")
    parser.add_argument("--cases", default="*", help='"errors/*"; all unless given')
    parser.add_argument("--combinations", default="*", help='"redis *", "* py>node"; all unless given')
    asked = parser.parse_args()
    start = time.monotonic()
    try:
        cases = [listed for listed in load_all() if fnmatchcase(listed.name, asked.cases)]
    except BadCaseError as error:
        parser.exit(2, f"{error}\n")
    combinations = [one for one in COMBINATIONS if fnmatchcase(one.name, asked.combinations)]
    results = asyncio.run(run_all(cases, combinations, said=lambda text: print(text, file=sys.stderr, flush=True)))
    whole = (asked.cases, asked.combinations) == ("*", "*")
    verdict = judge(results, read_known(KNOWN_FAILING.read_text()), whole=whole)
    print(*report(results, verdict), sep="\n")
    print(f"{time.monotonic() - start:.0f} s")
    return 0 if verdict.good and results else 1


if __name__ == "__main__":
    sys.exit(main())
