"""`python -m tieline_gateway.run MODULE`: what `tieline run` becomes, a process without the gateway in it."""

from __future__ import annotations

import sys

from tieline.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(["run", *sys.argv[1:]], prog="tieline"))
