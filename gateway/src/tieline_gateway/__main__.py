"""`python -m tieline_gateway`, and the command `tieline`."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        from tieline_gateway.cli.main import main as run

        run()
    except KeyboardInterrupt:  # while it is loading, too
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
