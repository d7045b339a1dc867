"""Redis is killed, restarted, frozen or emptied, with and without load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from examples.node_package import provide

from tests.faults.conftest import QUICK, Bench, link_of
from tests.faults.load import Load
from tests.suite.seen import BUSY_SECONDS, Seen, Watch, until
from tests.suite.world import in_step
from tests.support.processes import Peer
from tests.support.servers import paused
from tieline import (
    CallTimeoutError,
    EventSystem,
    NoRespondersError,
    Outcome,
    OverloadedError,
    PermissionDeniedError,
    Settings,
    TielineError,
    UnavailableError,
)

PEERS = Path(__file__).parents[1] / "peers"


class Everything:
    """One subscription of each sort on one system, and whether each still gets what it should."""

    def __init__(self, system: EventSystem) -> None:
        self.system = system
        self.seen = {name: Seen() for name in ("exact", "wild", "group", "wild group", "observer", "answer")}
        self.gaps = list[tuple[datetime, datetime, str]]()

    async def subscribe(self) -> None:
        on, seen = self.system.subscribe, self.seen
        on("all.a", seen["exact"].take, on_gap=lambda *gap: self.gaps.append(gap))
        on("all.*", seen["wild"].take)
        on("all.a", seen["group"].take, group="g")
        on("all.>", seen["wild group"].take, group="h")
        on("all.a", seen["observer"].take, observe=True)
        await on("all.answer", seen["answer"].take).ready()

    async def works(self, other: EventSystem) -> None:
        """Whether an event and a call from elsewhere reach all of it, once each."""
        for each in self.seen.values():
            each.clear()
        await in_step(other)
        await other.publish("all.a", 1)
        await other.publish_and_wait("all.answer", 1, ttl=20.0)
        await asyncio.gather(*(each.stay(1) for each in self.seen.values()))


async def test_redis_is_killed_and_restarted_twice_under_load(bench: Bench) -> None:
    ran = list[int]()
    responder, caller = await bench.echo("load", ran), await bench.system("caller")
    everything = Everything(responder)
    await everything.subscribe()
    await everything.works(caller)
    async with Load(caller, "load") as load:
        for round_number in (1, 2):
            await asyncio.sleep(0.5)
            bench.server.kill()
            await asyncio.sleep(0.8)
            bench.server.start()
            took = await load.success_after(time.monotonic(), 5.0 + BUSY_SECONDS)
            print(f"round {round_number}: calls succeed {took:.2f} s after the restart")
    load.check(ran)
    assert set(load.codes()) <= {"ok", "UNAVAILABLE", "TIMEOUT"}, "responders have a moment to come back"
    await until(lambda: len(everything.gaps) >= 2)
    await everything.works(caller)
    since, until_, reason = everything.gaps[0]
    assert 0.5 < (until_ - since).total_seconds() < 10
    assert reason


async def test_everything_is_registered_again_by_the_reconnect_itself(bench: Bench) -> None:
    """And not only by the next refresh of the leases, which is far away here."""
    slowly = {"lease": 120.0, "lease_refresh": 60.0, "patterns_refresh": 60.0}
    responder, caller = await bench.system("responder", **slowly), await bench.system("caller", **slowly)
    everything = Everything(responder)
    await everything.subscribe()
    bench.server.restart()
    await until(lambda: everything.gaps and caller.connected)
    await everything.works(caller)


async def test_calls_in_flight_when_redis_dies(bench: Bench) -> None:
    began, gate = Seen(), asyncio.Event()

    async def handle(data: Any) -> Any:
        began.append(data)
        await gate.wait()
        return data

    responder, caller = await bench.system("responder"), await bench.system("caller")
    await responder.subscribe("slow", handle).ready()
    once = asyncio.create_task(caller.publish_and_wait("slow", "once"))
    again = asyncio.create_task(caller.publish_and_wait("slow", "again", idempotent=True))
    await began.reach(2)
    watch = Watch()
    bench.server.kill()
    with pytest.raises(UnavailableError) as caught:
        await once
    assert watch.seconds < 2.0 + BUSY_SECONDS
    assert caught.value.outcome is Outcome.MAY_HAVE_RUN
    assert not caught.value.retryable
    assert not again.done()
    gate.set()
    bench.server.start()
    assert await again == "again"
    assert began.count("again") == 2


async def test_new_calls_and_events_while_redis_is_away(bench: Bench) -> None:
    ran, seen = list[Any](), Seen()
    responder, caller = await bench.echo("echo", ran), await bench.system("caller")
    await responder.subscribe("event", seen.take).ready()
    await caller.subscribe("local", lambda data: data).ready()
    bench.server.kill()
    await until(lambda: not caller.connected)
    watch = Watch()
    for use in (caller.publish, caller.publish_and_wait):
        for options in ({}, {"wait_for_connection": 0.3}):
            with pytest.raises(UnavailableError) as caught:
                await use("echo", 1, **options)
            assert caught.value.outcome is Outcome.NOT_DELIVERED
            assert caught.value.retryable
    assert watch.seconds < 2.6 + BUSY_SECONDS
    waiting = [
        asyncio.create_task(caller.publish_and_wait("echo", "later", wait_for_connection=20.0)),
        asyncio.create_task(caller.publish("event", "later", wait_for_connection=20.0)),
    ]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in waiting)
    bench.server.start()
    assert (await asyncio.gather(*waiting))[0] == "later"
    assert ran == ["later"]
    assert caller.connected


async def test_new_calls_fail_at_once_while_redis_is_away(bench: Bench) -> None:
    caller = await bench.system("caller")
    bench.server.kill()
    await until(lambda: not caller.connected)
    watch = Watch()
    results = await asyncio.gather(*(caller.publish_and_wait("a", n) for n in range(100)), return_exceptions=True)
    assert {getattr(result, "code", result) for result in results} == {"UNAVAILABLE"}
    assert watch.seconds < 1.0 + BUSY_SECONDS


async def test_calls_within_the_process_go_on_without_redis(bench: Bench) -> None:
    system = await bench.system("alone")
    await system.subscribe("local", lambda data: data + 1).ready()
    bench.server.kill()
    await until(lambda: not system.connected)
    assert [await system.publish_and_wait("local", n) for n in range(5)] == [1, 2, 3, 4, 5]


async def test_a_subscription_made_while_redis_is_away_is_registered_when_it_is_back(bench: Bench) -> None:
    responder, caller = await bench.system("responder"), await bench.system("caller")
    gone = responder.subscribe("gone", lambda data: data)
    await gone.ready()
    bench.server.kill()
    await until(lambda: not responder.connected and not caller.connected)
    ready = asyncio.create_task(responder.subscribe("late", lambda data: data).ready())
    withdrawn = responder.subscribe("withdrawn", lambda data: data)
    never_ready = asyncio.create_task(withdrawn.ready())
    await asyncio.sleep(0.1)
    async with asyncio.timeout(2 + BUSY_SECONDS):
        await gone.unsubscribe()
        await withdrawn.unsubscribe()
    with pytest.raises(UnavailableError, match="ended before"):
        await never_ready
    assert not ready.done()
    bench.server.start()
    await ready
    assert await caller.publish_and_wait("late", 1, wait_for_connection=10.0) == 1
    for topic in ("gone", "withdrawn"):
        with pytest.raises(NoRespondersError):
            await caller.publish_and_wait(topic, wait_for_connection=10.0)


async def test_closing_while_redis_is_away_takes_no_time(bench: Bench) -> None:
    system = await bench.system("responder")
    await system.subscribe("before", lambda data: data).ready()
    bench.server.kill()
    await until(lambda: not system.connected)
    never_ready = asyncio.create_task(system.subscribe("after", lambda data: data).ready())
    call = asyncio.create_task(system.publish_and_wait("elsewhere", wait_for_connection=20.0))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(3 + BUSY_SECONDS):
        await system.aclose()
    for task in (never_ready, call):
        with pytest.raises(UnavailableError):
            await task


async def test_who_is_there_and_what_was_stored_are_asked_no_longer_than_the_deadline(bench: Bench) -> None:
    asker = await bench.system("asker", ping_interval=60.0, pong_timeout=120.0)
    await asker.subscribe("slow.topic", lambda data: data).ready()
    for ask in (
        lambda: asker.publish_and_gather("slow.topic", ttl=0.3),
        lambda: asker.explain("x", ttl=0.3),
        lambda: asker.services(ttl=0.3),
    ):
        watch = Watch()
        with paused(bench.server):
            with pytest.raises(CallTimeoutError) as caught:
                async with asyncio.timeout(30.0):
                    await ask()
            assert caught.value.outcome is Outcome.NOT_DELIVERED
        assert 0.25 <= watch.seconds < 10.0
        assert (await asker.publish_and_gather("slow.topic", 1)).values == [1], "and it goes on"


async def test_a_frozen_redis_ends_calls_and_they_succeed_when_it_thaws(bench: Bench) -> None:
    ran = list[int]()
    await bench.echo("load", ran)
    caller = await bench.system("caller")
    async with Load(caller, "load", ttl=1.0) as load:
        await asyncio.sleep(0.3)
        with paused(bench.server):
            await until(lambda: "UNAVAILABLE" in load.codes())
            await asyncio.sleep(0.5)
        await load.success_after(time.monotonic(), 5.0 + BUSY_SECONDS)
    load.check(ran)


async def test_a_loop_that_stood_still_is_not_taken_for_a_silent_server(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, asked = await bench.system("busy", ping_interval=0.05, pong_timeout=0.3), Seen()
    link = link_of(system)
    call = link.call

    async def stand_still(*command: str) -> Any:
        answer = asyncio.ensure_future(call(*command))
        await asyncio.sleep(0)
        link.flush()
        time.sleep(0.5)  # noqa: ASYNC251 - that is what is tested
        asked.append(command)
        return await answer

    monkeypatch.setattr(link, "call", stand_still)
    await asked.reach(3)
    monkeypatch.undo()
    await asyncio.sleep(0.2)
    assert link_of(system) is link


async def test_a_link_whose_answer_is_behind_much_else_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    system, asked, seen = await bench.system("read", ping_interval=0.05, pong_timeout=0.3), Seen(), Seen()
    publisher, link = await bench.system("publisher"), link_of(system)
    await system.subscribe("news", seen.take).ready()
    call = link.call

    async def behind_much_else(*command: str) -> Any:
        asked.append(command)
        for _ in range(30):
            await publisher.publish("news")
            await asyncio.sleep(0.05)
        return await call(*command)

    monkeypatch.setattr(link, "call", behind_much_else)
    await asked.reach(2)
    monkeypatch.undo()
    assert link_of(system) is link


async def test_after_a_restart_nobody_elses_connection_is_killed(bench: Bench) -> None:
    """A new server numbers its clients from the beginning: the id of our lost connection is now somebody else's."""
    system = await bench.system("ours", reconnect_min=0.4, reconnect_max=0.4)
    (our_id,) = await bench.connections("ours")
    bench.server.kill()
    await until(lambda: not system.connected)
    bench.server.start()
    with contextlib.ExitStack() as strangers:
        ids = list[int]()
        while not ids or ids[-1] < our_id:
            client = strangers.enter_context(redis.Redis(port=bench.server.port, single_connection_client=True))
            ids.append(client.client_id())
        await until(lambda: system.connected)
        await asyncio.sleep(0.1)
        alive = {int(each["id"]) for each in client.client_list()}
        assert set(ids) <= alive


