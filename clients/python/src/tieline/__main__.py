"""`python -m tieline run module:app`: import an event system and serve it until SIGTERM.

python -m tieline run shop.orders            # the EventSystem named `events` or `app`, or the default one
python -m tieline run shop.orders:bus        # the one named `bus`
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import re
import sys
from types import ModuleType

from tieline.default_system import get_event_system
from tieline.errors import InvalidArgumentError, TielineError
from tieline.events import EventSystem

_INTERRUPTED = 130
_NAMES = ("events", "app")
_EXIT_CODES = {"INVALID_ARGUMENT": 2, "UNAVAILABLE": 6, "UNAUTHENTICATED": 7, "PERMISSION_DENIED": 7}


def load(target: str) -> EventSystem:
    """The event system that `module` or `module:name` stands for.

    Raises:
        InvalidArgumentError: there is no such module, or it has no such event system.

    """
    module_name, _, name = target.partition(":")
    if module_name.endswith(".py") or "/" in module_name or "\\" in module_name or not all(module_name.split(".")):
        likely = ".".join(filter(None, re.split(r"[./\\]+", module_name.removesuffix(".py")))) or "shop"
        raise InvalidArgumentError(f"give a module name: {likely}, not {module_name!r}")
    sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # it is there, and imports what is not
        raise InvalidArgumentError(
            f"there is no module {error.name!r} here; run from the folder that holds it"
        ) from None
    return _find(module, name)


def _find(module: ModuleType, name: str) -> EventSystem:
    for candidate in [name] if name else _NAMES:
        found = getattr(module, candidate, None)
        if isinstance(found, EventSystem):
            return found
    if not name and get_event_system().subscriptions:
        return get_event_system()
    wanted = name or " or ".join(_NAMES)
    raise InvalidArgumentError(f"module {module.__name__!r} has no EventSystem named {wanted}")


def main(arguments: list[str] | None = None, *, prog: str = "python -m tieline") -> int:
    """Run the command line.

    Returns the exit code: 0 after a clean stop; 2 if what was typed cannot be meant, 6 if the broker cannot be reached,
    7 if it does not let us in, 1 if something else went wrong before it served; 130 if cut short.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Serve the handlers of a Python module.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="serve an event system until SIGTERM or Ctrl-C")
    run.add_argument("target", help="module, as in shop.orders, or module:name of an EventSystem in it")
    target: str = parser.parse_args(arguments).target
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what matters of it is in our errors
    os.environ["TIELINE_SERVICE"] = os.environ.get("TIELINE_SERVICE") or target.partition(":")[0].rpartition(".")[2]
    try:
        events = load(target)  # before any loop runs, so that nothing starts by itself
        asyncio.run(_serve(events))
    except TielineError as error:
        print(f"tieline: {error}", file=sys.stderr)
        return _EXIT_CODES.get(error.code, 1)
    except KeyboardInterrupt:  # the second one; the first one drains
        return _INTERRUPTED
    return 0


async def _serve(events: EventSystem) -> None:
    await events.start()
    topics = ", ".join(sorted({subscription.topic for subscription in events.subscriptions})) or "nothing"
    print(f"tieline: {events.service}/{events.instance} serves {topics}", flush=True)
    await events.serve()


if __name__ == "__main__":
    raise SystemExit(main())
