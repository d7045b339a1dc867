"""What browsers do for pages of others, and what is refused of it.

A page of any other origin can have a browser send requests here, also to an address that only this machine reaches,
and with DNS it can give this machine's address its own name. So what says that it comes from elsewhere is refused, and
on loopback what is addressed to a name that is not this machine's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from tieline.errors import PermissionDeniedError
from tieline_gateway.address import Address
from tieline_gateway.http.problems import HttpError

_OURS = ("same-origin", "none")
_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = ("GET", "HEAD")


class Browsers(NamedTuple):
    """What this gateway knows of who may send what.

    Attributes:
        address: it listens on.
        secure: it speaks TLS.
        hosts: names it has besides its own, as behind a proxy.

    """

    address: Address
    secure: bool
    hosts: frozenset[str] = frozenset()

    @property
    def cookie(self) -> str:
        """The name of the cookie of a session; the prefix binds it to this host, and to TLS (RFC 6265bis)."""
        return "__Host-tieline" if self.secure else "tieline"

    def check(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """Return if a request may be one of our own pages', or of no browser.

        Raises:
            HttpError: it is another page's (403), or for another host (421).

        """
        host = headers.get(b"host", b"").decode("latin-1").lower()
        self._check_host(host)
        origin = headers.get(b"origin")
        if origin is not None:
            self._check_origin(origin.decode("latin-1").lower(), host)
        site = headers.get(b"sec-fetch-site", b"none").decode("latin-1")
        if site not in _OURS and not _is_navigation(method, headers):
            raise _refused(f"a page of another site ({site}) may not send this")

    def _check_host(self, host: str) -> None:
        name = _name(host)
        if (
            not host
            or not self.address.is_loopback
            or name in self.hosts
            or name in _THIS_MACHINE
            or _is_loopback(name)
        ):
            return
        told = f"this gateway is not {name[:100]!r}; if it is to be, start it with --http-host {name[:100]}"
        raise HttpError(HTTPStatus.MISDIRECTED_REQUEST, PermissionDeniedError(told))

    def _check_origin(self, origin: str, host: str) -> None:
        scheme, _, place = origin.partition("://")
        if scheme in ("http", "https") and (place == host or _name(place) in self.hosts):
            return
        raise _refused(f"a page of {origin[:100]} may not send this")


def _is_navigation(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Somebody follows a link to here; the page that has it sees nothing of the answer."""
    kind = (headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest"))
    return method in _SAFE and kind == (b"navigate", b"document")


@lru_cache(maxsize=256)
def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


@lru_cache(maxsize=256)
def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _refused(why: str) -> HttpError:
    return HttpError(HTTPStatus.FORBIDDEN, PermissionDeniedError(why))
