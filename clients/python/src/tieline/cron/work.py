"""How an instance works for cron tasks: its calls are calls as any other, its events those of the system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tieline.calls.requester import Requester
from tieline.cron.runner import CronRunner
from tieline.errors import TielineError
from tieline.instance import Instance
from tieline.publisher import Publisher


class CronWork:
    """What ticks do, done by one instance."""

    def __init__(self, publisher: Publisher, requester: Requester) -> None:
        self._publisher = publisher
        self._requester = requester

    async def tell(self, topic: str, payload: dict[str, Any]) -> None:
        """Publish an event of the system; one that cannot be heard now is not missed."""
        try:
            await self._publisher.publish(topic, payload, None, schema_version="1", by_system=True)
        except TielineError:  # what it tells of has happened
            return

    async def call(
        self, topic: str, data: Any, headers: Mapping[str, str], ttl: float, content_type: str, key: str
    ) -> Any:
        """See `cron_runner.Call`."""
        rest = (ttl, content_type, "", ":".join(key.split(":")[:2]))
        return await self._requester.call(topic, data, headers, *rest, idempotency_key=key)


def attend_cron(instance: Instance, publisher: Publisher, requester: Requester) -> CronWork:
    """Have an instance see to the ticks that its scheduler is handed. Whoever has a scheduler needs that."""
    work = CronWork(publisher, requester)
    instance.cron = CronRunner(instance, work.call, work.tell)
    return work
