"""`events.history`: what happened, as recorders have written it down (SPEC.md, section 18)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from tieline import codec
from tieline._contract import contract
from tieline._contract.envelope_pb2 import Envelope
from tieline.caller import reply_value
from tieline.envelope import REQUEST
from tieline.errors import HandlerError, InvalidArgumentError, NoRespondersError, Outcome, TielineError, error_class
from tieline.event_store import check_ids, check_limit, check_page, check_selection, read_cursor
from tieline.gather import is_missing
from tieline.outgoing import compose, ttl_ms
from tieline.recorder import RecorderFigures
from tieline.replay import read_order
from tieline.stream import Stream

if TYPE_CHECKING:
    from tieline.instance import Instance
    from tieline.requester import Requester
    from tieline.surveyor import Surveyor

_SECONDS = 30.0
_EPOCH = datetime.fromtimestamp(0, UTC)


class HistoryEvent(NamedTuple):
    """One event of history.

    Attributes:
        id: identity of the event.
        type: its topic.
        time, expires_at: when it was published, and when it expires; None for never.
        status: "pending" (stored, and not handled by every group), "processed" or "failed" (a dead letter).
        retry_count: how often its handling was tried again before it failed.
        error_msg: why it failed.
        payload: as it travelled; `data` decodes it. Empty of what the system publishes.
        stream, entry: where the broker stored it; empty for live events.
        recorded_at: when it was written down.

    """

    id: str
    type: str
    key: str
    source: str
    correlation_id: str
    causation_id: str
    time: datetime
    expires_at: datetime | None
    status: str
    retry_count: int
    error_msg: str
    content_type: str
    schema_version: str
    priority: int
    hops: int
    headers: dict[str, str]
    payload: bytes
    stream: str
    entry: str
    recorded_at: datetime

    @property
    def data(self) -> Any:
        """The payload, decoded.

        Raises:
            InvalidPayloadError: it cannot be read.

        """
        return codec.decode(self.payload, self.content_type) if self.payload else None


class HistoryPage(NamedTuple):
    """Some events, a cursor for those that come after them ("" if none do), and with `page=` how many there are."""

    events: list[HistoryEvent]
    cursor: str
    total: int | None


class HistoryFigures(NamedTuple):
    """How history is doing.

    Attributes:
        events, bytes: what the store holds; bytes are about.
        oldest, newest: moments of its first and its last event.
        waiting, lag, lost: see `RecorderFigures`.
        recorders: each that answered, by its instance.

    """

    events: int
    bytes: int
    oldest: datetime | None
    newest: datetime | None
    waiting: int
    lag: float
    lost: int
    recorders: dict[str, RecorderFigures]


class ReplayProgress(NamedTuple):
    """How far a replay is: see `tieline.replay.Progress`; `time` is that of the last event."""

    id: str
    sent: int
    skipped: int
    total: int
    time: datetime | None
    done: bool


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
        return HistoryPage([await self._event(each, ttl) for each in events], told["cursor"], total)

    async def get(self, event_id: str, *, ttl: float = _SECONDS) -> HistoryEvent | None:
        """One event; None if there is none.

        Raises:
            InvalidArgumentError: it is no id.
            UnavailableError: the database, or the broker, is away.

        """
        check_ids(event_id)
        told = await self._ask("get", {"id": event_id}, ttl)
        return None if told["event"] is None else await self._event(told["event"], ttl)

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
            raise _nobody() from None
        told: dict[str, Any] = {}
        for responder, answer in answers:
            if isinstance(answer, TielineError):
                if not is_missing(answer):
                    raise _meaning(answer)
                continue
            told[responder.instance] = reply_value(answer)
        if not told:
            raise _nobody()
        return _figures(told)

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
            InvalidArgumentError, InvalidTopicError: what was given is wrong.

        """
        asked = _selected(types, start, end, status, source)
        read_order(check_selection(), to_group, to_topic, speed)
        return Replay(self._stream({**asked, "to_group": to_group, "to_topic": to_topic, "speed": speed}))

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _ask(self, what: str, question: dict[str, Any], ttl: float) -> dict[str, Any]:
        request = await self._request(what, question, ttl)
        try:
            return reply_value(await self._requester.exchange(request, idempotent=what != "delete"))
        except TielineError as error:
            raise _meaning(error) from None

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
            part = (await self._ask("data", {"id": told["id"], "offset": len(data)}, ttl))["data"]
            if not part:  # it was deleted meanwhile
                break
            data += part
        expires = told["expires_at"]
        event: dict[str, Any] = {name: told[name] for name in HistoryEvent._fields if name in told}
        event["payload"], event["time"] = data, _moment(told["time"])
        event["recorded_at"], event["expires_at"] = _moment(told["recorded_at"]), _moment(expires) if expires else None
        return HistoryEvent(**event)


class Replay(AsyncIterator[ReplayProgress]):
    """A replay that goes on while it is read: about once a second it says how far it is."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __anext__(self) -> ReplayProgress:
        """How far it is now; the last one is `done`.

        Raises:
            NoRespondersError: nobody runs a recorder.
            UnavailableError: the broker, or the database, went away; what was delivered is delivered.

        """
        try:
            told = await anext(self._stream)
        except TielineError as error:
            raise _meaning(error) from None
        progress: dict[str, Any] = dict(told)
        progress["time"] = _moment(told["time"]) if told["time"] else None
        return ReplayProgress(**progress)

    async def wait(self) -> ReplayProgress:
        """Read to the end; returns how that was.

        Raises:
            TielineError: as reading does.

        """
        told = [progress async for progress in self]
        if not told:
            raise InvalidArgumentError("this replay was read to its end already")
        return told[-1]

    async def aclose(self) -> None:
        """End it, if it is not over. Idempotent."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


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


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _figures(told: dict[str, Any]) -> HistoryFigures:
    recorders = {instance: RecorderFigures(**each["recorder"]) for instance, each in told.items()}
    store = next((each["store"] for each in told.values() if each["store"]), None)
    one = max(recorders.values(), key=lambda each: each.lost)
    tape = (one.waiting, one.lag, one.lost)
    if store is None:
        return HistoryFigures(0, 0, None, None, *tape, recorders)
    oldest, newest = (_moment(store[name]) if store["rows"] else None for name in ("oldest", "newest"))
    return HistoryFigures(store["rows"], store["bytes"], oldest, newest, *tape, recorders)


def _meaning(error: TielineError) -> TielineError:
    """What a recorder said is raised as if it had been said here."""
    if isinstance(error, NoRespondersError):
        return _nobody()
    code = error.details.get("code") if isinstance(error, HandlerError) else None
    if not isinstance(code, str) or code not in contract.ERRORS:
        return error
    return error_class(code)(error.message)


def _nobody() -> NoRespondersError:
    return NoRespondersError(
        "nobody records history here; start a recorder: tieline up --history, or in a Python program "
        "await events.record('sqlite:///history.db')",
        outcome=Outcome.NOT_DELIVERED,
    )