async def test_script_flush_under_load_is_not_noticed(bench: Bench) -> None:
    ran, seen = list[int](), Seen()
    responder = await bench.echo("load", ran, pong_timeout=5.0)
    caller = await bench.system("caller", pong_timeout=5.0)
    await responder.subscribe("event.*", seen.take, group="g").ready()
    await in_step(caller)
    async with Load(caller, "load") as load:
        for number in range(10):
            await asyncio.sleep(0.05)
            assert await bench.ask("SCRIPT", "FLUSH", "SYNC")
            await caller.publish(f"event.{number}", number)
            await responder.subscribe(f"new.{number}", lambda data: data).ready()
    load.check(ran)
    assert set(load.codes()) == {"ok"}
    await seen.stay(10)


async def test_flushall_under_load_is_made_good_by_the_next_refresh(bench: Bench) -> None:
    ran = list[int]()
    responder = await bench.echo("load", ran, pong_timeout=5.0)
    caller = await bench.system("caller", pong_timeout=5.0)
    everything = Everything(responder)
    await everything.subscribe()
    async with Load(caller, "load") as load:
        await asyncio.sleep(0.3)
        assert await bench.ask("FLUSHALL")
        flushed = time.monotonic()
        await until(lambda: "NO_RESPONDERS" in load.codes())
        took = await load.success_after(flushed, QUICK["lease_refresh"] + 2.0 + BUSY_SECONDS)
        print(f"calls succeed {took:.2f} s after FLUSHALL; leases are refreshed every {QUICK['lease_refresh']} s")
        again = len(load.ended)
        await until(lambda: len(load.ended) > again + 100)
        assert {each.error and each.error.code for each in load.ended[again + 20 :]} == {None}
    load.check(ran)
    assert set(load.codes()) <= {"ok", "NO_RESPONDERS"}
    assert everything.gaps == []
    await asyncio.sleep(2 * QUICK["lease_refresh"])
    await everything.works(caller)


