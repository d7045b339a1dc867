"""`tieline explain`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC
from typing import Any

import click

from tieline._contract.contract import DEFAULT_EXPLAIN_CALLS
from tieline.calls.gather import Responder
from tieline.explain.explain import Explanation, TrailStep
from tieline_gateway.cli.group import examples
from tieline_gateway.cli.page import Page, visible
from tieline_gateway.cli.plain import print_json
from tieline_gateway.cli.visit import FAILED, USAGE, Broker, fail, json_option, ttl_option, with_broker

_HEADS = ("TIME", "AFTER", "WHO", "CALL", "STEP", "TOPIC", "DETAILS")
_STYLES = {
    "failed": "red", "completed": "green", "retried": "yellow", "dropped": "yellow", "gap": "yellow",
    "cancelled": "yellow", "parked": "red", "dead_letter": "red", "redriven": "yellow",
}  # fmt: skip
_SHORTEST = 4
_BELOW = 25


@click.command(epilog=examples("tieline explain order-7", "tieline explain 0190a5c4-… --json"))
@click.argument("correlation_id", metavar="ID")
@with_broker
@ttl_option
@json_option
def explain(correlation_id: str, *, broker: Broker, ttl: float, as_json: bool) -> None:
    """Tell where an event or call went.

    ID is the correlation id of an event, a receipt or an error. All live processes are asked what they remember of it,
    and what was stored when a call failed is shown too. Ends with 1 if nobody remembers anything.
    """
    if not correlation_id:
        fail("the ID is empty; give the correlation id of an event or a call", USAGE)
    explanation = broker.visit(lambda events: events.explain(correlation_id, ttl=ttl))
    if as_json:
        print_json(_document(explanation))
    else:
        page = Page()
        _show(page, explanation) if explanation.steps else _show_nothing(page, correlation_id)
        _show_missing(page, explanation.missing, ttl)
    sys.exit(0 if explanation.steps else FAILED)


def _show(page: Page, explanation: Explanation) -> None:
    names = _Names(explanation)
    steps = explanation.steps
    first = steps[0].time.astimezone()
    count = f"{_counted(len(steps), 'step')} in {_counted(len({s.source for s in steps}), 'instance')}"
    page.line(f"{visible(explanation.correlation_id)}: {count}, {first:%Y-%m-%d} {first.tzname()}", "bold")
    after = _afters(steps)
    rows = [_row(step, told, names) for step, told in zip(steps, after, strict=True)]
    page.table(_HEADS, rows, [_STYLES.get(step.name, "") for step in steps], indent=0, below=_BELOW)


def _row(step: TrailStep, after: str, names: _Names) -> tuple[str, ...]:
    clock = f"{step.time.astimezone():%H:%M:%S.%f}"[:-3]
    call = names.calls.get(step.call_id, "")
    return clock, after, names.source(step), call, visible(step.name), visible(step.topic), names.details(step)


def _afters(steps: list[TrailStep]) -> list[str]:
    """Seconds since the first step."""
    told = [f"{(step.time - steps[0].time).total_seconds():+.3f}s" for step in steps]
    return [text.rjust(len(max(told, key=len))) for text in told]


def _show_nothing(page: Page, correlation_id: str) -> None:
    page.line(f"Nobody remembers anything of {visible(correlation_id)}.", "bold")
    page.line(
        f"A process remembers about its last {DEFAULT_EXPLAIN_CALLS:,} calls and events, and forgets them when it "
        "ends; only what failed is stored, the last of it. So it may be too long ago, the processes may be "
        "gone, or it is another id: what is looked for is the correlation id."
    )


def _show_missing(page: Page, missing: list[Responder], ttl: float) -> None:
    if missing:
        who = ", ".join(sorted(f"{visible(each.service)}/{visible(each.instance)}" for each in missing))
        page.line(f"No answer within {ttl:g} s, so their part may be missing: {who}", "yellow")


def _document(explanation: Explanation) -> dict[str, Any]:
    steps = explanation.steps
    return {
        "correlation_id": explanation.correlation_id,
        "steps": [_told(step, steps[0]) for step in steps],
        "missing": [{"service": each.service, "instance": each.instance} for each in explanation.missing],
    }


def _told(step: TrailStep, first: TrailStep) -> dict[str, Any]:
    service, _, instance = step.source.rpartition("/")
    return {
        "name": step.name,
        "time": step.time.astimezone(UTC).isoformat(timespec="milliseconds"),
        "after_ms": round((step.time - first.time).total_seconds() * 1000),
        "service": service,
        "instance": instance,
        "topic": step.topic,
        "call_id": step.call_id,
        "detail": step.detail,
    }


class _Names:
    """Short names of the instances and calls of one trail, as long as they must be to differ."""

    def __init__(self, explanation: Explanation) -> None:
        sources = {step.source for step in explanation.steps}
        self._service = {source.rpartition("/")[2]: source.rpartition("/")[0] for source in sources}
        named = {value for step in explanation.steps for key, value in step.detail.items() if key in _INSTANCES}
        self._instances = _shortened({*self._service, *map(str, named)})
        calls = {step.call_id for step in explanation.steps if step.call_id}
        self.calls = _shortened(calls) if len(calls) > 1 else {}

    def source(self, step: TrailStep) -> str:
        return self._instance(step.source.rpartition("/")[2])

    def details(self, step: TrailStep) -> str:
        return "  ".join(f"{visible(key)}={self._value(key, value)}" for key, value in step.detail.items())

    def _value(self, key: str, value: Any) -> str:
        if key in _INSTANCES:
            return self._instance(str(value))
        if isinstance(value, float):
            return f"{value:.3f}"
        text = visible(value)
        return f'"{text}"' if " " in text or not text else text

    def _instance(self, name: str) -> str:
        service = self._service.get(name, "")
        short = self._instances[name]
        return visible(f"{service}/{short}" if service else short)


_INSTANCES = frozenset({"instance", "avoid", "to"})


def _shortened(names: Iterable[str]) -> dict[str, str]:
    names = set(names)
    length = _SHORTEST
    while len({name[:length] for name in names}) < len(names):
        length += 1
    return {name: name[:length] for name in names}


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
