"""What uvicorn's protocol leaves open: how long, how large and how many heads of requests may be.

A request's head (its first line and its headers) has 10 s and 64 KiB; what follows it is bounded by who reads it. Who
still sends when the answer is out has 5 s more. What is refused here is answered with a problem, and the connection
ends. In the state of a request are the client's `certificate`, `abort`, which cuts the connection, and whether all of
it has arrived.
"""

from __future__ import annotations

import asyncio
import resource
from http import HTTPStatus
from typing import Any, Final

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tieline.errors import InvalidArgumentError, OverloadedError, PayloadTooLargeError, TielineError
from tieline_gateway.access.certificates import read_certificate
from tieline_gateway.http.problems import MEDIA_TYPE, problem

ARRIVED: Final = "arrived"
HEAD_SECONDS: Final = 10.0
HEAD_BYTES: Final = 65_536
_ONCE: Final = (b"host", b"authorization", b"origin", b"content-type", b"x-csrf-token", b"idempotency-key")
_LINGER_SECONDS: Final = 5.0
_MOST_CONNECTIONS: Final = 10_000
_ANSWER = b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        leaving: set when the gateway is about to stop: each answer says then that its connection ends with it, so that
            its client sends what comes next over another one, before this one is closed under it.

    """

    def __init__(self, *args: Any, leaving: asyncio.Event, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._leaving = leaving
        self._in_head = True
        self._head_bytes = 0
        self._whole = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        shown = transport.get_extra_info("ssl_object")
        content = shown.getpeercert(binary_form=True) if shown is not None else None
        if content:
            self.app_state = {**self.app_state, "certificate": read_certificate(content)}
        if len(self.connections) > most_connections():
            crowded = OverloadedError("the gateway has as many connections as it may; come back soon", retry_after=1.0)
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, crowded)
        else:
            self._begin(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self.parser is None or self.transport.is_closing():  # pyright: ignore[reportUnnecessaryComparison]
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # there is nothing to upgrade to: it was answered like any other request
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, InvalidArgumentError("this is no HTTP/1.1 that can be understood"))
            return
        if self._in_head:
            self._head_bytes += len(data)
            self._check_head()
        elif self._is_idle() and self._deadline is None:  # it sends line breaks before a request, which are no request
            self._in_head = True
            self._begin(HEAD_SECONDS)

    # --- what the parser reports ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["state"]["abort"] = self.transport.abort  # pyright: ignore[reportTypedDictNotRequiredAccess]
        self._in_head, self._whole, self._head_bytes = True, False, 0
        if self._deadline is None:
            self._begin(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._in_head = False
        self._end()
        self._head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if self._check_head() and self._check_once():
            super().on_headers_complete()
            if self._leaving.is_set() and self.cycle is not None:  # pyright: ignore[reportUnnecessaryComparison]
                self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._whole = True
        self.scope["state"][ARRIVED] = True  # pyright: ignore[reportTypedDictNotRequiredAccess]
        if not self._in_head:
            self._end()
        if self.cycle is not None:  # pyright: ignore[reportUnnecessaryComparison]
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        if self.cycle is not None:  # pyright: ignore[reportUnnecessaryComparison]
            super().on_body(body)

    def on_response_complete(self) -> None:
        """It is answered."""
        super().on_response_complete()
        if not self._whole and self.cycle.response_complete:
            self._begin(_LINGER_SECONDS)

    def shutdown(self) -> None:
        """End when what is under way is answered; a request whose head is still coming is under way, too."""
        if self._whole or not self._in_head:
            super().shutdown()

    def _is_idle(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        return self._whole and answered and self.timeout_keep_alive_task is None

    def _check_head(self) -> bool:
        if self._head_bytes <= HEAD_BYTES:
            return True
        large = PayloadTooLargeError(f"the headers have more than {HEAD_BYTES} bytes", details={"limit": HEAD_BYTES})
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, large)
        return False

    def _check_once(self) -> bool:
        """Whoever stands in front may have read the other one of two (RFC 9112, section 3.2, of `host`)."""
        names = [name for name, _ in self.headers]
        twice = next((name for name in _ONCE if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is None and (b"host" in names or self.parser.get_http_version() != "1.1"):
            return True
        told = f"the header {twice.decode()} comes twice" if twice else "the header host is missing"
        self._refuse(HTTPStatus.BAD_REQUEST, InvalidArgumentError(told))
        return False

    # --- time -------------------------------------------------------------------------------------------------------

    def _begin(self, seconds: float) -> None:
        self._end()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self._in_head:
            self.transport.abort()  # it has its answer, and sends on
            return
        late = InvalidArgumentError(f"the headers did not arrive within {HEAD_SECONDS:.0f} s")
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, late)

    def _refuse(self, status: HTTPStatus, error: TielineError) -> None:
        """Answer with a problem, unless another answer is on its way, and end."""
        self._end()
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if not self.pipeline and (cycle is None or cycle.response_complete or not cycle.response_started):  # pyright: ignore[reportUnnecessaryComparison]
            body = msgspec.json.encode(problem(error, status))
            parts = (status, status.phrase.encode(), MEDIA_TYPE.encode(), len(body), body)
            self.transport.write(_ANSWER % parts)
        if cycle is not None:  # pyright: ignore[reportUnnecessaryComparison]
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


def most_connections() -> int:
    """How many there may be: half of the files that this process may have open, as they are needed elsewhere, too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, max(64, files // 2))
