"""The trace that an event belongs to: the headers `traceparent` and `tracestate` of the W3C's Trace Context."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping

from tieline._contract.contract import LIMIT_HEADERS, LIMIT_HEADERS_BYTES

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"

_NAMES = "-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_is_traceparent = re.compile(f"00{_NAMES}|(?!00|ff)[0-9a-f]{{2}}{_NAMES}(?:-.*)?").fullmatch


def is_traceparent(value: str) -> bool:
    """Whether it names a trace and a span in it: `00-<32 digits>-<16 digits>-<2 digits>`, or a later version's."""
    return _is_traceparent(value) is not None


def inherit_trace(headers: MutableMapping[str, str], handled: Mapping[str, str]) -> None:
    """Have what a handler publishes belong to the trace of the event it handles.

    A `traceparent` of its own wins, one that is malformed is not handed on, and nothing is where it would not fit.
    """
    traceparent = handled.get(TRACEPARENT)
    if not traceparent or TRACEPARENT in headers or not is_traceparent(traceparent):
        return
    wanted = {TRACEPARENT: traceparent}
    tracestate = handled.get(TRACESTATE)
    if tracestate and TRACESTATE not in headers:
        wanted[TRACESTATE] = tracestate
    if not headers or fits({**headers, **wanted}):
        headers.update(wanted)


def fits(headers: Mapping[str, str]) -> bool:
    """Whether an envelope may have these headers."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in headers.items())
    return len(headers) <= LIMIT_HEADERS and size <= LIMIT_HEADERS_BYTES
