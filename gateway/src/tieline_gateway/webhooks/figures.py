"""What is counted of webhooks, in and out, since the gateway started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tieline_gateway.webhooks.arrival import Reason

_RECEIVED = "tieline_webhooks_received_total"
_SENT = "tieline_webhooks_sent_total"


@dataclass(slots=True)
class SourceFigures:
    """Of one sender. Times are ms since 1970; 0 for never."""

    accepted: int = 0
    duplicate: int = 0
    ignored: int = 0
    refused: Counter[Reason] = field(default_factory=Counter[Reason])
    last: int = 0
    """When something came last that was not refused."""
    last_refused: int = 0
    last_error: str = ""
    """Why that was."""


@dataclass(slots=True)
class DeliveryFigures:
    """Of one address. Times are ms since 1970; 0 for never."""

    delivered: int = 0
    failed: int = 0
    """Tries that failed."""
    last: int = 0
    last_status: int = 0
    last_error: str = ""
    """Of the last try that failed; empty again when one succeeds."""


def exposition(sources: Mapping[str, SourceFigures], deliveries: Mapping[str, DeliveryFigures]) -> str:
    """The same in the text format of Prometheus; names of sources and deliveries need no quoting."""
    lines: list[str] = []
    if sources:
        lines += _head(_RECEIVED, "Webhooks that came, by their sender and what became of them.")
        for name, figures in sources.items():
            lines += [f'{_RECEIVED}{{webhook="{name}",result="{result}"}} {n}' for result, n in _received(figures)]
    if deliveries:
        lines += _head(_SENT, "Tries to send an event to an address, by what became of them.")
        for name, sent in deliveries.items():
            lines += [
                f'{_SENT}{{delivery="{name}",result="delivered"}} {sent.delivered}',
                f'{_SENT}{{delivery="{name}",result="failed"}} {sent.failed}',
            ]
    return "".join(f"{line}\n" for line in lines)


def _head(name: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} counter"]


def _received(figures: SourceFigures) -> Iterator[tuple[str, int]]:
    yield "accepted", figures.accepted
    yield "duplicate", figures.duplicate
    yield "ignored", figures.ignored
    for reason in Reason:
        yield f"refused_{reason}", figures.refused[reason]
