"""Who is signed in with a browser: a random name in a cookie stands for the token, which stays here."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from tieline.errors import OverloadedError
from tieline_gateway.access.admission import Credentials

LIFE_SECONDS = 8 * 3_600.0
"""How long a session lasts at most; it also ends with its token."""

_RANDOM_BYTES = 32
_MOST = 10_000
_MOST_FAILURES = 10
_FAILURES_SECONDS = 60.0


class Session(NamedTuple):
    """One browser that is signed in.

    Attributes:
        name: what is in its cookie.
        csrf: what its pages say with what changes something.
        credentials: what was shown.
        until: seconds since 1970.

    """

    name: str
    csrf: str
    credentials: Credentials
    until: float


class Sessions:
    """Everybody who is signed in at this gateway; the oldest give way when there are too many."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, credentials: Credentials) -> Session:
        """Somebody who was admitted signs in."""
        name, csrf = secrets.token_urlsafe(_RANDOM_BYTES), secrets.token_urlsafe(_RANDOM_BYTES)
        session = Session(name, csrf, credentials, self._clock() + LIFE_SECONDS)
        self._sessions[_digest(name)] = session
        if len(self._sessions) > _MOST:
            self._sessions.popitem(last=False)
        return session

    def find(self, name: str) -> Session | None:
        """The session of a cookie; looked up by a sum of it, so that the time this takes tells nothing."""
        session = self._sessions.get(_digest(name))
        if session is not None and session.until <= self._clock():
            self.end(name)
            return None
        return session

    def end(self, name: str) -> None:
        """Somebody signs out."""
        self._sessions.pop(_digest(name), None)


class Failures:
    """Bounds how often one address may try tokens in vain."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Return if this address may try.

        Raises:
            OverloadedError: it was wrong too often.

        """
        since = self._clock() - _FAILURES_SECONDS
        recent = [moment for moment in self._failed.get(address, ()) if moment > since]
        if len(recent) >= _MOST_FAILURES:
            told = f"{_MOST_FAILURES} wrong tokens came from {address} within a minute; wait"
            raise OverloadedError(told, retry_after=recent[0] - since)

    def add(self, address: str) -> None:
        """It was wrong."""
        self._failed[address] = [*self._failed.get(address, ()), self._clock()][-_MOST_FAILURES:]
        self._failed.move_to_end(address)
        if len(self._failed) > _MOST:
            self._failed.popitem(last=False)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()
