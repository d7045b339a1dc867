"""What we hold ourselves to: each mark is a ratio, or a size, within one run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Table = Mapping[str, Mapping[str, float]]
"""Figures by row; rows that were not measured are not in it."""

EAGER_TASKS = sys.version_info >= (3, 12)


@dataclass(frozen=True)
class Mark:
    """A value of one run and what it must be."""

    what: str
    value: Callable[[Table], float]
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "×"

    def judge(self, table: Table) -> Verdict | None:
        """The verdict on a run; None if its rows were not measured."""
        try:
            value = self.value(table)
        except (KeyError, ZeroDivisionError):
            return None
        least = self.at_least if self.at_least is not None else float("-inf")
        most = self.at_most if self.at_most is not None else float("inf")
        return Verdict(self, value, least <= value <= most)

    @property
    def bound(self) -> str:
        """Such as "≥ 1.3 ×"."""
        sign, number = ("≥", self.at_least) if self.at_least is not None else ("≤", self.at_most)
        return f"{sign} {number:,g} {self.unit}"


@dataclass(frozen=True)
class Verdict:
    """Whether a mark was met."""

    mark: Mark
    value: float
    met: bool


def _ratio(figure: str, ours: str, theirs: str) -> Callable[[Table], float]:
    return lambda table: table[ours][figure] / table[theirs][figure]


def _size(figure: str) -> Callable[[Table], float]:
    return lambda table: table["pending"][figure]


def _features(figure: str) -> Callable[[Table], float]:
    return lambda table: table["features"][figure]


def _times_fetched(table: Table) -> float:
    return table["features"]["items"] / table["features"]["fetched"]


def _price_of_explain(table: Table) -> float:
    return 100 * (1 - table["features"]["explained"])


def _mean(table: Table) -> float:
    return table["in-process"]["mean"]


def _times_faster(table: Table) -> float:
    return table["faststream"]["mean"] / table["in-process"]["mean"]


def _keys(figure: str) -> Callable[[Table], float]:
    return lambda table: table["keys"][figure]


def _durable_marks(ours: str, theirs: str, where: str) -> list[Mark]:
    words = {"published": "stored and acknowledged", "handled": "handled and acknowledged"}
    return [
        Mark(
            f"durable ÷ JetStream, {words[what]}, {keys:,} keys, {where}",
            _ratio(f"{what}_{keys}", ours, theirs),
            at_least=1.5,
        )
        for what in words
        for keys in (1, 100, 10_000)
    ]


def _sqlite_marks() -> list[Mark]:
    return [
        Mark(
            f"durable in a SQLite file, stored and acknowledged, {keys:,} key{'s' if keys > 1 else ''}",
            lambda table, keys=keys: table["durable-sqlite"][f"published_{keys}"],
            at_least=10_000,
            unit="/s",
        )
        for keys in (1, 100, 10_000)
    ]


MARKS = (
    Mark("Python over Redis ÷ nats-py, calls/s at 512", _ratio("c512", "tieline-python", "nats-py"), at_least=1.3),
    Mark("Python over Redis ÷ raw link, calls/s at 512", _ratio("c512", "tieline-python", "raw-link"), at_least=0.7),
    Mark("the yardstick: raw link ÷ nats-py, calls/s at 512", _ratio("c512", "raw-link", "nats-py"), at_least=1.5),
    Mark("Python over Redis ÷ nats-py, p50 of one call", _ratio("p50", "tieline-python", "nats-py"), at_most=0.6),
    Mark("Node over Redis ÷ nats.js, calls/s at 512", _ratio("c512", "tieline-node", "nats-js"), at_least=2),
    Mark(
        "Node over Redis ÷ Moleculer over Redis, calls/s at 512",
        _ratio("c512", "tieline-node", "moleculer"),
        at_least=2,
    ),
    Mark("Node over Redis ÷ nats.js, p50 of one call", _ratio("p50", "tieline-node", "nats-js"), at_most=0.8),
    Mark("Link to Link ÷ grpcio unary, calls/s at 512", _ratio("c512", "link-link", "grpc-noop"), at_least=3),
    Mark("gRPC PublishAndWait ÷ grpcio unary, calls/s at 512", _ratio("c512", "grpc-unary", "grpc-noop"), at_least=0.7),
    Mark("in one process, mean of one call", _mean, at_most=5 if EAGER_TASKS else 8, unit="µs"),
    Mark("in one process, times faster than FastStream", _times_faster, at_least=30),
    Mark("streamed items/s over Redis, Python to Python", _features("items"), at_least=50_000, unit="/s"),
    Mark("streamed items ÷ the same fetched by calls, one after the other", _times_fetched, at_least=5),
    Mark("explain costs of the calls/s at 512", _price_of_explain, at_most=3, unit="%"),
    *_durable_marks("durable", "jetstream", "in memory"),
    *_durable_marks("durable-disk", "jetstream-disk", "on disk"),
    *_sqlite_marks(),
    Mark("planned events/s ÷ BullMQ's delayed jobs", _ratio("planned", "delayed", "delayed-bullmq"), at_least=1),
    Mark("planned events handled/s ÷ BullMQ", _ratio("fired", "delayed", "delayed-bullmq"), at_least=1),
    Mark("planned events, 1,000 due/s: late at p99", lambda table: table["delayed"]["late_p99"], at_most=20, unit="ms"),
    Mark("HTTP publishes/s, embedded", lambda table: table["http-publish"]["published"], at_least=5_000, unit="/s"),
    Mark(
        "HTTP publishes/s, over Redis",
        lambda table: table["http-publish-redis"]["published"],
        at_least=5_000,
        unit="/s",
    ),
    Mark("webhooks, stored", lambda table: table["http-webhooks"]["published"], at_least=3_000, unit="/s"),
    Mark("100,000 keys: connections of the consumer", _keys("connections"), at_most=3, unit=""),
    Mark("100,000 keys: memory of the consumer", lambda table: table["keys"]["memory"] / 1e6, at_most=200, unit="MB"),
    Mark("100,000 keys: first event of a new key, p99", _keys("first_p99"), at_most=10, unit="ms"),
    Mark("a pending call, the client's own (RSS)", _size("own_rss"), at_most=2048, unit="B"),
    Mark("a pending call with the caller's task (RSS)", _size("task_rss"), at_most=4096, unit="B"),
)


def judge(table: Table) -> list[Verdict]:
    """The verdicts on everything that was measured."""
    return [verdict for mark in MARKS if (verdict := mark.judge(table)) is not None]
