"""How a command ends that failed: in words of the command line, with what may help, and an exit code of its own."""

from __future__ import annotations

import re
from typing import NoReturn

from tieline.errors import HandlerError, TielineError
from tieline_gateway.cli.exit_codes import ExitCode, exit_code
from tieline_gateway.cli.visit import fail

_OPTIONS = {
    "at": "--at",
    "call": "--call",
    "data": "DATA",
    "dedupe": "--dedupe",
    "delay": "--delay",
    "durable": "--durable",
    "group": "--group",
    "idempotency_key": "--idempotency-key",
    "idempotent": "--idempotent",
    "key": "--key",
    "priority": "--priority",
    "schema_version": "--schema-version",
    "to_group": "--to-group",
    "to_topic": "--to-topic",
    "ttl": "--ttl",
    "wait_for_responders": "--wait",
}
"""What a program says as a keyword argument, and what a shell says instead."""
_PHRASES = {
    "publish_and_stream": "--stream",
    "publishAndStream": "--stream",
    "or wait_for_responders": "or give --wait",
    ", dedupe=, max_stored= and wait_replicas= are": " and --dedupe are",
    "dedupe= and max_stored= are": "--dedupe is",
    "put the token into the URL's password": "give a valid one with --token-file or TIELINE_TOKEN_FILE",
    "history.figures() tells": "`tieline history figures` tells",
}
_keyword = re.compile(rf"\b({'|'.join(_OPTIONS)})=(?:True\b)?(?!\w)")
_subject = re.compile(rf"^(\w+: )({'|'.join(_OPTIONS)})(?= (?:is|must|has|was) )")
_THEIRS = (ExitCode.UNREACHABLE, ExitCode.DENIED)
_OF_A_CALL = (ExitCode.REMOTE, ExitCode.TIMEOUT)


def fail_with(error: TielineError) -> NoReturn:
    """End as an error asks for: its sentence, how to learn more, and its exit code."""
    code = exit_code(error)
    if code in _THEIRS:
        from tieline_gateway.cli.environment import warn_of_unknown_variables  # what it needs takes a while to load

        warn_of_unknown_variables()
    more = f" (tieline explain {error.correlation_id})" if error.correlation_id and code in _OF_A_CALL else ""
    fail(f"{spoken(error)}{more}", code)


def spoken(error: TielineError) -> str:
    """What an error says, with the options that people type for the arguments that programs give.

    What a handler said is its own.
    """
    text = str(error)
    if isinstance(error, HandlerError) and error.type:
        return text
    for phrase, ours in _PHRASES.items():
        text = text.replace(phrase, ours)
    text = _subject.sub(lambda found: f"{found[1]}{_OPTIONS[found[2]]}", text)
    return _keyword.sub(lambda found: _OPTIONS[found[1]], text)
