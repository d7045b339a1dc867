"""The command line: `tieline up`, `run`, `services`, `explain`, `version`."""

from __future__ import annotations

import click

from tieline._contract.contract import CONTRACT_VERSION
from tieline_gateway.cli.config import config
from tieline_gateway.cli.explain import explain
from tieline_gateway.cli.run import run
from tieline_gateway.cli.services import services
from tieline_gateway.cli.up import up
from tieline_gateway.cli.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tieline-gateway", message=f"%(package)s %(version)s (agreement {CONTRACT_VERSION})")
def cli() -> None:
    """Tieline joins services written in different languages."""


cli.add_command(up)
cli.add_command(run)
cli.add_command(services)
cli.add_command(explain)
cli.add_command(version)
cli.add_command(config)
