"""Functions of users that are asked something while an event passes, and must answer at once."""

from __future__ import annotations

import inspect
from typing import Any

from tieline.errors import InvalidArgumentError


def check_prompt(what: str, function: Any) -> None:
    """It is a function, and no coroutine, whose promise of an answer would count as yes.

    Raises:
        InvalidArgumentError: it is not.

    """
    if not callable(function):
        raise InvalidArgumentError(f"{what} is a function, not {function!r}")
    if inspect.iscoroutinefunction(function):
        raise InvalidArgumentError(f"{what} must answer at once: an ordinary function, not the coroutine {function!r}")
