"""Envelopes over a Link to a gateway: `grpc://host:port`, `grpcs://:token@host:port` (SPEC.md, section 8)."""

from __future__ import annotations

from tieline.errors import UnsupportedError
from tieline.settings import Settings
from tieline.transport import Receiver
from tieline.transports.grpc_port import GrpcPort
from tieline.transports.grpc_target import parse_targets


class GrpcTransport:
    """The way to one gateway, or to one of several; it carries exactly one port.

    Args:
        url: `grpc://host:port`, or `grpcs://` for TLS; with commas between the addresses of several gateways in front
            of one Redis, of which one is used and the others take over. The password part is the token, or
            `?token_file=` names a file with one, which is read for each Link anew; `?ca=`, `?cert=`, `?key=` name PEM
            files: the authority that signed the gateway's certificate, and this client's own certificate and key.
        settings: times and bounds.
        token: the token, if it is not in the URL.

    """

    def __init__(self, url: str, settings: Settings | None = None, *, token: str = "") -> None:
        self._targets = parse_targets(url, token)
        self._settings = settings or Settings()
        self._port: GrpcPort | None = None

    async def open(self, service: str, receiver: Receiver) -> GrpcPort:
        """See `Transport.open`.

        Raises:
            UnsupportedError: a port is open already.

        """
        if self._port is not None:
            raise UnsupportedError("a Link is one instance: make another GrpcTransport for another event system")
        port = self._port = GrpcPort(self._targets, service, receiver, self._settings)
        try:
            await port.start()
        except BaseException:
            self._port = None
            raise
        return port

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        if self._port is not None:
            await self._port.aclose()

    def abandon(self) -> None:
        """See `Transport.abandon`: the channel is closed when it is collected."""
        self._port = None
