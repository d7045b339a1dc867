"""`python -m tieline_gateway`, and the command `tieline`."""

from __future__ import annotations

from tieline_gateway.cli import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="tieline")


if __name__ == "__main__":
    main()
