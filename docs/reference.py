"""Write the parts of docs/cli.md that the commands themselves know: exit codes, and every command.

python docs/reference.py            writes them
python docs/reference.py --check    exits 1 if they are not as they should be
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tieline_gateway.cli import cli
from tieline_gateway.cli.exit_codes import ExitCode
from tieline_gateway.cli.sub import sub

PAGE = Path(__file__).parent / "cli.md"
_BROKER = ("url", "namespace", "token_file")
_ONLY_BROKER = "It takes the [options of a broker](#options-of-a-broker).\n"
_PART = "<!-- generated: {0} -->\n{1}<!-- end of {0} -->"


def page(text: str) -> str:
    """The page as it is to be."""
    parts = {"exit codes": exit_codes(), "options of a broker": broker_options()}
    parts["commands"] = "\n".join(commands(cli, "tieline")) + "\n"
    for name, part in parts.items():
        whole = _PART.format(name, part)
        found = re.compile(_PART.format(re.escape(name), ".*?").replace("\n", "\\n"), re.DOTALL)
        text, number = found.subn(lambda _, whole=whole: whole, text)
        if number != 1:
            raise SystemExit(f"{PAGE}: there is no part '{name}', or there are several")
    return text


def broker_options() -> str:
    """The table of what every command takes that goes to a broker."""
    options = [each for each in sub.params if isinstance(each, click.Option) and each.name in _BROKER]
    return "\n".join(["| option | meaning |", "| --- | --- |", *map(_row, options)]) + "\n"


def exit_codes() -> str:
    """The table of exit codes."""
    rows = [f"| {code.value} | {code.meaning} |" for code in ExitCode]
    return "\n".join(["| `$?` | meaning |", "| --- | --- |", *rows]) + "\n"


def commands(group: click.Group, path: str) -> Iterator[str]:
    """All commands of a group, and those below it."""
    context = click.Context(group, info_name=path)
    for name in sorted(group.list_commands(context)):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        yield from _command(command, f"{path} {name}")
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


def _command(command: click.Command, path: str) -> Iterator[str]:
    words = " ".join(command.collect_usage_pieces(click.Context(command, info_name=path)))
    yield f"{'#' * (1 + path.count(' ') + 1)} {path}\n"
    yield f"`{path} {words}`\n"
    for paragraph in (command.help or "").split("\n\n"):
        yield f"{_escaped(' '.join(paragraph.split()))}\n"
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    names = {each.name for each in options}
    broker = names >= set(_BROKER) and "tls_cert" not in names  # those of a gateway are others
    if broker:
        options = [each for each in options if each.name not in _BROKER]
    if options:
        yield "| option | meaning |"
        yield "| --- | --- |"
        yield from (_row(option) for option in options)
        yield ""
    if broker:
        yield "Besides them the [options of a broker](#options-of-a-broker).\n" if options else _ONLY_BROKER
    examples = [line[2:] for line in (command.epilog or "").splitlines() if line.startswith("  ")]
    if examples:
        yield "\n".join(["```", *examples, "```", ""])


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" {_kind(option)}"
    told = [option.help or ""]
    if isinstance(option.default, (str, int, float)) and not isinstance(option.default, bool) and option.show_default:
        told.append(f"Unless given: `{option.default}`.")
    variables = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or [])
    if variables:
        told.append(f"Environment: {', '.join(f'`{name}`' for name in variables)}.")
    return f"| {names}{value} | {_escaped(' '.join(told))} |"


def _kind(option: click.Option) -> str:
    if option.metavar:
        return option.metavar.replace("|", "\\|")
    if isinstance(option.type, click.Choice):
        return " \\| ".join(map(str, option.type.choices))
    return option.type.name.split(" ")[0].upper()


def _escaped(text: str) -> str:
    """Prose with signs that Markdown would take as its own."""
    return re.sub(r"([*<>|])", r"\\\1", text)


def main() -> int:
    """Write, or check."""
    text = PAGE.read_text()
    wanted = page(text)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted)
    elif text != wanted:
        print(f"{PAGE} is not what the commands say; run make generate", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
