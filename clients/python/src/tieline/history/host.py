"""A recorder that runs in an instance, and answers there for history (SPEC.md, section 17)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tieline import topics
from tieline.errors import InvalidArgumentError
from tieline.handler import bind
from tieline.history.desk import HistoryDesk
from tieline.history.recorder import Recorder, RecorderFigures
from tieline.history.redelivery import Replayer
from tieline.history.store import EventStore, Retention
from tieline.subscription import Subscription
from tieline.transport import Interest, Route

if TYPE_CHECKING:
    from tieline.instance import Instance
    from tieline.transport import Port

_REPLAYS = 16
_ANSWERS = 64


class Recording:
    """What `EventSystem.record` returns: a recorder that runs until it, or the event system, is closed."""

    def __init__(self, instance: Instance, store: EventStore, patterns: Sequence[str], retention: Retention) -> None:
        self._instance = instance
        self._store = store
        self._recorder = Recorder(
            f"{instance.service}/{self._port.instance}",
            lambda: self._port.tape,
            store,
            lambda: instance.clock,
            topics=[topics.check_pattern(each) for each in patterns],
            retention=retention,
            lease=instance.settings.lease,
            on_lost=instance.system.history_lost,
        )
        self._gauges = {
            "recorder_lag_seconds": lambda: self._latest("lag"),
            "recorder_waiting": lambda: self._latest("waiting"),
            "recorder_lost": lambda: self._latest("lost"),
        }
        replayer = Replayer(store, lambda: self._port, lambda: instance.clock)
        desk = HistoryDesk(self._recorder, replayer, lambda: instance.clock)
        self._subscriptions = [
            Subscription(
                None,
                topic,
                bind(handler),
                instance.settings,
                {"name": topic, "concurrency": _REPLAYS if topic.endswith(".replay") else _ANSWERS},
            )
            for topic, handler in desk.handlers.items()
        ]

    @property
    def _port(self) -> Port:
        return self._instance.running_port

    def _latest(self, name: str) -> float:
        return getattr(self._recorder.latest, name, 0.0)

    async def start(self) -> Self:
        """Begin to record, and to answer.

        Raises:
            InvalidArgumentError: the store can never work.

        """
        if hasattr(self._store, "check"):  # a store of one's own may have none
            await self._store.check()
        await self._recorder.start()
        self._instance.tally.gauges |= self._gauges
        self._instance.recordings.append(self)
        for subscription in self._subscriptions:
            self._instance.router.add(subscription)
        await self._port.register([Interest(Route.REQUEST, each.topic) for each in self._subscriptions])
        return self

    async def figures(self) -> RecorderFigures:
        """How this recorder is doing.

        Raises:
            UnavailableError: the broker is away.

        """
        return await self._recorder.figures()

    async def aclose(self) -> None:
        """Record and answer no more; what happens from now on waits for another recorder, for a day. Idempotent."""
        if self in self._instance.recordings:
            self._instance.recordings.remove(self)
            for name in self._gauges:
                self._instance.tally.gauges.pop(name, None)
            for subscription in self._subscriptions:
                await self._instance.leaving.end(subscription)
            await self._recorder.aclose()

    async def stop(self) -> None:
        """The instance leaves, and has taken leave for it."""
        await self._recorder.finish()
        await self._recorder.aclose()

    def forget(self) -> None:
        """The loop is gone."""
        for subscription in self._subscriptions:
            self._instance.router.remove(subscription)
            self._instance.router.forget(subscription)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def read_retention(retain: float | None = None, max_events: int = 0, max_bytes: int = 0) -> Retention:
    """How much history is kept: seconds, or None for ever; events and bytes, or 0 for any.

    Raises:
        InvalidArgumentError: it cannot be meant.

    """
    age = 0
    if retain is not None:
        number = isinstance(retain, (int, float)) and not isinstance(retain, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not number or not math.isfinite(retain) or retain <= 0:
            raise InvalidArgumentError(f"retain is in seconds, above 0, or None for ever, not {retain!r:.80}")
        age = max(1, int(retain * 1000))
    for name, value in (("max_events", max_events), ("max_bytes", max_bytes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"{name} is a whole number, 0 for any, not {value!r:.80}")
    return Retention(age, max_events, max_bytes)
