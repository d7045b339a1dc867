"""Where a webhook may not go."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.up import Up
from tests.gateway.webhooks.conftest import Make
from tests.gateway.webhooks.receiver import Receiver
from tests.gateway.webhooks.test_delivery import letters, publish, table
from tieline_gateway.webhooks.guard import ForbiddenAddressError, Guard

PRIVATE = [
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.255.255", "100.64.0.1",
    "100.127.255.255", "192.0.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.7", "::1", "fc00::1", "fd12:3456::1",
    "fec0::1", "2001:db8::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1",
    "2002:7f00:1::1", "2002:a00:1::", "::127.0.0.1", "2001::1",
]  # fmt: skip
NEVER = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "0.1.2.3", "::",
    "224.0.0.1", "239.255.255.255", "255.255.255.255", "240.0.0.1", "ff02::1", "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::", "192.0.0.192", "168.63.129.16",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "140.82.112.3", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::"]


def test_addresses_that_only_we_can_reach() -> None:
    usual, trusting = Guard(), Guard(private=True)
    for text in PRIVATE + NEVER:
        assert usual.hindrance(ipaddress.ip_address(text)), text
    for text in NEVER:
        assert trusting.hindrance(ipaddress.ip_address(text)), text
    for text in PUBLIC:
        assert not usual.hindrance(ipaddress.ip_address(text)), text
    for text in PRIVATE:
        assert not trusting.hindrance(ipaddress.ip_address(text)), text


def test_networks_that_are_allowed() -> None:
    guard = Guard(allowed=[ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("169.254.169.254/32")])
    for text, allowed in {
        "10.1.2.3": True,
        "::ffff:10.1.2.3": True,
        "64:ff9b::10.1.2.3": True,
        "10.2.0.1": False,
        "169.254.169.254": True,
        "169.254.169.253": False,
        "127.0.0.1": False,
    }.items():
        assert bool(guard.hindrance(ipaddress.ip_address(text))) is not allowed, text


@pytest.mark.parametrize("name", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
async def test_a_name_that_leads_home(name: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=f"{name} may not be sent to: .* is private"):
        await Guard().addresses(name, 443)


async def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver is somebody else's, and cannot be made to say this in a test."""

    async def found(*_arguments: Any, **_named: Any) -> list[Any]:
        both = ("1.1.1.1", "10.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in both]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    with pytest.raises(ForbiddenAddressError, match=r"10\.0\.0\.1 is private"):
        await Guard().addresses("mixed.example", 443)


async def test_a_name_of_a_private_address_is_not_sent_to(serve: Make, tmp_path: Path) -> None:
    async with Receiver(tls=True) as receiver:
        web = await serve("--config", table(tmp_path, f"https://localhost:{receiver.port}", private=False))
        await publish(web, 1)
        (letter,) = await letters(web, 1)
        assert "localhost may not be sent to" in letter.error.message
        assert "is private" in letter.error.message
        assert receiver.posted == []


async def test_a_private_network_that_is_allowed_is_sent_to(serve: Make, tmp_path: Path) -> None:
    from tests.gateway.certificates import PEM

    async with Receiver(tls=True) as receiver:
        lines = ['allow = ["127.0.0.0/8", "::1/128"]', f'ca_file = "{PEM / "authority.pem"}"']
        web = await serve("--config", table(tmp_path, f"https://localhost:{receiver.port}", *lines, private=False))
        await publish(web, 1)
        await receiver.first(1)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('url = "http://example.org"', "http:// needs allow_private"),
        ('url = "https://127.0.0.1/hook"', "127.0.0.1 is private"),
        ('url = "https://[::ffff:10.0.0.1]/"', "is private"),
        ('url = "https://169.254.169.254/"\nallow_private = true', "hands out credentials of a cloud"),
        ('url = "https://user:pass@example.org"', "without user and password"),
        ('url = "ftp://example.org"', "url is https://host/path"),
        ('url = "https://"', "url is https://host/path"),
        ('url = "https://example.org:99999"', "Port out of range"),
        ('url = "https://example.org"\ntopic = "a.*"', "wildcards are for subscriptions"),
        ('url = "https://example.org"\nallow = ["10.0.0.1/8"]', "10.0.0.1/8 has host bits set"),
        ('url = "https://example.org"\nretry = { max_attempts = 0 }', "max_attempts of a retry policy"),
        ('url = "https://example.org"\nconcurrency = 0', "concurrency is from 1"),
        ('url = "https://example.org"\ntimeout = 0', "timeout is in seconds"),
        ('url = "https://example.org"\nca_file = "missing.pem"', "cannot use"),
        ('url = "https://example.org"\nsecret_file = "missing"', "cannot read the secret file"),
        ('url = "https://example.org"\nsecret_file = "weak"', "a secret is whsec_ and base64"),
        ('url = "https://example.org"\nurls = 1', "unknown field `urls`"),
    ],
)
async def test_what_cannot_be_meant_is_refused_at_the_start(tmp_path: Path, lines: str, says: str) -> None:
    told = {"topic": '"a.b"', "secret_file": '"good"'}
    for line in lines.splitlines():
        name, _, value = line.partition(" = ")
        told[name] = value
    (tmp_path / "good").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    (tmp_path / "weak").write_text("whsec_AAAA\n")
    config = tmp_path / "tieline.toml"
    config.write_text("[deliveries.crm]\n" + "".join(f"{name} = {value}\n" for name, value in told.items()))
    up = Up("--config", str(config))
    assert await up.refuses() == 2
    assert says in up.text
    assert "deliveries" in up.text
    assert "Traceback" not in up.text
