"""JetStream by nats-py: the keys are subjects of a stream, published with acknowledgement, pulled and acknowledged."""

from __future__ import annotations

from typing import Any

import msgpack
import nats
from nats.js.api import StorageType, StreamConfig

from bench.peers.durable_load import KEYS, measure_durable
from bench.peers.load import PAYLOAD, play, report

BATCH = 500


async def call(url: str, storage: str) -> None:
    """Publish, then handle; `storage` is "memory" or "file"."""
    connection = await nats.connect(url)
    jetstream = connection.jetstream()
    kind = StorageType.FILE if storage == "file" else StorageType.MEMORY
    for keys in KEYS:
        await jetstream.add_stream(
            StreamConfig(name=f"bench{keys}", subjects=[f"bench.{keys}.*"], storage=kind)  # pyright: ignore[reportCallIssue]
        )

    async def publish(keys: int, key: int) -> object:
        return await jetstream.publish(f"bench.{keys}.k{key}", msgpack.packb(PAYLOAD))

    async def handle_all(keys: int, count: int) -> None:
        async def handle(data: Any) -> None:
            assert data == PAYLOAD

        pulling = await jetstream.pull_subscribe(f"bench.{keys}.*", f"worker{keys}")
        while count:
            for message in await pulling.fetch(BATCH, timeout=30):
                await handle(msgpack.unpackb(message.data))
                await message.ack()
                count -= 1
        await connection.flush()

    report(await measure_durable(publish, handle_all))
    await connection.close()


if __name__ == "__main__":
    play(call=call)
