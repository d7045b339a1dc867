"""One request, many answers: whom to ask, and what became of it (SPEC.md, section 11)."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call import Call
from tieline.calls.call_errors import is_refusal, nobody_to_ask
from tieline.errors import CallCancelledError, Outcome, TielineError
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


class _Question:
    """What one unit is asked: the place that is asked now, and the call to it."""

    __slots__ = ("at", "call", "unit")

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.at = 0
        self.call: Call | None = None

    @property
    def responder(self) -> Responder:
        """Who is asked now."""
        place = self.unit.places[self.at]
        return Responder(place.service, place.instance, self.unit.group)

    def passes_on(self, error: TielineError) -> bool:
        """Whether somebody else of the unit is asked after this error; if so, it is that one's turn."""
        another = is_refusal(error) and self.at + 1 < len(self.unit.places)
        self.at += another
        return another


class Gathering:
    """The calls of one gather. `begin` makes a call to one instance, `abandon` ends it.

    Each call tells when it is done: with thousands of them nobody looks through those that are still out.
    """

    def __init__(
        self, request: Envelope, begin: Begin, abandon: Callable[[Call], None], *, in_process: bool = False
    ) -> None:
        self._request = request
        self._begin = begin
        self._abandon = abandon
        self._in_process = in_process
        self._waiting: dict[_Question, None] = {}
        self._answers: list[Answer] = []
        self._wanted = 0

    async def ask(self, asked: Sequence[Unit], max_replies: int) -> list[Answer]:
        """Ask all units; returns when all have answered or died, or when so many have replied (0: all).

        Raises:
            NoRespondersError: there is nobody to ask.

        """
        if not asked:
            raise nobody_to_ask(self._request.topic, in_process=self._in_process)
        self._wanted = max_replies or len(asked)
        self._over = asyncio.get_running_loop().create_future()
        self._waiting = dict.fromkeys(map(_Question, asked))
        try:
            for question in list(self._waiting):
                self._ask(question)
            await self._over
        finally:
            self._leave()
        return self._answers

    def _ask(self, question: _Question) -> None:
        """Ask one after the other until a call is on its way."""
        while True:
            request = Envelope()
            request.CopyFrom(self._request)
            request.group = question.unit.group
            try:
                call = self._begin(request, question.responder.instance)
            except TielineError as error:
                if question.passes_on(error):
                    continue
                self._answered(question, error)
            else:
                question.call = call
                call.waiter.add_done_callback(functools.partial(self._done, question))
            return

    def _done(self, question: _Question, waiter: asyncio.Future[Envelope]) -> None:
        """The call to the place that was asked is over."""
        if question.call is not None:
            question.call.waiter = question.call = None  # what came of it is not kept until its deadline
        error = waiter.exception()
        if question not in self._waiting:
            return
        if isinstance(error, TielineError) and question.passes_on(error):
            self._ask(question)
        else:
            self._answered(question, error if isinstance(error, TielineError) else waiter.result())

    def _answered(self, question: _Question, answer: Envelope | TielineError) -> None:
        del self._waiting[question]
        self._answers.append((question.responder, answer))
        self._wanted -= isinstance(answer, Envelope)
        if self._wanted == 0:
            self._leave()  # at once: what comes in this turn of the loop comes after the last reply that counts
        if not self._waiting and not self._over.done():
            self._over.set_result(None)

    def _leave(self) -> None:
        """End the calls that are still out."""
        waiting, self._waiting = self._waiting, {}
        for question in waiting:
            call, question.call = question.call, None  # no cycle for the collector
            if call is not None and not call.done:
                self._abandon(call)
            error = CallCancelledError("there were enough replies without it", outcome=Outcome.MAY_HAVE_RUN)
            self._answers.append((question.responder, error))


def is_missing(error: TielineError) -> bool:
    """Whether an error means that there was no answer, rather than being one."""
    return not error.from_wire or error.code in _GONE
