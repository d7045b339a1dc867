"""The root of all commands: each is imported when it is used, and the help says them by what they are for."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Mapping
from typing import NoReturn

import click

from tieline_gateway.cli.exit_codes import ExitCode


def examples(*lines: str) -> str:
    """The end of a command's help: how it is used."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def nobody_reads() -> NoReturn:
    """End well: whoever read our output left, as `head` does, and that is no trouble."""
    print_nothing_more()
    sys.exit(ExitCode.FINE)


def print_nothing_more() -> None:
    """What is still to be written to stdout when the process ends goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Commands(click.Group):
    """A group whose commands are in modules of their own.

    Args:
        sections: titles, and under each the commands with their places, as `module:attribute`.

    """

    def __init__(self, *args: object, sections: Mapping[str, Mapping[str, str]], **options: object) -> None:
        super().__init__(*args, **options)  # pyright: ignore[reportArgumentType]
        self._sections = sections
        self._places = {name: place for commands in sections.values() for name, place in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names: those of the sections, then others that were added."""
        return [*self._places, *(name for name in super().list_commands(ctx) if name not in self._places)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported if need be."""
        known = super().get_command(ctx, cmd_name)
        if known is None and cmd_name in self._places:
            module, _, attribute = self._places[cmd_name].partition(":")
            known = getattr(importlib.import_module(f"tieline_gateway.cli.{module}"), attribute)
            self.add_command(known, cmd_name)
        return known

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; one that is misspelled is told with the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean {near[0]}?", ctx) from None

    def invoke(self, ctx: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            nobody_reads()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections, and at the end the exit codes."""
        others = {name: "" for name in self.list_commands(ctx) if name not in self._places}
        for title, names in {**self._sections, "More": others}.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, each.get_short_help_str(90)) for name, each in commands if each and not each.hidden]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), code.meaning) for code in ExitCode])
