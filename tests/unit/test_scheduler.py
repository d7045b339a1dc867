"""When a scheduler looks, by a clock that the test turns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tieline import testing
from tieline.schedules.agenda import Fired, NoAgenda
from tieline.schedules.scheduler import Scheduler

NOTHING = Fired(None, ())
YEAR = 31_536_000.0


class Looks(NoAgenda):
    """An agenda that answers what the test says, and remembers when it was looked at."""

    def __init__(self, clock: testing.Clock, *answers: Fired | Exception) -> None:
        super().__init__("it is a test")
        self.began = clock.monotonic()
        self.at: list[float] = []
        self._clock = clock
        self._answers = list(answers)

    async def fire(self, instance: str) -> Fired:
        self.at.append(round(self._clock.monotonic() - self.began, 3))
        answer = self._answers.pop(0) if self._answers else NOTHING
        if isinstance(answer, Exception):
            raise answer
        return answer


class House:
    """Where the agenda is."""

    def __init__(self, clock: testing.Clock) -> None:
        self.clock = clock

    def fired(self, fired: Fired) -> None:
        """Nobody wants to know."""


@pytest.mark.parametrize(
    ("answers", "looks"),
    [
        ((Fired(1_000.0, ()), Fired(100.0, ()), Fired(5.0, ())), [0.0, 900.0, 990.0, 995.0]),
        ((Fired(50.0, ()),), [0.0, 50.0]),
        ((Fired(YEAR, ()), Fired(1.0, ())), [0.0, 3_600.0, 3_601.0]),
        ((ValueError("no answer"), Fired(1.0, ())), [0.0, 1.0, 2.0]),
    ],
    ids=["far off", "near", "a year off", "an answer that cannot be read"],
)
async def test_what_is_far_off_is_looked_at_again_and_nothing_ends_it(
    answers: tuple[Fired | Exception, ...], looks: list[float]
) -> None:
    clock = testing.Clock(datetime(2030, 1, 1, tzinfo=UTC))
    agenda = Looks(clock, *answers)
    scheduler = Scheduler(House(clock), agenda, "me")
    scheduler.begin()
    await clock.advance(YEAR)
    assert agenda.at == looks
    await scheduler.stop()
