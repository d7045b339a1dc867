"""`python -m tieline_gateway`, and the command `tieline`."""

from __future__ import annotations

from tieline_gateway.cli.main import main

if __name__ == "__main__":
    main()
