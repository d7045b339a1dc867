"""What the gateway's log tells of those who are turned away, over both faces."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from tests.gateway.access.people import Caller
from tests.gateway.commands import command
from tests.gateway.up import Client, Up, WebClient
from tieline._contract import gateway_pb2 as wire

PUBLISH = ("Publish", wire.PublishRequest(topic="order.new"))
KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
CONFIG = """
[principals.shop]
publish = ["order.>"]

[jwt]
keys = "keys.jwk"
algorithms = ["EdDSA"]
audience = "tieline"
"""
FAR = 4_000_000_000
CLAIMS = {"sub": "cart", "aud": "tieline", "exp": FAR}


@pytest.fixture
async def up(stack: AsyncExitStack, tmp_path: Path) -> Up:
    """A gateway with named tokens and JSON Web Tokens."""
    key = OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "k", "alg": "EdDSA"}
    (tmp_path / "keys.jwk").write_text(json.dumps({"keys": [key]}))
    (tmp_path / "tieline.toml").write_text(CONFIG)
    (tmp_path / "tokens.json").write_text('{"principals": {}}')
    options = ("--config", str(tmp_path / "tieline.toml"), "--tokens", str(tmp_path / "tokens.json"))
    return await stack.enter_async_context(Up(*options, http=True))


async def refused(up: Up, token: str) -> str:
    """What the log tells of a token that is shown over HTTP."""
    async with WebClient(up, headers={"authorization": f"Bearer {token}"}) as web:
        assert (await web.get("/v1/services")).status_code == 401
    line = await up.line(r"^WARNING tieline.gateway: refused 127\.0\.0\.1:\d+: ")
    assert token not in up.text
    return line.partition(": refused ")[2].partition(": ")[2]


async def test_a_named_token_is_refused_with_its_id_and_its_holder(up: Up, tmp_path: Path) -> None:
    file = str(tmp_path / "tokens.json")
    token = (await command("token", "create", "shop", "--tokens", file)).out.strip()
    known = json.loads((await command("token", "list", "--tokens", file, "--json")).out)[0]["id"]
    async with Client(up.address) as client, asyncio.timeout(30):
        who = Caller(client.stub, token)
        while await who.code(*PUBLISH) != "OK":
            await asyncio.sleep(0.1)
        assert (await command("token", "revoke", known, "--tokens", file)).code == 0
        while await who.code(*PUBLISH) != "UNAUTHENTICATED":
            await asyncio.sleep(0.1)
    line = await up.line(rf"^WARNING tieline.gateway: refused .*the token {known} of 'shop' was revoked$")
    assert re.search(r"refused 127\.0\.0\.1:\d+: ", line)
    assert token not in up.text


async def test_a_token_that_ended_is_refused_with_when(up: Up, tmp_path: Path) -> None:
    file = str(tmp_path / "tokens.json")
    token = (await command("token", "create", "shop", "--tokens", file, "--days", "0.00001")).out.strip()
    await asyncio.sleep(2.0)
    assert re.fullmatch(r"the token \w{8} of 'shop' expired at 20\d\d-.*Z", await refused(up, token))


@pytest.mark.parametrize(
    ("claims", "key", "why"),
    [
        (CLAIMS | {"exp": 1_000}, KEY, "the JSON Web Token of 'cart' has expired (exp)"),
        (CLAIMS | {"nbf": FAR}, KEY, "the JSON Web Token of 'cart' is not valid yet (nbf, iat)"),
        (CLAIMS | {"aud": "bank"}, KEY, "the JSON Web Token of 'cart' is for another audience (aud)"),
        ({"sub": "cart", "aud": "tieline"}, KEY, "the JSON Web Token of 'cart' lacks 'exp'"),
        (CLAIMS, OTHER, "the JSON Web Token has a wrong signature"),
    ],
)
async def test_a_json_web_token_is_refused_with_its_reason(
    up: Up, claims: dict[str, object], key: Ed25519PrivateKey, why: str
) -> None:
    assert await refused(up, jwt.encode(claims, key, "EdDSA", {"kid": "k"})) == why


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("tl_nobody-has-this", "the token is unknown: revoked long ago, or of another gateway"),
        ("a.b.c", "the JSON Web Token cannot be read"),
    ],
)
async def test_a_token_of_nobody_is_refused_with_its_reason(up: Up, token: str, why: str) -> None:
    assert await refused(up, token) == why


async def test_many_refusals_are_two_lines(up: Up) -> None:
    async with Client(up.address) as client:
        stranger = Caller(client.stub, "tl_nobody-has-this")
        codes = await asyncio.gather(*(stranger.code(*PUBLISH) for _ in range(300)))
    assert set(codes) == {"UNAUTHENTICATED"}
    await up.line(r"refused .* \(the last of 299 more within 10 s\)$")
    assert up.text.count("refused ") == 2


async def test_who_shows_nothing_is_no_warning(up: Up) -> None:
    async with WebClient(up) as web:
        assert (await web.get("/v1/services")).status_code == 401
    await up.line(r"^INFO tieline.gateway: refused 127\.0\.0\.1:\d+: no token was shown$")


async def test_a_wrong_shared_token_is_told(stack: AsyncExitStack, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-twenty-five-chars")
    up = await stack.enter_async_context(Up("--token-file", str(tmp_path / "token"), http=True))
    assert await refused(up, "another-token") == "it is not the token of --token-file"


async def test_a_delivery_with_a_wrong_signature_is_told_with_its_source(stack: AsyncExitStack, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a-secret-of-the-gateway")
    up = await stack.enter_async_context(Up("--webhook", f"github={tmp_path / 'secret'}", http=True))
    for _ in range(3):
        sent = await command(
            "webhook",
            "send",
            "github",
            "push",
            "--secret",
            "another-secret-of-somebody",
            "--url",
            f"{up.web}/webhooks/github",
        )
        assert sent.code == 1
    line = await up.line("^WARNING .*a delivery from .* was refused")
    assert re.search(r"github: a delivery from 127\.0\.0\.1:\d+ was refused \(signature\): ", line)
    await up.line(r"was refused \(signature\): .* \(the last of \d more within 10 s\)$")
