"""`python -m tieline_gateway`, and the command `tieline`."""

from __future__ import annotations

import os
import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's core writes to stderr by itself; errors of ours say it
    try:
        from tieline_gateway.cli.main import main as run

        run()
    except KeyboardInterrupt:  # while it is loading, too
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
