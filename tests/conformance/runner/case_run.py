"""One case in one combination, step by step."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from tests.conformance._contract import case_pb2 as schema
from tests.conformance._contract.peer_pb2 import (
    CRON_ACT_GET,
    HISTORY_ACT_DELETE,
    SCHEDULE_ACT_GET,
    Answer,
    Cancel,
    Command,
    Leave,
)
from tests.conformance.runner import letters
from tests.conformance.runner.answers import answer_faults
from tests.conformance.runner.cases import with_own_topics
from tests.conformance.runner.checks import (
    Names,
    ending_faults,
    favour_faults,
    got_faults,
    letter_faults,
    show,
    time_faults,
)
from tests.conformance.runner.order import count_returned, order_faults
from tests.conformance.runner.peers import Peer
from tests.conformance.runner.places import Place
from tests.conformance.runner.raw import Interest, Raw
from tests.conformance.runner.rows import CHANGES
from tests.conformance.runner.strangers import stranger
from tests.conformance.runner.watching import PATIENCE_SECONDS, Listening, News, Watched
from tieline.envelope import STREAM_END

QUIET_SECONDS = 0.25


class CaseFailed(Exception):
    """What was seen is not what the case expects."""


class CaseRun:
    """Takes the steps of a case. All names and topics in it are the case's own."""

    def __init__(self, place: Place, case: schema.Case, number: int) -> None:
        self.place = place
        self.case = schema.Case.FromString(case.SerializeToString())
        self.prefix = f"c{number}"
        with_own_topics(self.case, self.prefix)
        self.names = Names(**place.instances)
        self.news = News()
        self.watched: dict[str, Watched] = {}
        self.listening: dict[str, Listening] = {"inbox": Listening(self.news)}
        self.exact: set[str] = set()
        self._systems = {"caller": (place.caller, "caller"), "responder": self._responder()}
        self._opened: list[str] = []
        self._raw: Raw | None = None
        self._strangers = contextlib.AsyncExitStack()
        self._subscribed: list[tuple[str, str]] = []
        self._begun: dict[str, tuple[Peer, int, float]] = {}
        self._streams: list[tuple[str, str]] = []

    async def run(self) -> None:
        """Take the steps.

        Raises:
            CaseFailed: the message says which step, what was expected and what was seen.
        """
        try:
            for number, step in enumerate(self.case.steps, 1):
                faults = await self._step(step)
                if faults:
                    raise CaseFailed(f"step {number}, {step.WhichOneof('do')}: " + "; ".join(faults))
            await self._nothing_more()
        finally:
            await self._clean_up()

    async def _step(self, step: schema.Step) -> list[str]:
        kind = step.WhichOneof("do")
        take = getattr(self, f"_{kind}", None)
        try:
            async with asyncio.timeout(2 * PATIENCE_SECONDS):
                return list(await (take(step, getattr(step, str(kind))) if take else self._command(step)) or ())
        except TimeoutError:
            return ["it did not end"]

    # --- what peers do ------------------------------------------------------------------------------------------------

    async def _command(self, step: schema.Step) -> list[str]:
        peer, system = self._systems[step.on or "caller"]
        command = Command(system=system)
        kind = str(step.WhichOneof("do"))
        getattr(command, kind).CopyFrom(getattr(step, kind))
        begun = peer, peer.begin(command), time.monotonic()
        if step.begin:
            self._begun[step.begin] = begun
            return []
        return await self._ended(begun, step.expect)

    async def _end(self, step: schema.Step, end: schema.End) -> list[str]:
        return await self._ended(self._begun[end.call], step.expect)

    async def _ended(self, begun: tuple[Peer, int, float], expect: schema.Expect) -> list[str]:
        peer, number, start = begun
        answer = await peer.end(number)
        return [*self._faults(expect, answer, peer), *time_faults(expect, time.monotonic() - start)]

    async def _give_up(self, step: schema.Step, give_up: schema.GiveUp) -> None:
        peer, number, _ = self._begun[give_up.call]
        await peer.ask(Command(cancel=Cancel(call=number)))

    async def _open(self, step: schema.Step, wanted: Any) -> list[str]:
        peer = self.place.responder if step.at_responder else self.place.caller
        name = f"{self.prefix}/{step.on}"
        if wanted.url.startswith("$"):
            wanted.url = await self._strangers.enter_async_context(stranger(wanted.url))
        wanted.url = wanted.url or self.place.broker.url
        answer = await peer.ask(Command(system=name, open=wanted))
        if answer.WhichOneof("what") == "opened":
            self._systems[step.on] = peer, name
            self._opened.append(step.on)
            self.names.know(step.on, answer.opened.instance)
        return self._faults(step.expect, answer, peer)

    async def _close(self, step: schema.Step, wanted: Any) -> list[str]:
        faults = await self._command(step)
        if not step.begin:
            self._opened.remove(step.on)
        return faults

    async def _subscribe(self, step: schema.Step, wanted: Any) -> list[str]:
        peer, system = self._systems[step.on or "responder"]
        watched = self.watched[wanted.id] = Watched(peer.language, self.news)
        wanted.id = f"{self.prefix}/{wanted.id}"
        peer.listen(wanted.id, watched.hear)
        answer = await peer.ask(Command(system=system, subscribe=wanted))
        if answer.WhichOneof("what") == "done":
            self._subscribed.append((step.on or "responder", wanted.id))
            if wanted.observe or (wanted.group and wanted.topic[-1:] in ("*", ">")):
                await self.in_step()
        return self._faults(step.expect, answer, peer)

    async def raw(self) -> Raw:
        """The runner's own instance, made when the case first needs it."""
        if self._raw is None:
            self._raw = await self.place.broker.raw(self.listening["inbox"].hear)
            self.names.know("raw", self._raw.instance)
        return self._raw

    async def in_step(self) -> None:
        """Return when every system knows of the observers and wildcard groups that are registered now.

        Notices of them travel ahead of the answer to what is asked later; through a gateway, of the next one.
        """
        topic = {"topic": f"{self.prefix}in-step"}
        for _ in range(2):
            for peer, system in set(self._systems.values()):
                await peer.ask(Command(system=system, publish=topic))

    async def subscribe_as(self, id: str, wanted: Any) -> None:
        """A subscription of the responder that belongs to no step."""
        peer, system = self._systems["responder"]
        answer = await peer.ask(Command(system=system, subscribe=wanted))
        if answer.WhichOneof("what") != "done":
            raise CaseFailed(f"cannot subscribe: {answer}")
        self._subscribed.append(("responder", id))

    async def _unsubscribe(self, step: schema.Step, wanted: Any) -> list[str]:
        step.on = step.on or "responder"
        wanted.id = f"{self.prefix}/{wanted.id}"
        return await self._command(step)

    async def _release(self, step: schema.Step, wanted: Any) -> list[str]:
        return await self._unsubscribe(step, wanted)

    async def _schedule(self, step: schema.Step, wanted: Any) -> list[str]:
        wanted.id = self.names.put(wanted.id)
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            faults = await self._command(step)
            over = wanted.act != SCHEDULE_ACT_GET or time.monotonic() > end
            if over or not any(fault.startswith("schedule status") for fault in faults):
                return faults
            await asyncio.sleep(0.02)

    async def _cron(self, step: schema.Step, wanted: Any) -> list[str]:
        wanted.name = f"{self.prefix}/{wanted.name}"
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            faults = await self._command(step)
            over = wanted.act != CRON_ACT_GET or time.monotonic() > end
            if over or not any(fault.startswith("job ") for fault in faults):
                return faults
            await asyncio.sleep(0.02)

    async def _history(self, step: schema.Step, wanted: Any) -> list[str]:
        wanted.ids[:] = map(self.names.put, wanted.ids)
        if wanted.HasField("cursor"):
            wanted.cursor = self.names.put(wanted.cursor)
        self._put_names(wanted.selection)
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            faults = await self._command(step)
            over = wanted.act == HISTORY_ACT_DELETE or time.monotonic() > end
            if over or not any(fault.startswith(CHANGES) for fault in faults):
                return faults
            await asyncio.sleep(0.05)

    async def _replay(self, step: schema.Step, wanted: Any) -> list[str]:
        self._put_names(wanted.selection)
        return await (self._command(step) if wanted.wait else self._stream(step, wanted))

    def _put_names(self, selection: Any) -> None:
        for name in ("start", "end", "source"):
            if selection.HasField(name):
                setattr(selection, name, self.names.put(getattr(selection, name)))

    async def _stream(self, step: schema.Step, wanted: Any) -> list[str]:
        self._streams.append((step.on or "caller", f"{self.prefix}/{wanted.id}"))
        return await self._read(step, wanted)

    async def _read(self, step: schema.Step, wanted: Any) -> list[str]:
        wanted.id = f"{self.prefix}/{wanted.id}"
        return await self._command(step)

    async def _leave(self, step: schema.Step, wanted: Any) -> list[str]:
        self._streams.remove((step.on or "caller", f"{self.prefix}/{wanted.id}"))
        return await self._read(step, wanted)

    # --- what was seen ------------------------------------------------------------------------------------------------

    async def _deliveries(self, step: schema.Step, wanted: schema.Deliveries) -> list[str]:
        watched = [self.watched[name] for name in wanted.at]
        count = wanted.count if wanted.HasField("count") else len(wanted.got)
        self.exact.update(() if wanted.more else wanted.at)
        logs = [one.delivered for one in watched]
        await self.news.until(lambda: sum(len(log.unread) for log in logs) >= count)
        arrived = sorted((n, item, w.language) for w in watched for n, item in w.delivered.items[w.delivered.read :])
        shares = [len(log.unread) for log in logs]
        for log in logs:
            log.read = len(log.items)
        if len(arrived) < count or (len(arrived) > count and not wanted.more):
            return [f"expected {count} deliveries, seen {show([item for _, item, _ in arrived])}"]
        if min(shares) < wanted.each:
            return [f"expected at least {wanted.each} at each, seen {shares}"]
        languages = {self.place.combination.caller, self.place.combination.responder}
        faults = got_faults(wanted, [(item, language) for _, item, language in arrived], languages, self.names)
        return [*faults, *favour_faults(wanted, [item for _, item, _ in arrived])]

    async def _burst(self, step: schema.Step, wanted: schema.Burst) -> list[str]:
        """One publisher; those of a key, or of a priority, one after the other."""
        peer, system = self._systems[step.on or "caller"]
        for number in range(1, wanted.each + 1):
            data = {"int": str(number)}
            ways: list[dict[str, Any]] = [{"key": key} for key in wanted.keys]
            ways += [{"durable": True, "priority": priority} for priority in wanted.priorities]
            publishes = [{"topic": wanted.topic, "data": data, **way} for way in ways]
            answers = await asyncio.gather(*(peer.ask(Command(system=system, publish=one)) for one in publishes))
            faults = [fault for answer in answers for fault in self._faults(step.expect, answer, peer)]
            if faults:
                return faults
        return []

    async def _ordered(self, step: schema.Step, wanted: schema.Ordered) -> list[str]:
        watched = [self.watched[name] for name in wanted.at]
        patience = wanted.within_ms / 1_000 if wanted.HasField("within_ms") else None
        await self.news.until(lambda: sum(count_returned(one) for one in watched) >= wanted.returned, patience)
        self.exact.update(wanted.at)
        seen = sum(count_returned(one) for one in watched)
        if seen != wanted.returned:
            return [f"expected that handlers returned {wanted.returned} times, seen {seen}"]
        return list(order_faults(watched))

    async def _endings(self, step: schema.Step, wanted: schema.Endings) -> list[str]:
        logs = [self.watched[name].ended for name in wanted.at]
        patience = wanted.within_ms / 1_000 if wanted.HasField("within_ms") else None
        await self.news.until(lambda: sum(len(log.unread) for log in logs) >= len(wanted.how), patience)
        ended = [ended for log in logs for ended in log.unread]
        for log in logs:
            log.read = len(log.items)
        return ending_faults(wanted, ended)

    async def _inner(self, step: schema.Step, wanted: schema.InnerEnd) -> list[str]:
        watched = self.watched[wanted.at]
        if not await self.news.until(lambda: bool(watched.inner.unread)):
            return ["the handler's call or publish has not ended"]
        answer = watched.inner.unread[0]
        watched.inner.read += 1
        return self._faults(step.expect, answer, None, watched.language)

    # --- the runner speaks for itself ---------------------------------------------------------------------------------

    async def _listen(self, step: schema.Step, wanted: schema.Listen) -> None:
        listening = self.listening[wanted.id] = Listening(self.news)
        raw = await self.raw()
        await raw.listen(Interest(wanted.route, wanted.topic, wanted.group), listening.hear)
        if wanted.route == schema.ROUTE_OBSERVER or (wanted.group and wanted.topic[-1] in "*>"):
            await self.in_step()

    async def _send(self, step: schema.Step, wanted: schema.Send) -> list[str]:
        raw = await self.raw()
        error = await getattr(self, f"_send_{wanted.WhichOneof('what')}")(raw, wanted)
        answer = Answer(failure=letters.failure_of(error)) if error else Answer(done=True)
        return self._faults(step.expect, answer, None, "python")

    async def _send_event(self, raw: Raw, wanted: schema.Send) -> Any:
        envelope = letters.event(wanted.event, raw.instance, self.names)
        return await raw.publish(envelope.topic, letters.written(envelope, wanted.event))

    async def _send_request(self, raw: Raw, wanted: schema.Send) -> Any:
        envelope = letters.request(wanted.request, raw.instance, self.names)
        return await raw.request(envelope.topic, letters.written(envelope, wanted.request), envelope.call_id)

    async def _send_answer(self, raw: Raw, wanted: schema.Send) -> Any:
        listening = self.listening[wanted.to]
        heard = listening.heard
        if not await self.news.until(lambda: len(heard.items) > listening.answered):
            return letters.Error(code=20, message="no request came that could be answered")  # type: ignore[arg-type]
        asked = heard.items[listening.answered][1]
        listening.answered += wanted.answer.kind in (0, letters.REPLY, STREAM_END)
        await raw.answer(
            asked.reply_to,
            letters.written(letters.answer(wanted.answer, asked, raw.instance, self.names), wanted.answer),
        )
        return None

    async def _send_unasked(self, raw: Raw, wanted: schema.Send) -> Any:
        envelope = letters.unasked(wanted.unasked, raw.instance, self.names)
        return await raw.answer(self.names.put(wanted.to), letters.written(envelope, wanted.unasked))

    async def _send_garbage(self, raw: Raw, wanted: schema.Send) -> Any:
        return await raw.garbage(wanted.to, bytes.fromhex(wanted.garbage))

    async def _heard(self, step: schema.Step, wanted: schema.Heard) -> list[str]:
        log = self.listening[wanted.by].heard
        count = wanted.count or len(wanted.letters)
        await self.news.until(lambda: len(log.unread) >= count)
        seen = log.unread
        log.read = len(log.items)
        if len(seen) < count or (len(seen) > count and not wanted.more):
            return [f"expected {count} envelopes, seen {show(seen)}"]
        return [
            fault
            for letter, envelope in zip(wanted.letters, seen, strict=False)
            for fault in letter_faults(letter, envelope, self.names)
        ]

    async def _exchange(self, step: schema.Step, wanted: schema.Exchange) -> list[str]:
        from tests.conformance.runner.exchange import exchange

        return await exchange(self, wanted)

    async def _strike(self, step: schema.Step, what: int) -> None:
        assert self.case.alone, "only a case that is alone may break something"
        await self.place.strike(what)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _responder(self) -> tuple[Peer, str]:
        one = self.place.responder is self.place.caller
        return self.place.responder, "caller" if one else "responder"

    def _faults(self, expect: schema.Expect, answer: Answer, peer: Peer | None, language: str = "") -> list[str]:
        languages = {self.place.combination.caller, self.place.combination.responder}
        return answer_faults(expect, answer, peer.language if peer else language, languages, self.names)

    async def _nothing_more(self) -> None:
        """A copy too many would come at about the same time as the right ones."""
        if not self.exact:
            return
        await asyncio.sleep(QUIET_SECONDS)
        for name in self.exact:
            more = self.watched[name].delivered.unread
            if more:
                raise CaseFailed(f"at the end: {name} got more than expected: {show(more)}")

    async def _clean_up(self) -> None:
        await self._strangers.aclose()
        if self.case.alone:
            return  # its peers end anyway
        for peer, number, _ in self._begun.values():
            peer.begin(Command(cancel=Cancel(call=number)))
        for name, stream in self._streams:
            peer, system = self._systems[name]
            peer.begin(Command(system=system, leave=Leave(id=stream)))
        leaving = [self._quietly(name, unsubscribe={"id": each}) for name, each in self._subscribed]
        leaving += [self._quietly(name, close={"drain_ms": 0}) for name in self._opened]
        await asyncio.gather(*leaving)
        if self._raw is not None:
            await self._raw.close()

    async def _quietly(self, name: str, **command: Any) -> None:
        """End something; whatever it still runs is let go."""
        peer, system = self._systems[name]
        if "unsubscribe" in command:
            peer.begin(Command(system=system, release={"id": command["unsubscribe"]["id"], "count": 1_000}))
        try:
            async with asyncio.timeout(20):
                await peer.ask(Command(system=system, **command))
        except TimeoutError:
            raise CaseFailed(f"{name} does not end: {command}") from None
