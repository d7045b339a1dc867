"""The program `tieline`: runs a command, and ends as it ended."""

from __future__ import annotations

import errno
import os
import sys

import click

from tieline.errors import TielineError
from tieline_gateway.cli import cli
from tieline_gateway.cli.exit_codes import ExitCode
from tieline_gateway.cli.failure import fail_with
from tieline_gateway.cli.group import nobody_reads, print_nothing_more
from tieline_gateway.cli.visit import fail

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Run the command line; what goes wrong is one line on stderr, and an exit code."""
    _open_what_is_closed()
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
    except TielineError as error:  # before OSError, which some of them are, too
        fail_with(error)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        print_nothing_more()
        fail(f"the output cannot be written: {error.strerror}", ExitCode.FAILED)
    else:
        sys.exit(code if isinstance(code, int) else ExitCode.FINE)


def _open_what_is_closed() -> None:
    """A shell's `>&-` closes stdout; what is written there goes nowhere, and not into the next file that is opened."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - for as long as the process lives
