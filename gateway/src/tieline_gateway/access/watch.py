"""What is under way for somebody, looked at again and again: it ends when they would not be let in any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tieline.errors import UnauthenticatedError
from tieline_gateway.access.admission import NOTHING_SHOWN, Admission, Credentials, NotAdmittedError, Open
from tieline_gateway.access.principal import Principal
from tieline_gateway.access.refusals import Refusals

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
        self._refusals = Refusals(_log)

    @property
    def open(self) -> bool:
        """Whether everybody is let in, and nobody is asked who they are."""
        return isinstance(self._admission, Open)

    def admit(self, credentials: Credentials, peer: str) -> Principal:
        """Say who this is; the log is told of whom we do not know.

        Args:
            credentials: what is shown.
            peer: from where, as host:port.

        Raises:
            UnauthenticatedError: nobody we know.

        """
        try:
            return self._known(credentials)
        except NotAdmittedError as error:
            level = logging.INFO if error.why == NOTHING_SHOWN else logging.WARNING
            self._refusals.tell(f"refused {peer}: {error.why}", (peer.rpartition(":")[0], error.why), level)
            raise

    @asynccontextmanager
    async def visit(self, credentials: Credentials, peer: str) -> AsyncGenerator[Visit]:
        """Admit somebody for as long as the body runs, which is cancelled when they are no longer to be admitted.

        Raises:
            UnauthenticatedError: nobody we know, or not any more.

        """
        visit = Visit(credentials, self.admit(credentials, peer))
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
        known: dict[Credentials, Principal | str] = {}
        for visit in list(self._visits):
            credentials = visit.credentials
            if credentials not in known:
                known[credentials] = found = self._again(credentials)
                if found != visit.principal:
                    why = found if isinstance(found, str) else "what it may do has changed"
                    _log.warning("what %s has open ends: %s", visit.principal.name, why)
            if known[credentials] != visit.principal:
                visit.end()

    def _again(self, credentials: Credentials) -> Principal | str:
        """Who it is now, or why it is nobody any more."""
        try:
            return self._known(credentials)
        except NotAdmittedError as error:
            return error.why

    def _known(self, credentials: Credentials) -> Principal:
        if credentials.until <= time.time():
            expired = "the client certificate has expired"
            raise NotAdmittedError(f"{expired}: {', '.join(credentials.certificate)!r:.200}", expired)
        return self._admission.admit(credentials)
