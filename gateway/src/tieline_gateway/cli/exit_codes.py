"""How a command ends, for the shell: one number for each kind of trouble, written down here and nowhere else."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from tieline.errors import TielineError


class ExitCode(IntEnum):
    """What `$?` is after a command; `meaning` says it in words."""

    meaning: str

    FINE = 0, "it did what was asked"
    FAILED = 1, "something else went wrong, or what was looked for is not there"
    USAGE = 2, "the command, its options or its input cannot be meant"
    TIMEOUT = 3, "nothing came in time"
    NO_RESPONDERS = 4, "nobody answers that topic, or nobody records history"
    REMOTE = 5, "the other side failed: its handler raised, or its process was lost"
    UNREACHABLE = 6, "the broker cannot be reached, or the connection broke"
    DENIED = 7, "the token, the password or the permissions do not allow it"
    NOT_FOUND = 8, "there is no such dead letter, schedule, task, event, key, group or delivery"
    CONFLICT = 9, "it exists already, or contradicts what is there"
    OVERLOADED = 10, "there is no room for it now; try again later"
    INTERRUPTED = 130, "Ctrl-C"

    def __new__(cls, number: int, meaning: str) -> Self:
        """A number with its meaning."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        return code


_BY_CODE = {
    "TIMEOUT": ExitCode.TIMEOUT,
    "EXPIRED": ExitCode.TIMEOUT,
    "NO_RESPONDERS": ExitCode.NO_RESPONDERS,
    "RESPONDER_LOST": ExitCode.REMOTE,
    "HANDLER_ERROR": ExitCode.REMOTE,
    "UNAVAILABLE": ExitCode.UNREACHABLE,
    "OVERLOADED": ExitCode.OVERLOADED,
    "INVALID_TOPIC": ExitCode.USAGE,
    "INVALID_PAYLOAD": ExitCode.USAGE,
    "INVALID_ARGUMENT": ExitCode.USAGE,
    "PAYLOAD_TOO_LARGE": ExitCode.USAGE,
    "UNAUTHENTICATED": ExitCode.DENIED,
    "PERMISSION_DENIED": ExitCode.DENIED,
    "NOT_FOUND": ExitCode.NOT_FOUND,
    "ALREADY_EXISTS": ExitCode.CONFLICT,
    "CONFLICT": ExitCode.CONFLICT,
}


def exit_code(error: TielineError) -> ExitCode:
    """The exit code for an error."""
    return exit_code_of(error.code)


def exit_code_of(code: str) -> ExitCode:
    """The exit code for the code of an error, as HTTP tells it."""
    return _BY_CODE.get(code, ExitCode.FAILED)
