"""The table, the marks and the page, all Markdown that is also fit for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.marks import Verdict, judge
from bench.measure import Figures, Result

COLUMNS = {"p50": "p50 µs", "p99": "p99 µs", "c64": "calls/s at 64", "c512": "at 512"}
LANGUAGES = ("Python", "Node")


@dataclass
class Report:
    """One run."""

    command: str
    facts: Mapping[str, str]
    rounds: int
    seconds: float
    busy: float
    results: Sequence[Result]
    verdicts: list[Verdict] = field(init=False)

    def __post_init__(self) -> None:
        self.verdicts = judge({result.row.name: result.figures for result in self.results})

    def text(self) -> str:
        """Everything that was measured, and what is to be said about it."""
        tables = [_calls(self.results), _features(self.results), _durable(self.results)]
        tables += [_delayed(self.results), _recording(self.results), _http(self.results), _memory(self.results)]
        parts = [*tables, _verdicts(self.verdicts), self._remarks()]
        return "\n\n".join(part for part in parts if part)

    def page(self, before: str = "") -> str:
        """The page for `docs/benchmarks.md`. What was found is written by people, and kept from the page before."""
        facts = [f"- {name}: {value}" for name, value in self.facts.items()]
        method = _METHOD.format(command=self.command, rounds=_rounds(self.rounds), seconds=self.seconds)
        return "\n\n".join([method, "\n".join(facts), "## Figures", self.text()]) + "\n" + _found(before)

    def json(self) -> dict[str, Any]:
        """For programs."""
        rows = {
            result.row.name: {"problem": result.problem, "median": result.figures, "rounds": result.rounds}
            for result in self.results
        }
        marks = [{"what": v.mark.what, "bound": v.mark.bound, "value": v.value, "met": v.met} for v in self.verdicts]
        settings = {"command": self.command, "rounds": self.rounds, "seconds": self.seconds, "busy": self.busy}
        return {**settings, "facts": dict(self.facts), "rows": rows, "marks": marks}

    def _remarks(self) -> str:
        lines = [f"- {r.row.name} was not measured: {r.problem}" for r in self.results if r.problem]
        if self.busy > 0.5:
            lines.append(f"- The machine was busy before the run (load {self.busy:.1f}): do not trust these figures.")
        return "\n".join(lines)


_FOUND = "\n## What was found\n"
_METHOD = """# Benchmarks

Written by `{command}`. Absolute figures belong to one machine; compare only within one run.

Each row is a caller and a responder in two processes, beside their broker. The payload is a small map, encoded, decoded
and echoed for every call. {rounds}, {seconds:g} s at each of 1, 64 and 512 calls in flight, after a warm-up.
Within a round the rows take turns. Python runs on uvloop. p50 and p99 are of one call in flight.

Every peer uses its defaults, except for bounds that 512 calls in flight would meet: FastStream's pool of connections,
BullMQ's concurrency. BullMQ writes each job down; it is here because people ask it for answers, not because it is meant
for them.

