"""What is under way for somebody, looked at again and again: it ends when they would not be let in any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tieline.errors import TielineError, UnauthenticatedError
from tieline_gateway.access.admission import Admission, Credentials, Open
from tieline_gateway.access.principal import Principal

_log = logging.getLogger("tieline.gateway")
_PAUSE_SECONDS = 1.0
_SAID = "what you showed is not valid any more, or allows something else now; come again with a valid token"


class Visit:
    """Something under way, from a request to its answer or a stream from its beginning to its end."""

    __slots__ = ("_task", "credentials", "ended", "principal")

    def __init__(self, credentials: Credentials, principal: Principal) -> None:
        self.credentials = credentials
        self.principal = principal
        self.ended: UnauthenticatedError | None = None
        self._task = asyncio.current_task()

    def end(self) -> None:
        """Cancel it: its credentials are not valid any more."""
        if self.ended is None and self._task is not None:
            self.ended = UnauthenticatedError(_SAID)
            self._task.cancel()

    def answered(self) -> None:
        """The cancellation was seen; the task goes on, to tell why."""
        if self._task is not None:
            self._task.uncancel()


class Watch:
    """Admits, and looks after what is under way.

    Args:
        admission: says who somebody is.

    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._visits: set[Visit] = set()

    @property
    def open(self) -> bool:
        """Whether everybody is let in, and nobody is asked who they are."""
        return isinstance(self._admission, Open)

    def admit(self, credentials: Credentials) -> Principal:
        """Say who this is.

        Raises:
            UnauthenticatedError: nobody we know.

        """
        if credentials.until <= time.time():
            raise UnauthenticatedError("the client certificate has expired")
        return self._admission.admit(credentials)

    @asynccontextmanager
    async def visit(self, credentials: Credentials) -> AsyncGenerator[Visit]:
        """Admit somebody for as long as the body runs, which is cancelled when they are no longer to be admitted.

        Raises:
            UnauthenticatedError: nobody we know, or not any more.

        """
        visit = Visit(credentials, self.admit(credentials))
        self._visits.add(visit)
        try:
            yield visit
        except asyncio.CancelledError:
            if visit.ended is None:
                raise
            visit.answered()
            raise visit.ended from None
        finally:
            self._visits.discard(visit)

    async def run(self) -> None:
        """Look again at everybody, once a second, until this is cancelled."""
        if self.open:
            return
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            try:
                self._look()
            except Exception:
                _log.exception("looking at credentials again failed")

    def _look(self) -> None:
        known: dict[Credentials, Principal | None] = {}
        for visit in list(self._visits):
            credentials = visit.credentials
            if credentials not in known:
                known[credentials] = self._again(credentials)
            if known[credentials] != visit.principal:
                _log.info("%s is not let in any more, or may do something else now", visit.principal.name)
                visit.end()

    def _again(self, credentials: Credentials) -> Principal | None:
        try:
            return self.admit(credentials)
        except TielineError:
            return None
