"""uvicorn's HTTP/1.1, with bounds on what it leaves open: how long a head may be, and how long it may take.

The client's certificate is in the state of its requests, as `certificate`.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tieline_gateway.access.certificates import read_certificate

MOST_HEAD_BYTES = 65_536
PATIENCE_SECONDS = 10.0
"""For a head; and for the rest of a body whose request is answered already."""


class HttpProtocol(HttpToolsProtocol):
    """One connection. Whoever breaks a bound gets 400, or is cut off where there is nothing to answer."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _in_message = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        shown = transport.get_extra_info("ssl_object")
        content = shown.getpeercert(binary_form=True) if shown is not None else None
        if content:
            self.app_state = {**self.app_state, "certificate": read_certificate(content)}
        self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(_too_long())

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        super().on_message_begin()
        self._in_message = self._in_head = True
        self._head_bytes = 0
        self._hurry()

    def on_headers_complete(self) -> None:
        """See `httptools.HttpRequestParser`. What is raised here is answered with 400."""
        self._in_head = False
        self._wait()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD_BYTES:
            raise ValueError(_too_long())
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._in_message = False
        self._wait()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is on its way; what it answers may still be coming."""
        super().on_response_complete()
        if self._in_message:
            self._hurry()

    def _hurry(self) -> None:
        """Wait no longer than the patience."""
        self._wait()
        self._timer = self.loop.call_later(PATIENCE_SECONDS, self.transport.close)

    def _wait(self) -> None:
        """Wait as long as it takes; whoever reads the body has a bound of his own."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _too_long() -> str:
    return f"The head of the request has more than {MOST_HEAD_BYTES} bytes."
