"""Where an outbound webhook may go: nowhere that only we can reach, unless that is wanted.

The name is looked up once, every address it has is checked, and one of those is connected to: there is no second
look-up that could say something else. It holds for each connection; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local, and where clouds tell machines their credentials
        "100.100.100.200/32",  # the same elsewhere
        "192.0.0.192/32",
        "168.63.129.16/32",
        "fd00:ec2::254/128",
        "fe80::/10",
        "::/128",
        "240.0.0.0/4",
    )
]
_PRIVATE = [
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # carriers' NAT
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "fec0::/10",
        "64:ff9b:1::/48",  # NAT64 of somebody's own
        "2001::/23",  # Teredo, ORCHID and others of the kind
    )
]
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_6TO4 = ipaddress.ip_network("2002::/16")
_IPV4_COMPATIBLE = ipaddress.ip_network("::/96")


class ForbiddenAddressError(Exception):
    """A name or address may not be connected to; the message says why."""


class Guard:
    """Says which addresses may be connected to.

    Args:
        private: private networks and this machine are allowed; what hands out credentials of a cloud never is.
        allowed: networks that are allowed whatever they are.

    """

    def __init__(self, *, private: bool = False, allowed: Iterable[Network] = ()) -> None:
        self._private = private
        self._allowed = list(allowed)

    def hindrance(self, address: Ip) -> str:
        """Why it may not be connected to; empty if it may."""
        faces = _faces(address)
        if all(_within(face, self._allowed) for face in faces):
            return ""
        for face in faces:
            if _within(face, _NEVER) or face.is_multicast or face.is_unspecified:
                return f"{address} is link-local, multicast, or hands out credentials of a cloud"
            if not self._private and (not face.is_global or _within(face, _PRIVATE)):
                return f"{address} is private: allow_private, or allow with its network, lets it be sent to"
        return ""

    async def addresses(self, host: str, port: int) -> list[str]:
        """Look a name up.

        Raises:
            ForbiddenAddressError: one of its addresses may not be connected to.
            OSError: it has none.

        """
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
        for address in addresses:
            if hindrance := self.hindrance(ipaddress.ip_address(address)):
                raise ForbiddenAddressError(f"{host} may not be sent to: {hindrance}")
        return addresses


def _faces(address: Ip) -> Sequence[Ip]:
    """The address, and the IPv4 addresses that it stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    inner: list[Ip] = []
    if address in _NAT64 or (address in _IPV4_COMPATIBLE and int(address) > 1):
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    elif address in _6TO4 and address.sixtofour is not None:
        inner.append(address.sixtofour)
    # What NAT64 leads to is as public as the IPv4 address in it, although the prefix is not.
    return inner or [address]


def _within(address: Ip, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
