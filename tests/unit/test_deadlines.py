"""The heap of deadlines: who is told when, and that what is done does not pile up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tieline.calls.deadlines import Deadlines


class Waiter:
    """Waits for its moment; may be done before."""

    def __init__(self, heap: Deadlines, moment: float) -> None:
        self.heap, self.moment, self.done, self.told = heap, moment, False, list[float]()
        self.earliest = heap.add(moment, self)

    def due(self, now: float) -> None:
        self.told.append(now)
        self.done = True
        self.heap.finished()

    def finish(self) -> None:
        self.done = True
        self.heap.finished()


def test_everyone_is_told_once_when_their_moment_has_come() -> None:
    heap = Deadlines()
    waiters = [Waiter(heap, moment) for moment in (3.0, 1.0, 2.0)]
    heap.advance(0.9)
    assert [w.told for w in waiters] == [[], [], []]
    heap.advance(2.0)
    assert [w.told for w in waiters] == [[], [2.0], [2.0]]
    heap.advance(9.0)
    assert [w.told for w in waiters] == [[9.0], [2.0], [2.0]]


def test_the_earliest_is_known() -> None:
    heap = Deadlines()
    assert heap.next() is None
    assert [Waiter(heap, moment).earliest for moment in (3.0, 5.0, 1.0, 1.0)] == [True, False, True, False]
    assert heap.next() == 1.0
    heap.advance(1.0)
    assert heap.next() == 3.0


def test_who_is_done_is_not_told() -> None:
    heap = Deadlines()
    done, waiting = Waiter(heap, 1.0), Waiter(heap, 1.0)
    done.finish()
    heap.advance(1.0)
    assert done.told == []
    assert waiting.told == [1.0]
    assert heap.next() is None


def test_one_may_wait_again_for_a_later_moment_while_it_is_told() -> None:
    heap, told = Deadlines(), list[float]()

    class Again:
        done = False

        def due(self, now: float) -> None:
            told.append(now)
            if len(told) < 3:
                heap.add(now + 1.0, self)

    heap.add(1.0, Again())
    for now in range(1, 6):
        heap.advance(float(now))
    assert told == [1.0, 2.0, 3.0]


def test_moments_that_are_past_when_they_are_added_are_told_in_the_same_go() -> None:
    heap, later = Deadlines(), list[Waiter]()

    class Adds(Waiter):
        def due(self, now: float) -> None:
            super().due(now)
            later.append(Waiter(heap, now - 1.0))

    Adds(heap, 1.0)
    heap.advance(5.0)
    assert later[0].told == [5.0]


def test_what_is_done_does_not_pile_up() -> None:
    heap = Deadlines()
    keep = [Waiter(heap, 100.0 + n) for n in range(50)]
    for _ in range(20_000):
        Waiter(heap, 1_000.0).finish()
    assert len(heap) < 1_000
    heap.advance(2_000.0)
    assert all(len(waiter.told) == 1 for waiter in keep)
    assert len(heap) == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=40), st.lists(st.floats(0, 100), max_size=10))
def test_nobody_is_forgotten_and_nobody_is_told_early(waits: list[tuple[float, bool]], moments: list[float]) -> None:
    heap = Deadlines()
    waiters = [Waiter(heap, moment) for moment, _ in waits]
    for waiter, (_, finished) in zip(waiters, waits, strict=True):
        if finished:
            waiter.finish()
    for now in [*sorted(moments), 101.0]:
        heap.advance(now)
        assert all(w.done for w in waiters if w.moment <= now)
        assert all(told >= w.moment for w in waiters for told in w.told)
    assert [len(w.told) for w in waiters] == [0 if finished else 1 for _, finished in waits]
