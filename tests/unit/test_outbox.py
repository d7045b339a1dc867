"""What waits to be written to a gRPC stream."""

from __future__ import annotations

import asyncio

from tieline.transports.grpc_frames import Outbox


async def test_what_gives_way_leaves_nothing_behind() -> None:
    outbox = Outbox(1_000)
    outbox.put(b"first")
    for number in range(100_000):
        outbox.put_droppable(b"%09d" % number)
    outbox.put(b"last")
    assert outbox.size <= 1_100
    assert len(outbox._queue) < 5_000
    frame = await outbox.take(target=1_000_000)
    assert frame.startswith(b"first")
    assert frame.endswith(b"000099999last")
    assert outbox.size == 0


async def test_there_is_room_when_it_is_not_full_any_more() -> None:
    outbox = Outbox(1_000)
    await outbox.room()
    for _ in range(4):
        outbox.put(bytes(600))
    waiting = [asyncio.ensure_future(outbox.room()) for _ in range(2)]
    for left in (1_800, 1_200):
        await outbox.take(target=1)
        assert outbox.size == left
        await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
    await outbox.take(target=1)
    await asyncio.wait_for(asyncio.gather(*waiting), 10)


async def test_nobody_waits_for_room_in_what_is_closed() -> None:
    outbox = Outbox(1_000)
    outbox.put(bytes(2_000))
    waiting = asyncio.ensure_future(outbox.room())
    await asyncio.sleep(0)
    outbox.close()
    await asyncio.wait_for(waiting, 10)
