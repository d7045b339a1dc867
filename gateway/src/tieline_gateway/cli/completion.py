"""`tieline completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tieline_gateway.cli.group import examples

_VARIABLE = "_TIELINE_COMPLETE"


@click.command(
    epilog=examples(
        "source <(tieline completion bash)                                    in ~/.bashrc",
        "source <(tieline completion zsh)                                     in ~/.zshrc",
        "tieline completion fish > ~/.config/fish/completions/tieline.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what completes commands and options in a shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, "tieline", _VARIABLE).source())
