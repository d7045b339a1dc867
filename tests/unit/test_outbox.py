"""What waits to be written to a gRPC stream."""

from __future__ import annotations

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
