"""One question, many answers: gathers, and what the instances tell of themselves (SPEC.md, sections 11 and 13)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tieline._contract.contract import ASK_TOPIC
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.call import Call
from tieline.calls.caller import reply_value
from tieline.calls.gather import Answer, Failure, Gathered, Gathering, Reply, Responder, is_missing, units
from tieline.calls.requester import show_observers
from tieline.envelope import REQUEST, new_id
from tieline.errors import InvalidArgumentError, TielineError
from tieline.explain.explain import Explanation, explanation, is_bytes
from tieline.instance import Instance
from tieline.outgoing import check_text, compose, ttl_ms
from tieline.schedules.steps import planned_trail
from tieline.services import Service, services
from tieline.within import in_time

_ASKING = 0.9
"""How much of its time `explain` asks the instances: silent ones leave the rest for what the broker knows."""
_LEAST_SECONDS = 0.001


class Surveyor:
    """Asks many responders for one instance, without middleware."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._call_ttl_ms = ttl_ms(None, instance.settings.call_ttl)

    async def gather(
        self,
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        ttl: float | None = None,
        max_replies: int = 0,
        every_instance: bool = False,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
    ) -> Gathered:
        """See `EventSystem.publish_and_gather`."""
        instance = self._instance
        if isinstance(max_replies, bool) or not isinstance(max_replies, int) or max_replies < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"max_replies is a whole number, 0 for all, not {max_replies!r}")
        milliseconds = await instance.ready(self._call_ttl_ms if ttl is None else ttl_ms(ttl, 0))
        request = compose(
            REQUEST, topic, data, milliseconds, instance, headers, content_type, schema_version, correlation_id
        )
        return _gathered(await self.survey(request, max_replies, every_instance=every_instance))

    async def survey(
        self, request: Envelope, max_replies: int, *, every_instance: bool, shown: bool = True
    ) -> list[Answer]:
        """Ask everybody with a composed request; returns what became of it at each, replies as they travelled."""
        instance = self._instance
        port, caller = instance.port, instance.caller
        assert port is not None
        deadline = instance.clock.monotonic() + request.ttl_ms / 1000
        if shown:
            show_observers(instance, request)
        request.id = request.id or new_id()
        places = await in_time(request.ttl_ms / 1000, port.responders(request.topic), instance.clock)
        asked = units(places, port.instance, every_instance=every_instance)

        def begin(one: Envelope, to: str) -> Call:
            return caller.begin_at(one, to, deadline)

        gathering = Gathering(request, begin, caller.abandon, in_process=port.in_process)
        return await gathering.ask(asked, max_replies)

    # --- looking inside -------------------------------------------------------------------------------------------

    async def explain(self, correlation_id: str, ttl: float) -> Explanation:
        """See `EventSystem.explain`."""
        if not check_text(correlation_id, "correlation_id"):
            raise InvalidArgumentError("correlation_id is the id of an event or a call, not an empty text")
        clock = self._instance.clock
        until = clock.monotonic() + ttl_ms(ttl, 0) / 1000
        asking = self._ask({"trail": correlation_id}, max(ttl * _ASKING, _LEAST_SECONDS))
        stored = self._stored(correlation_id, ttl)
        gathered, trail = await asyncio.gather(asking, stored)
        trails = [value.get("trail", b"") for value in gathered.values if isinstance(value, dict)]
        rest = until - clock.monotonic()
        trails.append(await self._planned(correlation_id, [trail, *filter(is_bytes, trails)], rest))
        return explanation(correlation_id, trail, trails, _silent(gathered))

    async def _planned(self, correlation_id: str, trails: list[bytes], seconds: float) -> bytes:
        """What the broker remembers of planned events; nothing if it does not say so in time."""
        instance = self._instance
        if seconds <= 0 or instance.port is None:
            return b""
        looked = planned_trail(instance.port.agenda, correlation_id, trails)
        try:
            return await in_time(seconds, looked, instance.clock)
        except TielineError:
            return b""

    async def _stored(self, correlation_id: str, ttl: float) -> bytes:
        """The trail that is stored; looked for at the same time as everybody is asked, for both have one deadline."""
        instance = self._instance
        milliseconds = await instance.ready(ttl_ms(ttl, 0))
        assert instance.port is not None
        return await in_time(milliseconds / 1000, instance.port.find_trail(correlation_id), instance.clock)

    async def services(self, ttl: float) -> list[Service]:
        """See `EventSystem.services`."""
        gathered = await self._ask({"subscriptions": True}, ttl)
        return services(gathered.values, _silent(gathered))

    async def standing(self, question: dict[str, Any], ttl: float) -> tuple[list[dict[str, Any]], list[Responder]]:
        """What the instances tell of how they stand (`figures` or `calls`), and who told nothing of it."""
        gathered = await self._ask(question, ttl)
        return [value for value in gathered.values if isinstance(value, dict)], _silent(gathered)

    async def _ask(self, question: dict[str, Any], ttl: float) -> Gathered:
        """Ask every instance what it knows."""
        milliseconds = await self._instance.ready(ttl_ms(ttl, 0))
        request = compose(REQUEST, ASK_TOPIC, question, milliseconds, self._instance, by_system=True)
        return _gathered(await self.survey(request, 0, every_instance=True, shown=False))


def _gathered(answers: list[Answer]) -> Gathered:
    gathered = Gathered([], [], [])
    for responder, answer in answers:
        if isinstance(answer, TielineError):
            (gathered.missing if is_missing(answer) else gathered.errors).append(Failure(responder, answer))
            continue
        try:
            gathered.replies.append(Reply(responder, reply_value(answer)))
        except TielineError as error:
            gathered.errors.append(Failure(responder, error))
    return gathered


def _silent(gathered: Gathered) -> list[Responder]:
    """Who did not tell what it was asked for."""
    return [failure.responder for failure in [*gathered.missing, *gathered.errors]]
