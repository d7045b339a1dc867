"""Where a gateway listens."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

from tieline.errors import InvalidArgumentError

_HIGHEST_PORT = 65_535


class AddressError(Exception):
    """The address cannot be listened on."""


class Address(NamedTuple):
    """Where to listen; port 0 is any free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_address(text: str) -> Address:
    """Read `host:port`, with brackets around an IPv6 address.

    Raises:
        InvalidArgumentError: it is none.

    """
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host != bare
    if not colon or not bare or not port.isdecimal() or int(port) > _HIGHEST_PORT or (":" in bare and not bracketed):
        raise InvalidArgumentError(f"{text!r} is no address to listen on; it looks like 127.0.0.1:8080 or [::1]:8080")
    return Address(bare, int(port))
