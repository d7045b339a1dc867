"""The broker's clock: the best sample counts, unless the broker's clock was set."""

from __future__ import annotations

import asyncio

import pytest

from tieline.clock import Clock


class Local:
    """A monotonic clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(clock: Clock, local: Local, ahead: float, there: float, back: float) -> None:
    """Ask a broker whose clock is so many seconds ahead of the local one; each way takes so many seconds."""
    begun = local.now
    local.now += there
    broker = local.now + ahead
    local.now += back
    clock.learn(broker, begun, local.now)


def off(clock: Clock, local: Local, ahead: float) -> float:
    """Milliseconds between what the clock says and what is true."""
    return abs(clock.now() - (local.now + ahead) * 1000)


def test_the_first_answer_counts_whatever_the_wall_clock_says() -> None:
    local = Local()
    clock = Clock(local)
    asked(clock, local, 7200.0, 0.001, 0.001)
    assert off(clock, local, 7200.0) <= 1


def test_an_answer_to_a_process_that_stood_still_does_not_count() -> None:
    local = Local()
    clock = Clock(local)
    asked(clock, local, 50.0, 0.001, 0.001)
    asked(clock, local, 50.0, 0.001, 8.0)
    assert off(clock, local, 50.0) <= 1


def test_a_better_answer_counts_at_once_and_a_worse_one_when_the_best_is_old() -> None:
    local = Local()
    clock = Clock(local)
    asked(clock, local, 50.0, 0.0, 0.4)
    assert 150 < off(clock, local, 50.0) < 250
    asked(clock, local, 50.0, 0.001, 0.001)
    assert off(clock, local, 50.0) <= 1
    asked(clock, local, 50.004, 0.02, 0.02)
    assert off(clock, local, 50.0) <= 1
    local.now += 60.0
    asked(clock, local, 50.004, 0.02, 0.02)
    assert off(clock, local, 50.004) <= 1


def test_a_broker_whose_clock_was_set_is_believed() -> None:
    local = Local()
    clock = Clock(local)
    asked(clock, local, 50.0, 0.0001, 0.0001)
    asked(clock, local, 80.0, 0.01, 0.01)
    assert off(clock, local, 80.0) <= 1


async def test_what_shall_happen_later_happens_then_and_only_once() -> None:
    clock, happened = Clock(), asyncio.Event()
    clock.call_later(60, lambda: pytest.fail("it was cancelled")).cancel()
    clock.call_at(clock.monotonic() + 0.01, happened.set)
    async with clock.timeout(30):
        await happened.wait()
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.01):
            await clock.sleep(60)
