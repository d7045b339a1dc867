"""A process that publishes into a file until it is killed, and prints what was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from tieline.durable.mail import Draft
from tieline.transports.memory import MemoryTransport
from tieline.transports.sqlite_mail import SqliteMail

KEYS = "abcdefgh"


async def publish(mail: SqliteMail, key: str) -> None:
    for number in itertools.count():
        (stored,) = await mail.append("t", [Draft(key, 5, "", 0, f"{key}{number}".encode())])
        assert stored is not None
        print(f"{key}{number}", flush=True)


async def main() -> None:
    broker = MemoryTransport(store=Path(sys.argv[1])).broker
    await broker.mail.enroll("t", "default", latest=False)
    await asyncio.gather(*(publish(broker.mail, key) for key in KEYS))


asyncio.run(main())
