"""The errors a call can end with without anybody having said so, and which ones let somebody else be asked."""

from __future__ import annotations

import math

from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call import Call
from tieline.envelope import STREAM_END
from tieline.errors import (
    CallTimeoutError,
    InternalError,
    NoRespondersError,
    Outcome,
    ResponderLostError,
    TielineError,
    UnavailableError,
)

_IN_PROCESS = ". This is within one process (memory://); with TIELINE_URL others are reached too"
_RESULTS = frozenset({"HANDLER_ERROR"})
_GAVE_UP = frozenset({"TIMEOUT", "CANCELLED"})
_REFUSALS = frozenset({"OVERLOADED", "NO_RESPONDERS", "UNAVAILABLE"})


def is_refusal(error: TielineError) -> bool:
    """Whether somebody else may be asked instead (SPEC.md, section 6, "Refused")."""
    return error.outcome is Outcome.NOT_DELIVERED and error.code in _REFUSALS


def leaves_run(error: TielineError) -> bool:
    """Whether the run of an idempotency key may still bring a result after this error, or has brought it."""
    if error.code == "UNAVAILABLE":
        return not error.from_wire
    return error.code in _RESULTS or error.code in _GAVE_UP


def nobody_answers(call: Call, *, in_process: bool = False) -> NoRespondersError:
    """Nobody took the request; `in_process`: nor could anybody elsewhere."""
    waited = min(call.patience, call.deadline) - call.began
    if waited > 0:
        what = f"nobody answers {call.topic!r} after {round(waited, 3):g} s: start a subscriber of it"
    else:
        what = f"nobody answers {call.topic!r}: start a subscriber of it, or wait_for_responders"
    return NoRespondersError(f"{what}{_IN_PROCESS if in_process else ''}")


def nobody_to_ask(topic: str, *, in_process: bool = False) -> NoRespondersError:
    """There is nobody whom a gather could ask."""
    message = f"nobody answers {topic!r}: start a subscriber of it"
    return NoRespondersError(f"{message}{_IN_PROCESS if in_process else ''}")


def away() -> UnavailableError:
    """There is no link."""
    message = "the broker cannot be reached now; reconnecting. Try again, or allow wait_for_connection"
    return UnavailableError(message, outcome=Outcome.NOT_DELIVERED)


def broken(call: Call) -> UnavailableError:
    """The link broke."""
    details = {"received": call.inflow.received} if call.inflow is not None else None
    return UnavailableError("the connection to the broker broke while the call was out", details=details)


def lost(call: Call, why: str) -> ResponderLostError:
    """The responder's process is gone."""
    return ResponderLostError(
        f"the responder of {call.topic!r}, instance {call.instance}, is gone: {why}; whether the call ran is unknown",
        details={"instance": call.instance, "accepted": call.accepted},
    )


def timed_out(call: Call, total: float = math.inf) -> CallTimeoutError:
    """The deadline passed; `total`: that of a whole stream, which had so many seconds."""
    ran = call.attempts > 0 or call.may_have_run or call.joined
    outcome = Outcome.MAY_HAVE_RUN if ran else Outcome.NOT_DELIVERED
    details: dict[str, object] = {"accepted": call.accepted, "attempts": call.attempts}
    if call.inflow is not None:
        details["received"] = call.inflow.received
    what = "reply" if call.inflow is None else "item"
    message = f"no {what} from {call.topic!r} within {call.ttl_ms / 1000:g} s"
    if total < math.inf:
        message = f"the stream from {call.topic!r} was not over within its total of {round(total, 3):g} s"
    return CallTimeoutError(message, details=details, outcome=outcome)


def gap(call: Call, item: Envelope) -> TielineError:
    """Items of a stream are missing, or there are more than may be."""
    assert call.inflow is not None
    expected, got = call.inflow.received + 1, item.stream.sequence
    if got <= expected and item.kind != STREAM_END:
        return InternalError(f"the responder of {call.topic!r} sends more than it has credit for", from_wire=False)
    message = f"items of the stream from {call.topic!r} were lost on the way: expected {expected}, got {got}"
    return UnavailableError(message, details={"expected": expected, "got": got})