The raw link is our own connection to Redis with nothing above it: no deadlines, no context, no validation, no task for
a handler. What the client adds to it is the price of its promises. The two gRPC rows have the same caller. Memory is
what 100,000 calls that wait for their replies add to a process, divided by their number."""


def _found(page: str) -> str:
    _, heading, findings = page.partition(_FOUND)
    return heading + findings


def _rounds(number: int) -> str:
    return "One round" if number == 1 else f"The median of {number} rounds"


def _calls(results: Sequence[Result]) -> str:
    """A line for each way to make a call, with columns for each language that was measured."""
    measured = [r for r in results if r.figures and r.row.kind == "calls"]
    languages = [language for language in LANGUAGES if any(r.row.language == language for r in measured)]
    lines: dict[str, dict[str, Figures]] = {}
    for result in measured:
        lines.setdefault(result.row.title, {})[result.row.language] = result.figures
    heads = [head for language in languages for head in _heads(language)]
    rows = [
        [title, *(cell for language in languages for cell in _cells(by.get(language)))] for title, by in lines.items()
    ]
    return table(["", *heads], rows) if rows else ""


def _heads(language: str) -> list[str]:
    first, *others = COLUMNS.values()
    return [f"{language}: {first}", *others]


def _cells(figures: Figures | None) -> list[str]:
    return [_number(figures[name]) if figures else "" for name in COLUMNS]


def _features(results: Sequence[Result]) -> str:
    rows: list[list[str]] = []
    for figures in (r.figures for r in results if r.figures and r.row.kind == "features"):
        rows += [
            ["items of one stream, per second", _number(figures["items"])],
            ["the same by calls, one after the other", _number(figures["fetched"])],
            ["one call, p50 µs", _number(figures["plain"])],
            ["one call with an idempotency key, p50 µs", _number(figures["keyed"])],
            ["an empty script, p50 µs", _number(figures["round_trip"])],
            ["calls/s at 512 with explain ÷ without", f"{figures['explained']:.3f}"],
        ]
    return table(["Python over Redis", "measured"], rows) if rows else ""


def _durable(results: Sequence[Result]) -> str:
    columns = [f"{what}_{keys}" for what in ("published", "handled") for keys in (1, 100, 10_000)]
    heads = ["stored/s, 1 key", "100 keys", "10,000 keys", "handled/s, 1 key", "100 keys", "10,000 keys"]
    rows = [
        [r.row.title, *(_number(r.figures[name]) if name in r.figures else "" for name in columns)]
        for r in results
        if r.figures and r.row.kind == "durable"
    ]
    tables = [table(["durable events", *heads], rows)] if rows else []
    for figures in (r.figures for r in results if r.figures and r.row.kind == "keys"):
        lines = [
            ["connections of the consumer", _number(figures["connections"])],
            ["memory of the consumer, MB", f"{figures['memory'] / 1e6:.1f}"],
            ["first event of a new key, p50 ms", f"{figures['first_p50']:.2f}"],
            ["first event of a new key, p99 ms", f"{figures['first_p99']:.2f}"],
        ]
        tables.append(table(["100,000 keys, 5,000 new ones a second", "measured"], lines))
    return "\n\n".join(tables)


def _delayed(results: Sequence[Result]) -> str:
    columns = ("planned", "fired", "late_p50", "late_p99")
    heads = ["planned/s", "due at once, handled/s", "late at 1,000/s, p50 ms", "p99 ms"]
    measured = [result for result in results if result.figures and result.row.kind == "delayed"]
    rows = [[each.row.title, *(_number(each.figures[name]) for name in columns)] for each in measured]
    return table(["delayed events", *heads], rows) if rows else ""


def _recording(results: Sequence[Result]) -> str:
    measured = [result for result in results if result.figures and result.row.kind == "recording"]
    rows = [[each.row.title, _number(each.figures["recorded"])] for each in measured]
    return table(["history, one recorder", "events/s"], rows) if rows else ""


def _http(results: Sequence[Result]) -> str:
    measured = [result for result in results if result.figures and result.row.kind == "http"]
    rows = [[each.row.title, _number(each.figures["published"])] for each in measured]
    return table(["HTTP, 64 connections", "requests/s"], rows) if rows else ""


def _memory(results: Sequence[Result]) -> str:
    rows: list[list[str]] = []
    for figures in (r.figures for r in results if r.figures and r.row.kind == "memory"):
        rows += [_sizes("the client's own", "own", figures), _sizes("with the caller's task", "task", figures)]
    return table(["a pending call", "bytes by RSS", "bytes by tracemalloc"], rows) if rows else ""


def _sizes(title: str, which: str, figures: Figures) -> list[str]:
    return [title, _number(figures[f"{which}_rss"]), _number(figures[f"{which}_traced"])]


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    rows = [[v.mark.what, _number(v.value), v.mark.bound, "met" if v.met else "MISSED"] for v in verdicts]
    return table(["mark", "measured", "asked", ""], rows) if rows else ""


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns: the first to the left, the others to the right."""
    widths = [max(3, *(len(row[at]) for row in [head, *rows])) for at in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(_padded(cells, widths)) + " |" for cells in lines)


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    numbers = zip(cells[1:], widths[1:], strict=True)
    return [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in numbers)]
