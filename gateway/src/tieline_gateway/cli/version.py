"""`tieline version`."""

from __future__ import annotations

from importlib import metadata

import click

from tieline._contract.contract import CONTRACT_VERSION


@click.command()
def version() -> None:
    """Print the version of the gateway and of the agreement it speaks."""
    try:
        number = metadata.version("tieline-gateway")
    except metadata.PackageNotFoundError:
        number = "unknown (not installed)"
    click.echo(f"tieline-gateway {number} (agreement {CONTRACT_VERSION})")
