"""What an event system sends: events and calls."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from tieline._contract.contract import PRIORITY_NORMAL
from tieline.calls.gather import Gathered
from tieline.calls.requester import Requester
from tieline.calls.retry import Retry
from tieline.calls.stream import Stream
from tieline.calls.surveyor import Surveyor
from tieline.durable.many import Common, Item, check_items, store_many
from tieline.durable.retry_policy import RetryPolicy
from tieline.errors import InvalidArgumentError
from tieline.instance import Instance
from tieline.middleware import Message, Middleware, publish_through
from tieline.outbox.outbox import Outbox
from tieline.publisher import Durable, Publisher, Receipt
from tieline.schedules.planner import Planner, When, way_of


class Sending:
    """What an event system sends: events and calls. Part of `EventSystem`."""

    def __init__(self, instance: Instance, outbox: Outbox | None) -> None:
        self._instance = instance
        self._publisher = Publisher(instance, outbox)
        self._planner = Planner(instance)
        self._requester = Requester(instance)
        self._surveyor = Surveyor(instance)
        self._publishing: list[Middleware] = []

    def publish(
        self,
        topic: str,
        data: Any = None,
        *,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        wait_local: bool = False,
        wait_for_connection: float = 0.0,
        key: str | None = None,
        durable: bool = False,
        priority: int | None = None,
        dedupe: str | None = None,
        max_stored: int = 0,
        wait_replicas: int = 0,
        delay: float | None = None,
        at: datetime | None = None,
        retry: RetryPolicy | None = None,
    ) -> Coroutine[Any, Any, Receipt]:
        """Publish an event to every subscriber, here and elsewhere. At most once; nobody need be there.

        With `key` or `durable` it is stored instead, for durable subscriptions, and kept until each of their groups has
        handled it: the receipt says where. Stored means: as Redis's persistence is configured.

        With `delay` or `at` it is planned instead: the broker publishes it, or stores it, when it is due, never
        earlier, and the receipt's id is that of its schedule (`events.schedules`).

        Args:
            topic: concrete topic.
            data: payload.
            ttl: seconds until it is no longer worth handling; 30 unless given, and for ever if it is stored or planned.
                That of a planned event begins when it is due.
            headers: text by name.
            content_type: media type; MessagePack unless given.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the event's own id, unless given.
            wait_local: return when the handlers in this process are done.
            wait_for_connection: seconds to wait while the broker is away.
            key: store it; events of one topic and key are handled strictly in order, by one handler at a time.
            durable: store it without a key: such events are handled side by side.
            priority: of a stored event without key: 1, 5 (unless given), 8 or 10; the highest are handled first.
                Events of a key keep their order, and carry it along. Of planned events that are due in the same
                millisecond the highest is published first.
            dedupe: an id of your own: an event of the topic with the same one is stored once within 24 hours.
            max_stored: do not store it if its key, or its priority, holds so many events; 0 for no bound.
            wait_replicas: return when so many replicas of Redis have it too.
            delay: seconds until it is to be published, up to ten years; or
            at: when, a datetime with a time zone. A moment in the past is now, and the receipt says `overdue`.
            retry: how often, and in which pauses, to try to store a planned event if it finds no room when it is due;
                four times, every five minutes, unless given; refused for one that is not to be stored. Its `jitter` and
                `redrives` have no meaning here.

        Raises:
            InvalidTopicError, InvalidPayloadError, PayloadTooLargeError, InvalidArgumentError: refused at the door.
            OverloadedError: there is no room for one more stored event.
            UnavailableError: the broker is away.
            LoopDetectedError: more than 16 handlers led here.

        """
        if delay is not None or at is not None:
            if wait_local or wait_replicas:
                raise InvalidArgumentError("wait_local= and wait_replicas= wait for what is published now, not later")
            planned = Durable(key, PRIORITY_NORMAL if priority is None else priority, dedupe, max_stored)
            way = way_of(durable, planned)
            rest = (When(delay, at), planned, way, retry, ttl, content_type, schema_version, correlation_id)
            return self._through(self._planner.plan, topic, data, headers, (*rest, wait_for_connection))
        if retry is not None:
            raise InvalidArgumentError("retry= is for what is planned: add delay= or at=; subscriptions have their own")
        if key is not None or durable:
            if not isinstance(durable, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArgumentError(f"durable is True or False, not {durable!r:.80}")
            if wait_local:
                raise InvalidArgumentError(
                    "wait_local= is for live events; a stored one is handled when its turn comes"
                )
            stored = Durable(key, PRIORITY_NORMAL if priority is None else priority, dedupe, max_stored, wait_replicas)
            rest = (stored, ttl, content_type, schema_version, correlation_id, wait_for_connection)
            if self._publishing:
                return self._through(self._publisher.store, topic, data, headers, rest)
            return self._publisher.store(topic, data, headers, *rest)
        if priority is not None or dedupe is not None or max_stored or wait_replicas:
            message = "priority=, dedupe=, max_stored= and wait_replicas= are for what is stored"
            raise InvalidArgumentError(f"{message}: add key= or durable=True")
        options = (ttl, content_type, schema_version, correlation_id, wait_local, wait_for_connection)
        return self._through(self._publisher.publish, topic, data, headers, options)

    def _through(
        self,
        send: Callable[..., Coroutine[Any, Any, Receipt]],
        topic: str,
        data: Any,
        headers: Mapping[str, str] | None,
        options: tuple[Any, ...],
    ) -> Coroutine[Any, Any, Receipt]:
        """Send something, through the middleware if there is any."""
        if self._publishing:
            message = Message(topic, data, dict(headers or {}))
            return publish_through(self._publishing, message, partial(_send, send, options))
        return send(topic, data, headers, *options)

    def publish_many(
        self,
        topic: str,
        items: Iterable[Item],
        *,
        ttl: float | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        wait_for_connection: float = 0.0,
        max_stored: int = 0,
    ) -> Coroutine[Any, Any, list[Receipt]]:
        """Store events of one topic together, all of them or none: `[Item(data, key="a"), Item(data, key="b")]`.

        Those of a key are stored in the order of the list. Middleware sees each by itself. An event that is known by
        its `dedupe` is not stored again, and the others are stored all the same.

        Args:
            topic: concrete topic.
            items: at most 10,000, of about 8 MiB in all.
            ttl: seconds until they are no longer worth handling; for ever unless given.
            content_type: media type; MessagePack unless given.
            schema_version: version of the payloads' schema.
            correlation_id: name of the chain; inherited, or each event's own id, unless given.
            wait_for_connection: seconds to wait while the broker is away.
            max_stored: store none if a key, or a priority, would hold more events; 0 for no bound.

        Returns:
            A receipt for each, in their order.

        Raises:
            InvalidTopicError, InvalidPayloadError, PayloadTooLargeError, InvalidArgumentError: one is refused.
            OverloadedError: there is no room for all of them.
            UnavailableError: the broker is away.
            LoopDetectedError: more than 16 handlers led here.

        """
        common = Common(ttl, content_type, schema_version, correlation_id, wait_for_connection, max_stored)
        return store_many(self._publisher, self._publishing, topic, check_items(items), common)

    def publish_and_wait(
        self,
        topic: str,
        data: Any = None,
        *,
        ttl: float | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        idempotent: bool = False,
        idempotency_key: str | None = None,
        retry: Retry | None = None,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
    ) -> Coroutine[Any, Any, Any]:
        """Call one responder and return its reply.

        Args:
            topic: concrete topic.
            data: payload.
            ttl: seconds to wait; 30 unless given, and never longer than the request being handled has left.
            headers: text by name.
            content_type: media type; MessagePack unless given. A JSON request is answered in JSON.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the request's own id, unless given.
            idempotent: it may be sent again although it may have run.
            idempotency_key: calls with the same topic, key and payload share one run and its result, for 24 hours;
                such a call is idempotent, and it always goes through the broker.
            retry: when to try again, and after which pause; all tries share the one deadline.
            wait_for_responders: seconds to wait for somebody who answers.
            wait_for_connection: seconds to wait while the broker is away.

        Raises:
            CallTimeoutError: no reply in time.
            NoRespondersError: nobody answers this topic; told at once.
            ResponderLostError: the process that took it is gone.
            HandlerError: the handler raised.
            ConflictError: the idempotency key was used with another payload.
            OverloadedError, UnavailableError, InvalidTopicError, InvalidPayloadError, …: see `TielineError.code`.

        """
        call = self._requester.call if retry is None else partial(self._requester.persist, retry)
        rest = (content_type, schema_version, correlation_id, idempotent, wait_for_responders, wait_for_connection)
        options = (ttl, *rest, idempotency_key)
        if self._publishing:
            message = Message(topic, data, dict(headers or {}), is_request=True)
            return publish_through(self._publishing, message, partial(_send, call, options))
        return call(topic, data, headers, *options)

    def publish_and_stream(
        self,
        topic: str,
        data: Any = None,
        *,
        ttl: float | None = None,
        total: float | None = None,
        window: int = 0,
        headers: Mapping[str, str] | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
        idempotent: bool = False,
        wait_for_responders: float = 0.0,
        wait_for_connection: float = 0.0,
    ) -> Stream:
        """Call one responder and read what it yields: `async for item in events.publish_and_stream(topic, data)`.

        Args:
            topic: concrete topic.
            data: payload.
            ttl: longest time in seconds between two items while the reader waits; 30 unless given.
            total: seconds until all of it must have arrived; no limit unless given.
            window: items the responder may be ahead of the reader, at most; unless given it follows their size.
            headers: text by name.
            content_type: media type; MessagePack unless given. The items of a reply to JSON are JSON.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the request's own id, unless given.
            idempotent: before the first item it may be sent again although it may have run.
            wait_for_responders: seconds to wait for somebody who answers.
            wait_for_connection: seconds to wait while the broker is away.

        Raises:
            InvalidArgumentError: an argument is outside of what is allowed. Everything else is raised while reading,
                with the errors of `publish_and_wait`; items that are missing in between are an UnavailableError.

        """
        rest = (content_type, schema_version, correlation_id, idempotent, wait_for_responders, wait_for_connection)
        options = (ttl, total, window, *rest)
        if not self._publishing:
            return self._requester.stream(topic, data, headers, *options)
        message = Message(topic, data, dict(headers or {}), is_request=True)
        last = partial(_stream, self._requester.stream, options)
        return Stream(partial(publish_through, self._publishing, message, last), lambda: self._instance.caller)

    def publish_and_gather(
        self,
        topic: str,
        data: Any = None,
        *,
        ttl: float | None = None,
        max_replies: int = 0,
        every_instance: bool = False,
        headers: Mapping[str, str] | None = None,
        content_type: str = "",
        schema_version: str = "",
        correlation_id: str = "",
    ) -> Coroutine[Any, Any, Gathered]:
        """Ask every responder that is alive now, one of each group or service, and return what all of them said.

        It ends when all have answered or died, so not later than the deadline and usually long before it.

        Args:
            topic: concrete topic.
            data: payload.
            ttl: seconds to wait; 30 unless given.
            max_replies: return as soon as there are so many replies; 0 waits for all.
            every_instance: ask each instance instead of one of each group or service.
            headers: text by name.
            content_type: media type; MessagePack unless given.
            schema_version: version of the payload's schema.
            correlation_id: name of the chain; inherited, or the request's own id, unless given.

        Raises:
            NoRespondersError: there is nobody to ask.
            UnavailableError: the broker is away. What happens at single responders is in the result.

        """
        rest = (content_type, schema_version, correlation_id)
        options = (ttl, max_replies, every_instance, *rest)
        if self._publishing:
            message = Message(topic, data, dict(headers or {}), is_request=True)
            return publish_through(self._publishing, message, partial(_send, self._surveyor.gather, options))
        return self._surveyor.gather(topic, data, headers, *options)


async def _send(send: Callable[..., Coroutine[Any, Any, Any]], options: tuple[Any, ...], message: Message) -> Any:
    return await send(message.topic, message.data, message.headers, *options)


async def _stream(stream: Callable[..., Stream], options: tuple[Any, ...], message: Message) -> Stream:
    return stream(message.topic, message.data, message.headers, *options)
