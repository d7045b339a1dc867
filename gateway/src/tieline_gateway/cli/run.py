"""`tieline run`: serves the handlers of a Python module, in one process or in several."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from tieline_gateway.cli.group import examples
from tieline_gateway.cli.supervisor import Supervisor


@click.command(
    epilog=examples(
        "tieline run shop.orders",
        "tieline run shop.orders:bus --workers 4",
        "tieline run shop.orders --reload",
    )
)
@click.argument("target", metavar="MODULE[:NAME]")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="So many processes.")
@click.option("--reload", is_flag=True, help="Start anew when a Python file in this folder changes.")
def run(target: str, *, workers: int, reload: bool) -> None:
    """Serve the handlers of a Python module.

    Those of its EventSystem named events or app, or NAME. With --workers a process that dies is started again,
    after a pause that grows; SIGTERM and Ctrl-C let all of them finish what they do, and a second one ends them.
    """
    command = [sys.executable, "-m", "tieline_gateway.run", target]
    if workers == 1 and not reload:
        os.execv(sys.executable, command)  # noqa: S606 - no shell wanted
    sys.exit(asyncio.run(Supervisor(command, workers, Path() if reload else None).run()))
