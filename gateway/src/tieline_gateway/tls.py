"""Certificate, key and authority of this server, for both faces; read again when the files change."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Any, NamedTuple

from tieline_gateway.access.rereading import Watched
from tieline_gateway.settings_error import SettingsError

_log = logging.getLogger("tieline.gateway")
_LOOK_SECONDS = 2.0


class Pem(NamedTuple):
    """PEM bytes: this server's certificate and key, and the authority of client certificates, empty for none."""

    certificate: bytes
    key: bytes
    client_authority: bytes


class NewestContext(ssl.SSLContext):
    """What a server is given once, and hands each new connection to the context that was made last."""

    newest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext`."""
        return self.newest.wrap_bio(*args, **kwargs)


class Tls:
    """The files, and what was read of them last.

    Args:
        certificate: of this server, with its chain.
        key: its private key, without a password.
        client_authority: who signs certificates of clients, which then need one; None: nobody is asked for one.

    Raises:
        SettingsError: they cannot be read, or do not belong together.

    """

    def __init__(self, certificate: Path, key: Path, client_authority: Path | None) -> None:
        self._files = (certificate, key)
        self._authority = client_authority
        self.pem = self._read()
        self.context = NewestContext(ssl.PROTOCOL_TLS_SERVER)
        """For HTTP; who connects meets what was read last, and no session of before is taken up again."""
        self.context.newest = self._make_context()
        self._watched = Watched(*self._files, *([client_authority] if client_authority else []))

    async def watch(self) -> None:
        """Take what the files hold whenever they change, until this is cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._watched.changed():
                self.take()

    def take(self) -> None:
        """Read the files again; if they cannot be used, what was read before goes on to be shown."""
        try:
            pem = self._read()
            context = self._make_context()
        except (SettingsError, OSError) as error:  # an SSLError is an OSError: they changed meanwhile
            _log.error("the certificate of before is still shown: %s", error)
        else:
            self.pem, self.context.newest = pem, context
            _log.info("read %s again: it is used for new connections", ", ".join(map(str, self._watched.paths)))

    def _read(self) -> Pem:
        certificate, key = (_bytes(file) for file in self._files)
        return Pem(certificate, key, _bytes(self._authority) if self._authority else b"")

    def _make_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._files, password=_no_password)
            if self._authority:
                context.load_verify_locations(self._authority)
                context.verify_mode = ssl.CERT_REQUIRED
        except (ssl.SSLError, OSError) as error:
            files = ", ".join(str(file) for file in (*self._files, self._authority) if file)
            raise SettingsError(f"{files} cannot be used for TLS together: {error}") from None
        return context


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None


def _no_password() -> str:
    """Never wait for somebody to type one."""
    return ""
