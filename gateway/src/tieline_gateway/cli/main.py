"""The program `tieline`: runs a command, and ends as it ended."""

from __future__ import annotations

import sys

import click

from tieline.errors import TielineError
from tieline_gateway.cli import cli
from tieline_gateway.cli.exit_codes import ExitCode
from tieline_gateway.cli.failure import fail_with
from tieline_gateway.cli.group import nobody_reads


def main() -> None:
    """Run the command line; what goes wrong is one line on stderr, and an exit code."""
    try:
        code = cli.main(prog_name="tieline", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        nobody_reads()
    except TielineError as error:
        fail_with(error)
    else:
        sys.exit(code if isinstance(code, int) else ExitCode.FINE)
