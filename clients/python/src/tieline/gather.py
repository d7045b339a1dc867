"""One request, many answers: whom to ask, and what became of it (SPEC.md, section 11)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tieline._contract.envelope_pb2 import Envelope
from tieline.call import Call
from tieline.call_errors import is_refusal
from tieline.errors import CallCancelledError, NoRespondersError, Outcome, TielineError
from tieline.transport import Place

_GONE = frozenset({"RESPONDER_LOST", "NO_RESPONDERS"})


class Responder(NamedTuple):
    """Who was asked: an instance of a service, and the group it was asked for, or nothing."""

    service: str
    instance: str
    group: str


class Reply(NamedTuple):
    """What a responder said."""

    responder: Responder
    value: Any


class Failure(NamedTuple):
    """Why there is no reply."""

    responder: Responder
    error: TielineError


class Gathered(NamedTuple):
    """The answers to one question; each responder is in one of the lists.

    Attributes:
        replies: who replied, in the order of the replies.
        errors: who answered with an error.
        missing: who gave no answer: it died, was too slow, or was not waited for. The error says which.

    """

    replies: list[Reply]
    errors: list[Failure]
    missing: list[Failure]

    @property
    def values(self) -> list[Any]:
        """The values of the replies."""
        return [reply.value for reply in self.replies]

    @property
    def complete(self) -> bool:
        """Whether everybody has answered."""
        return not self.missing


class Unit(NamedTuple):
    """Responders of whom one is to answer, in the order in which they are asked."""

    group: str
    places: Sequence[Place]


def units(places: Iterable[Place], own: str, *, every_instance: bool) -> list[Unit]:
    """Whom to ask: one of each group, of those without one one of each service; or every instance."""
    if every_instance:
        return [Unit("", [place]) for place in places]
    found: dict[tuple[str, str], list[Place]] = {}
    for place in places:
        for key in [("", group) for group in place.groups] or [(place.service, "")]:
            found.setdefault(key, []).append(place)
    for members in found.values():
        random.shuffle(members)
        members.sort(key=lambda place: place.instance != own)
    return [Unit(group, members) for (_, group), members in found.items()]


Begin = Callable[[Envelope, str], Call]
Answer = tuple[Responder, Envelope | TielineError]


class Gathering:
    """The calls of one gather. `begin` makes a call to one instance, `abandon` ends it."""

    def __init__(self, request: Envelope, begin: Begin, abandon: Callable[[Call], None]) -> None:
        self._request = request
        self._begin = begin
        self._abandon = abandon

    async def ask(self, asked: Sequence[Unit], max_replies: int) -> list[Answer]:
        """Ask all units; returns when all have answered or died, or when so many have replied (0: all).

        Raises:
            NoRespondersError: there is nobody to ask.

        """
        if not asked:
            raise NoRespondersError(f"nobody answers {self._request.topic!r}: start a subscriber of it")
        tasks = {asyncio.create_task(self._ask(unit)): unit for unit in asked}
        answers: list[Answer] = []
        waiting, replies = set(tasks), 0
        try:
            while waiting and not (max_replies and replies >= max_replies):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                came = [task.result() for task in done]
                answers += came
                replies += sum(isinstance(answer, Envelope) for _, answer in came)
        finally:
            for task in waiting:
                task.cancel()
        return answers + [_not_awaited(tasks[task]) for task in waiting]

    async def _ask(self, unit: Unit) -> Answer:
        """Ask one after the other until somebody takes it."""
        for place in unit.places[:-1]:
            answer = await self._ask_one(unit.group, place)
            if isinstance(answer, Envelope) or not is_refusal(answer):
                return _named(unit, place), answer
        return _named(unit, unit.places[-1]), await self._ask_one(unit.group, unit.places[-1])

    async def _ask_one(self, group: str, place: Place) -> Envelope | TielineError:
        request = Envelope()
        request.CopyFrom(self._request)
        request.group = group
        call = self._begin(request, place.instance)
        try:
            reply: Envelope = await call.waiter
        except asyncio.CancelledError:
            self._abandon(call)
            raise
        except TielineError as error:
            return error
        return reply


def is_missing(error: TielineError) -> bool:
    """Whether an error means that there was no answer, rather than being one."""
    return not error.from_wire or error.code in _GONE


def _named(unit: Unit, place: Place) -> Responder:
    return Responder(place.service, place.instance, unit.group)


def _not_awaited(unit: Unit) -> Answer:
    error = CallCancelledError("there were enough replies without it", outcome=Outcome.MAY_HAVE_RUN)
    return _named(unit, unit.places[0]), error
