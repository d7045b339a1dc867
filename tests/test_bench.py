"""The benchmark: what it leaves behind when it is stopped, and how its table reads."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from bench.measure import Result
from bench.report import Report
from bench.rows import choose

from tests.suite.seen import until
from tests.support.processes import Program, alive, children

ROOT = Path(__file__).resolve().parents[1]
PROCESSES = 3  # the server, who answers, who calls


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_benchmark_that_is_stopped_leaves_no_process_behind(number: signal.Signals) -> None:
    command = (sys.executable, "-m", "bench", "--rows", "tieline-python", "--seconds", "60")
    async with Program(*command, env={"PYTHONPATH": str(ROOT)}) as bench:
        await until(lambda: len(children(bench.pid)) >= PROCESSES, 20.0, lambda: bench.text)
        started = children(bench.pid)
        os.kill(bench.pid, number)
        assert await bench.wait() == 130, bench.text
        assert not [pid for pid in started if alive(pid)]


def report(**figures: float) -> Report:
    """Of a run in which each row had these calls/s at 512, and 100 of everything else."""
    results = [
        Result(
            row,
            [{"p50": 100.0, "p99": 100.0, "mean": 100.0, "c64": 100.0, "c512": figures[row.name.replace("-", "_")]}],
        )
        for row in choose(",".join(figures).replace("_", "-"), quick=False)
    ]
    return Report("bench", {}, 1, 1.0, 0.0, results)


def cells(line: str) -> list[str]:
    """What stands between the bars."""
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_table_has_columns_for_each_language_side_by_side() -> None:
    text = report(tieline_python=1.0, tieline_node=2.0, nats_js=3.0, moleculer=4.0, bullmq=5.0).text()
    head, _, ours, nats, moleculer, bullmq, *_ = map(cells, text.splitlines())
    figures = ["p50 µs", "p99 µs", "calls/s at 64", "at 512"]
    assert head == ["", *(f"Python: {figures[0]}", *figures[1:]), *(f"Node: {figures[0]}", *figures[1:])]
    assert ours == ["Tieline over Redis", *["100"] * 3, "1.00", *["100"] * 3, "2.00"]
    assert nats == ["NATS `request` (nats-py, nats.js)", *[""] * 4, *["100"] * 3, "3.00"]
    assert (moleculer[8], bullmq[8]) == ("4.00", "5.00")


def test_a_language_that_was_not_measured_has_no_columns() -> None:
    assert "Node" not in report(tieline_python=1.0).text()


def test_events_in_a_file_are_held_against_ten_thousand_a_second() -> None:
    (row,) = choose("durable-sqlite", quick=False)
    figures = {f"{what}_{keys}": 9_999.0 for what in ("published", "handled") for keys in (1, 100, 10_000)}
    figures["published_100"] = 10_000.0
    text = Report("bench", {}, 1, 1.0, 0.0, [Result(row, [figures])]).text()
    marks = [cells(line) for line in text.splitlines() if "SQLite file, stored" in line]
    assert [(mark[0][-8:], mark[2], mark[3]) for mark in marks] == [
        ("d, 1 key", "≥ 10,000 /s", "MISSED"),
        ("100 keys", "≥ 10,000 /s", "met"),
        ("000 keys", "≥ 10,000 /s", "MISSED"),
    ]


@pytest.mark.parametrize(("theirs", "verdict"), [(50.0, "met"), (51.0, "MISSED")])
def test_node_is_held_against_moleculer(theirs: float, verdict: str) -> None:
    text = report(tieline_node=100.0, moleculer=theirs).text()
    marks = [cells(line) for line in text.splitlines() if "Moleculer over Redis, calls" in line]
    assert [(mark[2], mark[3]) for mark in marks] == [("≥ 2 ×", verdict)]
