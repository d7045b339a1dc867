"""`python -m tieline_gateway.run MODULE`: what `tieline run` becomes, a process without the gateway in it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

PARENT = "TIELINE_SUPERVISOR"
"""Environment variable with the process id of whoever looks after this process."""
_LOOK_SECONDS = 1.0


def end_with(parent: int) -> None:
    """Drain, as after SIGTERM, when a process is not our parent any more: it was killed, and nobody looks after us."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, daemon=True).start()


if __name__ == "__main__":
    from tieline.__main__ import main

    if os.environ.get(PARENT, "").isdecimal():
        end_with(int(os.environ.pop(PARENT)))
    raise SystemExit(main(["run", *sys.argv[1:]], prog="tieline"))
