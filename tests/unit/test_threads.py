"""Threads for handlers: how many run at a time, who waits, and what is left when it is quiet again."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from collections.abc import Iterator

import pytest

from tieline.threads import HandlerThreads, set_aside

SECONDS = 30.0


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What work waits for; opened at the end, so that no thread is left behind."""
    event = threading.Event()
    yield event
    event.set()


class Work:
    """Says that it runs, and ends when the gate opens."""

    def __init__(self, gate: threading.Event) -> None:
        self.began = threading.Event()
        self._gate = gate

    def __call__(self) -> str:
        self.began.set()
        assert self._gate.wait(SECONDS)
        return threading.current_thread().name

    def aside(self) -> str:
        with set_aside():
            return self()


def test_no_more_than_the_limit_run_and_the_others_wait_for_their_turn(gate: threading.Event) -> None:
    threads, works = HandlerThreads(2), [Work(gate) for _ in range(3)]
    futures = [threads.submit(work) for work in works]
    assert works[0].began.wait(SECONDS)
    assert works[1].began.wait(SECONDS)
    assert not works[2].began.wait(0.1)
    gate.set()
    assert {future.result(SECONDS) for future in futures} == {"tieline-handler"}


def test_work_that_only_waits_makes_room_for_other_work(gate: threading.Event) -> None:
    threads, waits, runs = HandlerThreads(1), Work(gate), Work(gate)
    futures = [threads.submit(waits.aside), threads.submit(runs)]
    assert waits.began.wait(SECONDS)
    assert runs.began.wait(SECONDS)
    third = Work(gate)
    futures.append(threads.submit(third))
    assert not third.began.wait(0.1)
    gate.set()
    for future in futures:
        future.result(SECONDS)


def test_outside_of_handlers_there_is_nothing_to_set_aside() -> None:
    with set_aside():
        assert HandlerThreads(1).submit(abs, -1).result(SECONDS) == 1


def test_after_many_have_waited_no_more_threads_than_the_limit_are_kept(gate: threading.Event) -> None:
    before = threading.active_count()
    threads, works = HandlerThreads(2), [Work(gate) for _ in range(20)]
    futures = [threads.submit(work.aside) for work in works]
    for work in works:
        assert work.began.wait(SECONDS)
    assert threading.active_count() == before + 20
    gate.set()
    for future in futures:
        future.result(SECONDS)
    handlers = [thread for thread in threading.enumerate() if getattr(thread, "pool", None) is threads]
    for thread in handlers:
        thread.join(0.2)
    assert sum(thread.is_alive() for thread in handlers) == 2


def test_where_no_thread_can_be_started_those_there_are_do_the_work(
    gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads, first = HandlerThreads(4), Work(gate)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            threads.submit(abs, -1)
    running = threads.submit(first.aside)
    assert first.began.wait(SECONDS)
    busy = threads.submit(gate.wait)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = threads.submit(abs, -2)
    assert not second.done()
    gate.set()
    assert running.result(SECONDS)
    assert busy.result(SECONDS)
    assert second.result(SECONDS) == 2


def test_a_failure_comes_out_and_the_thread_works_on() -> None:
    threads = HandlerThreads(1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 1, 0).result(SECONDS)
    assert threads.submit(divmod, 7, 2).result(SECONDS) == (3, 1)


def test_a_failure_is_gone_with_all_it_held_when_nobody_holds_it() -> None:
    class Held:
        """What a handler had in its hands."""

    held: list[weakref.ref[Held]] = []

    def fail() -> None:
        mine = Held()
        held.append(weakref.ref(mine))
        raise LookupError

    threads = HandlerThreads(1)
    gc.disable()
    try:
        for _ in range(3):
            assert isinstance(threads.submit(fail).exception(SECONDS), LookupError)
        assert threads.submit(abs, -1).result(SECONDS) == 1  # its thread has let go of the failures
        assert [ref() for ref in held] == [None] * 3
    finally:
        gc.enable()


def test_work_that_was_cancelled_before_its_turn_is_not_done(gate: threading.Event) -> None:
    threads, first, second = HandlerThreads(1), Work(gate), Work(gate)
    running, waiting = threads.submit(first), threads.submit(second)
    assert first.began.wait(SECONDS)
    assert waiting.cancel()
    gate.set()
    assert running.result(SECONDS)
    assert threads.submit(abs, -1).result(SECONDS) == 1
    assert not second.began.is_set()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 and newer, of threads
def test_a_forked_child_begins_with_threads_of_its_own(gate: threading.Event) -> None:
    threads, busy = HandlerThreads(1), Work(gate)
    threads.submit(busy)
    assert busy.began.wait(SECONDS)
    child = os.fork()
    if not child:
        os._exit(threads.submit(abs, -7).result(SECONDS))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
