"""All webhooks of one gateway: what comes in, what goes out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from starlette.routing import Route

from tieline_gateway.gateway import Gateway
from tieline_gateway.webhooks import figures
from tieline_gateway.webhooks.delivery import Delivery
from tieline_gateway.webhooks.delivery_table import DeliveryTable
from tieline_gateway.webhooks.ingress import Ingress
from tieline_gateway.webhooks.sources import Source, WebhookTable, make_sources


class Webhooks:
    """Sources and deliveries.

    Raises:
        SettingsError: a secret cannot be read.

    """

    def __init__(
        self, gateway: Gateway, webhooks: Mapping[str, WebhookTable], deliveries: Mapping[str, DeliveryTable]
    ) -> None:
        self.sources: Mapping[str, Source] = make_sources(webhooks)
        self.deliveries = [Delivery(name, table, gateway) for name, table in deliveries.items()]
        self._ingress = Ingress(gateway, self.sources)

    def routes(self) -> Sequence[Route]:
        """What is served over HTTP."""
        return self._ingress.routes()

    async def start(self) -> None:
        """Begin to send."""
        await asyncio.gather(*(delivery.start() for delivery in self.deliveries))

    async def stop(self, seconds: float) -> None:
        """Begin to send nothing new, and wait for the answers to what is being sent, for so long at most."""
        if self.deliveries:
            stopping = [asyncio.ensure_future(delivery.stop()) for delivery in self.deliveries]
            _, late = await asyncio.wait(stopping, timeout=seconds)
            for task in late:
                task.cancel()

    def exposition(self) -> str:
        """Figures as Prometheus reads them."""
        return figures.exposition(
            {name: source.figures for name, source in self.sources.items()},
            {delivery.name: delivery.figures for delivery in self.deliveries},
        )
