"""`events.history`: what happened, as recorders have written it down (SPEC.md, section 17)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.calls.caller import reply_value
from tieline.calls.gather import is_missing
from tieline.calls.stream import Stream
from tieline.envelope import REQUEST
from tieline.errors import InvalidArgumentError, NoRespondersError, NotFoundError, TielineError
from tieline.history.events import HistoryEvent, HistoryFigures, HistoryPage, event_of, figures_of
from tieline.history.questions import check_ids, check_limit, check_page, check_selection, read_cursor
from tieline.history.redelivery import read_order
from tieline.history.replay import Replay, ReplayProgress, meaning, nobody
from tieline.outgoing import compose, ttl_ms

if TYPE_CHECKING:
    from tieline.calls.requester import Requester
    from tieline.calls.surveyor import Surveyor
    from tieline.instance import Instance

_SECONDS = 30.0
_EPOCH = datetime.fromtimestamp(0, UTC)


class History:
    """Asks whoever runs a recorder. Everything raises NoRespondersError while nobody does."""

    def __init__(self, instance: Instance, requester: Requester, surveyor: Surveyor) -> None:
        self._instance = instance
        self._requester = requester
        self._surveyor = surveyor

    async def list(
        self,
        types: str | Sequence[str] = (),
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        status: str = "",
        source: str = "",
        page: int | None = None,
        cursor: str = "",
        limit: int | None = None,
        oldest_first: bool = False,
        ttl: float = _SECONDS,
    ) -> HistoryPage:
        """Events, the newest first.

        Args:
            types: topics or patterns; all unless given.
            start: published at this moment or later …
            end: … and before that one.
            status: "pending", "processed" or "failed".
            source: a service, or `service/instance`.
            page: which page of so many, from 1; one beyond the end is empty. The answer then has the total.
            cursor: instead of a page: go on where the last answer ended.
            limit: how many, at most 1,000; 50 unless given.
            oldest_first: the other way round.
            ttl: seconds to wait for each answer.

        Raises:
            InvalidArgumentError, InvalidTopicError: what was given is wrong.
            UnavailableError: the database, or the broker, is away.

        """
        wanted, paged = check_limit(limit), check_page(page)
        if cursor and paged:
            raise InvalidArgumentError("give a page or a cursor, not both")
        if cursor:
            read_cursor(cursor)
        asked = _selected(types, start, end, status, source) | {"oldest_first": oldest_first}
        told = await self._ask("list", asked | {"limit": wanted, "page": paged or None, "cursor": cursor}, ttl)
        events, total = told["events"], told["total"]
        while told["cursor"] and len(events) < wanted:
            rest = {"limit": wanted - len(events), "cursor": told["cursor"]}
            told = await self._ask("list", asked | rest, ttl)
            events += told["events"]
        whole = [await self._event_if_any(each, ttl) for each in events]
        return HistoryPage([event for event in whole if event is not None], told["cursor"], total)

    async def get(self, event_id: str, *, ttl: float = _SECONDS) -> HistoryEvent:
        """One event.

        Raises:
            NotFoundError: history has none of this id: it was not recorded, or not yet, or it is gone again.
            InvalidArgumentError: it is no id.
            UnavailableError: the database, or the broker, is away.

        """
        check_ids(event_id)
        told = await self._ask("get", {"id": event_id}, ttl)
        return await self._event(told["event"], ttl)

    async def delete(
        self,
        ids: str | Sequence[str] | None = None,
        *,
        types: str | Sequence[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        status: str = "",
        source: str = "",
        ttl: float = _SECONDS,
    ) -> int:
        """Delete events from history: those of these ids (at most 1,000), or all that fit; returns how many.

        Nothing else changes: what waits to be handled is handled.

        Raises:
            InvalidArgumentError, InvalidTopicError: what was given is wrong, or nothing was.
            UnavailableError: the database, or the broker, is away.

        """
        asked = _selected(types, start, end, status, source)
        if (ids is None) == (not asked):
            raise InvalidArgumentError("say what is to be deleted: ids, or types, start, end, status or source")
        given = {} if ids is None else {"ids": check_ids(ids)}
        return int((await self._ask("delete", asked | given, ttl))["deleted"])

    async def figures(self, *, ttl: float = _SECONDS) -> HistoryFigures:
        """How history is doing: what there is, what waits, and how each recorder fares.

        Raises:
            UnavailableError: the broker is away.

        """
        request = await self._request("figures", {}, ttl)
        try:
            answers = await self._surveyor.survey(request, 0, every_instance=True, shown=False)
        except NoRespondersError:
            raise nobody() from None
        told: dict[str, Any] = {}
        for responder, answer in answers:
            if isinstance(answer, TielineError):
                if not is_missing(answer):
                    raise meaning(answer)
                continue
            told[responder.instance] = reply_value(answer)
        if not told:
            raise nobody()
        return figures_of(told)

    def replay(
        self,
        types: str | Sequence[str] = (),
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        status: str = "",
        source: str = "",
        to_group: str | None = None,
        to_topic: str | None = None,
        speed: float | None = 1.0,
    ) -> Replay:
        """Deliver events again, marked as a replay: `async for progress in events.history.replay(…)`.

        They are delivered in the order in which the broker had them, with their ids, times and keys, to one
        subscription group (stored for it, if it is durable) or on another topic. Reading ends with the last one;
        leaving early ends the replay. Subscriptions with `replays=False` get none of it.

        Args:
            types: topics or patterns; all unless given.
            start: published at this moment or later …
            end: … and before that one.
            status: as in `list`.
            source: as in `list`.
            to_group: the name of a group; each event goes to one of its members.
            to_topic: a topic of your own: what was stored is stored there, and the rest is live.
            speed: a factor to the original pace; None for as fast as it goes.

        Raises:
            InvalidArgumentError, InvalidTopicError: what was given is wrong. What reading it raises: see `Replay`.

        """
        asked = _selected(types, start, end, status, source)
        read_order(check_selection(), to_group, to_topic, speed)
        return Replay(self._stream({**asked, "to_group": to_group, "to_topic": to_topic, "speed": speed}))

    async def replay_to_the_end(self, types: str | Sequence[str] = (), **asked: Any) -> ReplayProgress:
        """As `replay`, and return when it is over."""
        return await self.replay(types, **asked).wait()

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, what: str, question: dict[str, Any], ttl: float) -> dict[str, Any]:
        request = await self._request(what, question, ttl)
        try:
            return reply_value(await self._requester.exchange(request, idempotent=what != "delete"))
        except TielineError as error:
            raise meaning(error) from None

    async def _request(self, what: str, question: dict[str, Any], ttl: float) -> Envelope:
        milliseconds = await self._instance.ready(ttl_ms(ttl, 0))
        topic = f"{contract.HISTORY_TOPIC}.{what}"
        return compose(REQUEST, topic, question, milliseconds, self._instance, by_system=True)

    def _stream(self, question: dict[str, Any]) -> Stream:
        instance = self._instance

        async def begin() -> Any:
            request = await self._request("replay", question, _SECONDS)
            return instance.caller.begin_stream(request, float("inf"), 0)

        return Stream(begin, lambda: instance.caller)

    async def _event(self, told: dict[str, Any], ttl: float) -> HistoryEvent:
        """An event as it was told; a large payload comes in parts."""
        data = told["data"]
        while len(data) < told["bytes"]:
            data += (await self._ask("data", {"id": told["id"], "offset": len(data)}, ttl))["data"]
        return event_of(told, data)

    async def _event_if_any(self, told: dict[str, Any], ttl: float) -> HistoryEvent | None:
        try:
            return await self._event(told, ttl)
        except NotFoundError:
            return None  # it was deleted meanwhile


def _selected(
    types: str | Sequence[str], start: datetime | None, end: datetime | None, status: str, source: str
) -> dict[str, Any]:
    """A selection as it travels, checked."""
    selection = check_selection(types, _ms("start", start), _ms("end", end), status, source)
    told = selection._asdict() | {"types": list(selection.types)}
    return {name: value for name, value in told.items() if value not in (None, "", [])}


def _ms(name: str, moment: object) -> int | None:
    if moment is None:
        return None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidArgumentError(f"{name} is a datetime with a time zone, not {moment!r:.80}")
    return max(0, round((moment - _EPOCH).total_seconds() * 1000))
