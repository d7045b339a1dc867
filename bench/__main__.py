"""`python -m bench`: ours and peers, in one run."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from bench.machine import busy, facts
from bench.measure import Result, measure
from bench.report import Report
from bench.rows import ROWS, Row, choose

ROUNDS, SECONDS = 3, 2.0
QUICK_ROUNDS, QUICK_SECONDS = 1, 1.0
STOPPED = 130


def main() -> int:
    """Run what the command line asks for. Exit code 1 if a row could not be measured, 130 if it was stopped."""
    options = _options()
    try:
        rows = choose(options.rows, quick=options.quick)
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    before = busy()
    try:
        results = asyncio.run(_measured(rows, rounds, seconds))
    except asyncio.CancelledError:
        _tell("bench: stopped")
        return STOPPED
    report = Report(_command(options), facts(), rounds, seconds, before, results)
    print(report.text())
    _write(report, options)
    return 1 if any(result.problem for result in results) else 0


async def _measured(rows: list[Row], rounds: int, seconds: float) -> list[Result]:
    """Measure; what asks us to stop ends the measurement, and with it every process it started."""
    measuring = asyncio.ensure_future(measure(rows, rounds, seconds, _tell))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, measuring.cancel)
    return await measuring


def _options() -> argparse.Namespace:
    names = "\n".join(f"  {row.name:<16} {row.title}, {row.language}" for row in ROWS)
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("bench", description=__doc__, epilog=f"rows:\n{names}", formatter_class=layout)
    parser.add_argument("--quick", action="store_true", help="our rows and nats-py, one short round, under a minute")
    parser.add_argument("--rows", default="", help="names, with commas between them")
    parser.add_argument("--rounds", type=int, default=0, help=f"rounds of which the median is taken; {ROUNDS}")
    parser.add_argument("--seconds", type=float, default=0.0, help=f"seconds at each level; {SECONDS:g}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures of all rounds")
    parser.add_argument("--write", type=Path, metavar="FILE", help="also write the page: docs/benchmarks.md")
    return parser.parse_args()


def _command(options: argparse.Namespace) -> str:
    words = ["python -m bench", "--quick" if options.quick else "", f"--rows {options.rows}" if options.rows else ""]
    words += [f"--rounds {options.rounds}" if options.rounds else ""]
    words += [f"--seconds {options.seconds:g}" if options.seconds else ""]
    words += ["--write docs/benchmarks.md" if options.write else ""]
    return " ".join(word for word in words if word)


def _write(report: Report, options: argparse.Namespace) -> None:
    if options.json:
        options.json.write_text(json.dumps(report.json(), indent=2, ensure_ascii=False) + "\n")
    if options.write:
        before = options.write.read_text() if options.write.exists() else ""
        options.write.write_text(report.page(before))


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