async def test_a_membership_that_outlives_its_process_is_passed_over(bench: Bench) -> None:
    """As a flush, a fail-over or a lost LEAVE may leave it behind."""
    ran = list[Any]()
    await bench.echo("echo", ran)
    caller = await bench.system("caller")
    now = int(time.time() * 1000)
    for number in range(20):
        await bench.ask("ZADD", "tl:mb:{echo}", now + 60_000, f"{number:016x}")
    assert [await caller.publish_and_wait("echo", n) for n in range(20)] == list(range(20))
    assert int(await bench.ask("ZCARD", "tl:mb:{echo}")) == 1


async def test_a_server_that_spares_no_reply_is_used_without_that(bench: Bench) -> None:
    bench.server.command("ACL", "SETUSER", "default", "-client|reply")
    ran = list[int]()
    responder, caller = await bench.echo("strict", ran), await bench.system("caller")
    assert await asyncio.gather(*(caller.publish_and_wait("strict", n) for n in range(500))) == list(range(500))
    assert responder.connected


async def _own_answers_only(caller: EventSystem, topic: str, count: int) -> None:
    """Make calls, one every millisecond; each must end with its own answer or an error of ours."""

    async def one(number: int) -> None:
        with contextlib.suppress(TielineError):
            assert await caller.publish_and_wait(topic, number, ttl=2.0) == number

    calls = list[asyncio.Task[None]]()
    for number in range(count):
        calls.append(asyncio.create_task(one(number)))
        await asyncio.sleep(0.001)
    await asyncio.gather(*calls)


