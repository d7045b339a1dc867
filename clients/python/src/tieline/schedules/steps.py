"""What the broker remembers of planned events, told as steps of their chains (SPEC.md, section 13)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import DecodeError

from tieline import codec
from tieline._contract.envelope_pb2 import Envelope
from tieline._contract.envelope_pb2 import Step as WireStep
from tieline._contract.envelope_pb2 import Trail as WireTrail
from tieline.errors import TielineError
from tieline.explain.trail_bytes import steps_of
from tieline.observe import StepName
from tieline.schedules.agenda import Agenda, Planned, ScheduleStatus

BROKER = "broker"
"""Whose step it is that a planned event went out: whoever fired it does not remember it, the broker does."""

_MOST = 20
_ENDS = {
    ScheduleStatus.DELIVERED: StepName.FIRED,
    ScheduleStatus.CANCELLED: StepName.CANCELLED,
    ScheduleStatus.EXPIRED: StepName.EXPIRED,
    ScheduleStatus.FAILED: StepName.FAILED,
}


async def planned_trail(agenda: Agenda, correlation_id: str, trails: Iterable[bytes]) -> bytes:
    """A Trail of what became of the events that a chain has planned: of those that are told, and of its first one."""
    told = {name: due for trail in trails for name, due in _told(trail)}
    steps = list[WireStep]()
    for name in sorted({correlation_id, *told}, key=lambda name: name != correlation_id)[:_MOST]:
        try:
            planned = await agenda.find(name)
            if planned is not None:
                steps += _steps(planned, correlation_id, told.get(name))
        except (TielineError, DecodeError):  # what is only told must not keep the rest from being told
            continue
    return WireTrail(steps=steps).SerializeToString()


def _told(trail: bytes) -> Iterator[tuple[str, object]]:
    """Ids of events that are told to be planned, and when they are due."""
    for step in steps_of(trail):
        if step.name == StepName.PLANNED:
            try:
                detail = codec.decode(step.detail)
            except TielineError:
                continue
            if isinstance(detail, dict) and isinstance(detail.get("id"), str):
                yield detail["id"], detail.get("due")


def _steps(planned: Planned, correlation_id: str, told: object) -> Iterator[WireStep]:
    """Steps that the broker adds; `told` is when the event is due as its planner knows it, None if nobody does."""
    event = Envelope.FromString(planned.envelope)
    if (event.correlation_id or planned.id) != correlation_id:
        return
    about = _detail(planned.id, planned.due)
    if about["due"] != told:  # nobody knows, or its planner does not: it was put off since
        yield _step(StepName.PLANNED, planned.created, BROKER if told else event.source, event.topic, about)
    if planned.status in _ENDS:
        about = {"id": planned.id} | ({"why": planned.why} if planned.status is ScheduleStatus.FAILED else {})
        yield _step(_ENDS[planned.status], planned.ended, BROKER, event.topic, about)


def _detail(event_id: str, due: int) -> dict[str, Any]:
    """What there is to say of an event that is planned: its id, and when it is due (ms since 1970)."""
    return {"id": event_id, "due": datetime.fromtimestamp(due / 1000, UTC)}


def _step(name: StepName, time: int, source: str, topic: str, detail: dict[str, Any]) -> WireStep:
    return WireStep(name=name, time=time, source=source, topic=topic, detail=codec.encode(detail))
