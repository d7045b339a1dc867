"""A replay, as whoever asked for it reads it, and what the errors of recorders mean (SPEC.md, section 17)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, NamedTuple, Self

from tieline._contract import contract
from tieline.calls.stream import Stream
from tieline.errors import HandlerError, InvalidArgumentError, NoRespondersError, Outcome, TielineError, error_class
from tieline.history.events import moment


class ReplayProgress(NamedTuple):
    """How far a replay is: see `tieline.history.redelivery.Progress`; `time` is that of the last event."""

    id: str
    sent: int
    skipped: int
    total: int
    time: datetime | None
    done: bool


class Replay(AsyncIterator[ReplayProgress]):
    """A replay that goes on while it is read: about once a second it says how far it is."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __anext__(self) -> ReplayProgress:
        """How far it is now; the last one is `done`.

        Raises:
            NoRespondersError: nobody runs a recorder.
            NotFoundError: nobody has the group, so all was skipped; told at the end.
            UnavailableError: the broker, or the database, went away; what was delivered is delivered.

        """
        try:
            told = await anext(self._stream)
        except TielineError as error:
            raise meaning(error) from None
        progress: dict[str, Any] = dict(told)
        progress["time"] = moment(told["time"]) if told["time"] else None
        return ReplayProgress(**progress)

    async def wait(self) -> ReplayProgress:
        """Read to the end; returns how that was.

        Raises:
            TielineError: as reading does.

        """
        told = [progress async for progress in self]
        if not told:
            raise InvalidArgumentError("this replay was read to its end already")
        return told[-1]

    async def aclose(self) -> None:
        """End it, if it is not over. Idempotent."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def meaning(error: TielineError) -> TielineError:
    """What a recorder said is raised as if it had been said here."""
    if isinstance(error, NoRespondersError):
        return nobody()
    code = error.details.get("code") if isinstance(error, HandlerError) else None
    if not isinstance(code, str) or code not in contract.ERRORS:
        return error
    details = {name: value for name, value in error.details.items() if name != "code"}
    return error_class(code)(error.message, details=details)


def nobody() -> NoRespondersError:
    """What whoever asks is told where nobody records."""
    return NoRespondersError(
        "nobody records history here; start a recorder: tieline up --history, or in a Python program "
        "await events.record('sqlite:///path/of/history.db')",
        outcome=Outcome.NOT_DELIVERED,
    )
