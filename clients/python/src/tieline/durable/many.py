"""Storing many events of one topic at once: all of them, or none. Rules: SPEC.md, section 14."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tieline._contract import contract
from tieline.errors import InvalidArgumentError, TielineError
from tieline.middleware import Message, Middleware, publish_through
from tieline.publisher import Durable, Piece, Publisher, Receipt


class Item(NamedTuple):
    """One event of `publish_many`.

    Attributes:
        data: payload.
        key: events of one topic and key are handled strictly in order; None: side by side.
        priority: of an event without key: 1, 5, 8 or 10; the highest are handled first.
        dedupe: an id of your own: an event of the topic with the same one is stored once within 24 hours.
        headers: text by name.

    """

    data: Any = None
    key: str | None = None
    priority: int = contract.PRIORITY_NORMAL
    dedupe: str | None = None
    headers: Mapping[str, str] | None = None


class Common(NamedTuple):
    """What all events of one `publish_many` share; see there."""

    ttl: float | None
    content_type: str
    schema_version: str
    correlation_id: str
    wait_for_connection: float
    max_stored: int


def check_items(items: Iterable[Item]) -> list[Item]:
    """The items, as a list.

    Raises:
        InvalidArgumentError: there are too many, or one is none.

    """
    try:
        listed = list(items)
    except TypeError:
        raise InvalidArgumentError(f"items are a list of Item(data, key=…), not {items!r:.80}") from None
    if len(listed) > contract.LIMIT_APPEND_EVENTS:
        raise InvalidArgumentError(
            f"{len(listed)} events are more than the {contract.LIMIT_APPEND_EVENTS} that can be stored at once; "
            "publish them in parts"
        )
    for item in listed:
        if not isinstance(item, Item):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgumentError(f"items are a list of Item(data, key=…), and {item!r:.80} is none")
    return listed


async def store_many(
    publisher: Publisher, chain: Sequence[Middleware], topic: str, items: Sequence[Item], common: Common
) -> list[Receipt]:
    """See `EventSystem.publish_many`."""
    if not chain:
        return await _store(publisher, topic, [_piece(item, item.data, item.headers, common) for item in items], common)
    return await _Joint(publisher, chain, topic, items, common).store()


def _piece(item: Item, data: Any, headers: Mapping[str, str] | None, common: Common) -> Piece:
    return Piece(data, headers, Durable(item.key, item.priority, item.dedupe, common.max_stored))


def _store(
    publisher: Publisher, topic: str, pieces: Sequence[Piece], common: Common
) -> Coroutine[Any, Any, list[Receipt]]:
    return publisher.store_together(topic, pieces, *common[:5])


class _Joint:
    """Has each event pass the middleware by itself; when all have come through, they are stored together."""

    def __init__(
        self, publisher: Publisher, chain: Sequence[Middleware], topic: str, items: Sequence[Item], common: Common
    ) -> None:
        self._publisher = publisher
        self._chain = chain
        self._topic = topic
        self._items = items
        self._common = common
        self._through: dict[int, Piece] = {}
        self._waiting = set(range(len(items)))
        self._here = asyncio.Event()
        self._receipts: asyncio.Future[dict[int, Receipt]] = asyncio.get_running_loop().create_future()

    async def store(self) -> list[Receipt]:
        """Store what comes through. Whatever is raised for one is raised for all, and nothing is stored."""
        tasks = [asyncio.ensure_future(self._pass(at, item)) for at, item in enumerate(self._items)]
        try:
            await self._here.wait()
            if not any(task.done() and (task.cancelled() or task.exception()) for task in tasks):
                await self._store()
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _store(self) -> None:
        places = sorted(self._through)
        try:
            pieces = [self._through[at] for at in places]
            receipts = await _store(self._publisher, self._topic, pieces, self._common)
        except TielineError as error:
            self._receipts.set_exception(error)
        else:
            self._receipts.set_result(dict(zip(places, receipts, strict=True)))

    async def _pass(self, at: int, item: Item) -> Receipt:
        message = Message(self._topic, item.data, dict(item.headers or {}))
        try:
            receipt = await publish_through(self._chain, message, partial(self._arrive, at, item))
        except BaseException:
            self._waiting.clear()
            asyncio.get_running_loop().call_soon(self._here.set)  # when this task is done
            raise
        self._is_here(at)  # or middleware kept it to itself
        return receipt

    async def _arrive(self, at: int, item: Item, message: Message) -> Receipt:
        if message.topic != self._topic:
            raise InvalidArgumentError(
                f"middleware sends an event of {self._topic!r} to {message.topic!r}; publish_many stores one topic"
            )
        if not self._receipts.done():
            self._through[at] = _piece(item, message.data, message.headers, self._common)
        self._is_here(at)
        return (await asyncio.shield(self._receipts))[at]

    def _is_here(self, at: int) -> None:
        self._waiting.discard(at)
        if not self._waiting:
            self._here.set()