async def test_a_script_of_somebody_else_that_hangs_puts_no_answers_out_of_step(bench: Bench) -> None:
    ran = list[int]()
    responder, caller = await bench.echo("hang", ran), await bench.system("caller")
    bench.server.command("CONFIG", "SET", "busy-reply-threshold", "20")
    calls = asyncio.create_task(_own_answers_only(caller, "hang", 300))
    hanging = asyncio.create_task(asyncio.to_thread(bench.server.command, "EVAL", "while true do end", "0"))
    while not bench.server.command("GET", "hang").startswith("-BUSY"):
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)  # calls run into it
    bench.server.command("SCRIPT", "KILL")
    await calls
    await asyncio.wait([hanging])
    bench.server.command("CONFIG", "SET", "busy-reply-threshold", "5000")
    await until(lambda: responder.connected and caller.connected)
    for number in range(50):
        assert await caller.publish_and_wait("hang", number, wait_for_responders=20.0) == number


async def test_losing_the_right_to_spare_replies_puts_no_answers_out_of_step(bench: Bench) -> None:
    ran = list[int]()
    responder, caller = await bench.echo("rights", ran), await bench.system("caller")
    calls = asyncio.create_task(_own_answers_only(caller, "rights", 300))
    await asyncio.sleep(0.1)
    bench.server.command("ACL", "SETUSER", "default", "-client|reply")
    await calls
    await until(lambda: responder.connected and caller.connected)
    for number in range(50):  # each finds out at its own first answer: a call may be out while the caller's link breaks
        assert await caller.publish_and_wait("rights", number, idempotent=True, wait_for_responders=20.0) == number


async def test_an_event_that_handlers_here_have_is_never_told_to_be_undelivered(bench: Bench) -> None:
    system, seen = await bench.system("publisher"), Seen()
    await system.subscribe("both", seen.take).ready()
    bench.server.command("CONFIG", "SET", "maxmemory", "1")
    for topic, outcome in (("nobody", Outcome.NOT_DELIVERED), ("both", Outcome.MAY_HAVE_RUN)):
        with pytest.raises(OverloadedError) as caught:
            await system.publish(topic, 1)
        assert caught.value.outcome is outcome
    await seen.reach(1)


async def test_what_may_not_be_subscribed_to_is_told_and_does_not_keep_the_rest_from_coming_back(bench: Bench) -> None:
    rights = "~* +@all resetchannels &tl:in:* &tl:rq:* &tl:pn &tl:ev:allowed"
    bench.server.command("ACL", "SETUSER", "limited", "on", ">secret", *rights.split())
    url = f"redis://limited:secret@127.0.0.1:{bench.server.port}"
    async with EventSystem(url, settings=Settings(**QUICK)) as system:
        await system.subscribe("allowed", lambda data: data).ready()
        with pytest.raises(PermissionDeniedError):
            await system.subscribe("forbidden", lambda data: data).ready()
        link = link_of(system)
        bench.server.command("CLIENT", "KILL", "USER", "limited")
        await until(lambda: link_of(system) not in (link, None))
        caller = await bench.system("caller")
        assert await caller.publish_and_wait("allowed", 1, wait_for_responders=20.0) == 1


@pytest.mark.parametrize("language", ["python", "node"])
async def test_who_may_not_be_looked_into_starts_all_the_same(bench: Bench, language: str) -> None:
    channels = "&tl:in:* &tl:rq:{t.a* &tl:rq:{node* &tl:rq:{both* &tl:gr:* &tl:pn &tl:ev:* &tl:wk:* &group_change"
    rights = f"~* +@all resetchannels {channels}"
    bench.server.command("ACL", "SETUSER", "limited", "on", ">secret", *rights.split())
    url = f"redis://limited:secret@127.0.0.1:{bench.server.port}"
    if language == "python":
        started: Any = Peer.python(PEERS / "responder.py", json.dumps({"url": url, "topic": "t.a"}))
    else:
        provide(PEERS)
        started = Peer.node(PEERS / "languages.mjs", json.dumps({"url": url}))
    async with started:
        found = await (await bench.system("asker")).services(ttl=1.0)
        assert [service.name for service in found] == ["asker"]
