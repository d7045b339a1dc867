"""Who is let in by what: named tokens, JSON Web Tokens, certificates; and what ends when they end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import jwt
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.gateway.access.people import Caller, Town, token_of
from tests.gateway.commands import command
from tests.gateway.up import Client, Up, WebClient
from tieline._contract import gateway_pb2 as wire
from tieline._contract.gateway_pb2_grpc import EventGatewayStub

SECONDS = 30.0
PUBLISH = ("Publish", wire.PublishRequest(topic="order.new"))


async def caller(stack: AsyncExitStack, up: Up, token: str) -> Caller:
    """Plain stubs with a token."""
    return Caller((await stack.enter_async_context(Client(up.address))).stub, token)


async def becomes(code: str, who: Caller) -> None:
    """Wait until publishing ends in this way."""
    async with asyncio.timeout(SECONDS):
        while await who.code(*PUBLISH) != code:
            await asyncio.sleep(0.1)


async def status_of(stream: Any) -> str:
    """How a call or a stream ends; what comes before is read."""
    async with asyncio.timeout(SECONDS):
        try:
            while hasattr(stream, "read") and await stream.read():
                pass
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return (await stream.code()).name


def assert_hidden(token: str, file: Path) -> None:
    """Of a token there is the sum only, in a file that nobody else can read."""
    content = file.read_text()
    assert token not in content
    assert hashlib.sha256(token.encode()).hexdigest() in content
    assert file.stat().st_mode & 0o077 == 0


# --- tokens ---------------------------------------------------------------------------------------------------------


async def test_tokens_are_made_listed_used_and_revoked(stack: AsyncExitStack, tmp_path: Path) -> None:
    file = str(tmp_path / "tokens.json")
    made = await command("token", "create", "shop", "--tokens", file, "--publish", "order.>", "--service", "shop")
    token = made.out.strip()
    assert made.code == 0
    assert len(token) > 40
    assert_hidden(token, tmp_path / "tokens.json")
    up = await stack.enter_async_context(Up("--tokens", file))
    who = await caller(stack, up, token)
    assert await who.code(*PUBLISH) == "OK"
    assert await who.code("Publish", wire.PublishRequest(topic="bank.new")) == "PERMISSION_DENIED"
    second = await command("token", "create", "shop", "--tokens", file, "--json")
    other = await caller(stack, up, json.loads(second.out)["token"])
    await becomes("OK", other)
    listed = json.loads((await command("token", "list", "--tokens", file, "--json")).out)
    assert [row["principal"] for row in listed] == ["shop", "shop"]
    assert token not in json.dumps(listed)
    assert (await command("token", "revoke", listed[0]["id"], "--tokens", file)).code == 0
    await becomes("UNAUTHENTICATED", who)
    assert await other.code(*PUBLISH) == "OK"
    assert (await command("token", "revoke", "nobody", "--tokens", file)).code == 1
    assert token not in up.text


async def test_what_is_under_way_ends_when_its_token_is_revoked(stack: AsyncExitStack, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    rules = ("--publish", ">", "--subscribe", ">", "--call", ">", "--serve", ">", "--service", "shop")
    token = (await command("token", "create", "shop", "--tokens", str(file), *rules)).out.strip()
    up = await stack.enter_async_context(Up("--tokens", str(file), http=True))
    web = await stack.enter_async_context(WebClient(up, headers={"authorization": f"Bearer {token}"}))
    stub = (await stack.enter_async_context(Client(up.address))).stub
    metadata = (("authorization", f"Bearer {token}"),)
    feed = stub.Subscribe(wire.SubscribeRequest(topic="a"), metadata=metadata)
    link = stub.Link(metadata=metadata)
    await link.write(wire.LinkRequest(items=[wire.ClientItem(hello=wire.Hello(service="shop"))]))
    interest = wire.Interest(route=wire.ROUTE_REQUEST, pattern="slow")
    await link.write(wire.LinkRequest(items=[wire.ClientItem(register=wire.Register(ref=1, interests=[interest]))]))
    await feed.read()
    while not any(item.HasField("done") for item in (await link.read()).items):
        pass
    call = stub.PublishAndWait(wire.PublishAndWaitRequest(topic="slow"), metadata=metadata, timeout=SECONDS)
    async with web.stream("GET", "/v1/tap", params={"topic": "a"}) as tap:
        assert tap.status_code == 200
        assert (await command("token", "revoke", "shop", "--tokens", str(file))).code == 0
        async with asyncio.timeout(SECONDS):
            seen = "".join([part async for part in tap.aiter_text()])
    assert '"UNAUTHENTICATED"' in seen
    for stream in (feed, link, call):
        assert await status_of(stream) == "UNAUTHENTICATED"
    assert (await web.get("/v1/session")).status_code == 401


async def test_a_file_that_cannot_be_read_again_leaves_things_as_they_are(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.json"
    token = (await command("token", "create", "shop", "--tokens", str(file), "--publish", ">")).out.strip()
    up = await stack.enter_async_context(Up("--tokens", str(file)))
    file.write_text("{")
    await (await caller(stack, up, token)).code(*PUBLISH)
    async with asyncio.timeout(SECONDS):
        while "no file of tokens" not in up.text:
            assert await (await caller(stack, up, token)).code(*PUBLISH) == "OK"
            await asyncio.sleep(0.2)
    assert (await command("token", "list", "--tokens", str(file))).code == 2


# --- JSON Web Tokens ------------------------------------------------------------------------------------------------


def private_key() -> rsa.RSAPrivateKey:
    """A key of an issuer."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


KEY, OTHER = private_key(), private_key()
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwks(**keys: rsa.RSAPrivateKey) -> str:
    """A set of public keys."""
    told = [
        {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid} for kid, key in keys.items()
    ]
    return json.dumps({"keys": told})


def signed(key: Any = KEY, kid: str | None = "one", algorithm: str = "RS256", **claims: Any) -> str:
    """A token of the shop, with changes; a claim of None is left out."""
    told = {"sub": "shop", "aud": "tieline", "exp": time.time() + 600, "tieline": {"publish": ["order.>"]}, **claims}
    headers = {"kid": kid} if kid else {}
    return jwt.encode({k: v for k, v in told.items() if v is not None}, key, algorithm, headers=headers)


def by_hand(header: dict[str, Any], sign: bytes | None) -> str:
    """A token as no library would make it: signed with HMAC under this key, or not at all."""
    told = {"sub": "shop", "aud": "tieline", "exp": time.time() + 600, "tieline": {"everything": True}}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, told)]
    body = b".".join(parts)
    mac = b"" if sign is None else base64.urlsafe_b64encode(hmac.digest(sign, body, "sha256")).rstrip(b"=")
    return (body + b"." + mac).decode()


async def jwt_town(stack: AsyncExitStack, folder: Path, keys: str) -> tuple[Town, Path]:
    """A gateway that takes JSON Web Tokens."""
    (folder / "keys").write_text(keys)
    more = '[jwt]\nkeys = "keys"\naudience = "tieline"\n'
    people = {"clerk": 'publish = ["order.>"]\ndeny_publish = ["order.secret"]', "shop": 'publish = ["bank.>"]'}
    return await Town(stack, folder, people, more=more).open(), folder / "keys"


async def test_json_web_tokens(stack: AsyncExitStack, tmp_path: Path) -> None:
    town, file = await jwt_town(stack, tmp_path, jwks(one=KEY))
    up = town.up

    async def code(token: str, topic: str = "order.new") -> str:
        return await (await caller(stack, up, token)).code("Publish", wire.PublishRequest(topic=topic))

    assert await code(signed()) == "OK"
    assert await code(signed(), "bank.new") == "PERMISSION_DENIED"
    assert await code(signed(tieline=None), "bank.new") == "OK"  # the rules of the table with its own name
    assert await code(signed(tieline=None, sub="stranger")) == "PERMISSION_DENIED"
    assert await code(signed(tieline={"role": "clerk"})) == "OK"
    assert await code(signed(tieline={"role": "clerk"}), "order.secret") == "PERMISSION_DENIED"
    assert await code(signed(aud=["x", "tieline"])) == "OK"
    assert await code(token_of("clerk")) == "OK"  # the kinds go side by side
    now = time.time()
    wrong = {
        "another key": signed(OTHER),
        "an unknown key": signed(kid="two"),
        "no kid": signed(kid=None),
        "another algorithm of the key": signed(algorithm="RS512"),
        "another audience": signed(aud="bank"),
        "no audience": signed(aud=None),
        "expired": signed(exp=now - 60),
        "no end": signed(exp=None),
        "not yet": signed(nbf=now + 600),
        "issued later": signed(iat=now + 600),
        "no name": signed(sub=None),
        "an unknown role": signed(tieline={"role": "king"}),
        "an unknown rule": signed(tieline={"publich": [">"]}),
        "a rule that is none": signed(tieline={"publish": ["a b"]}),
        "no rules": signed(tieline=7),
        "not signed": by_hand({"alg": "none", "kid": "one"}, None),
        "not signed, said otherwise": by_hand({"alg": "RS256", "kid": "one"}, None),
        "HMAC with the public key": by_hand({"alg": "HS256", "kid": "one"}, PUBLIC),
        "HMAC with nothing": by_hand({"alg": "HS256", "kid": "one"}, b""),
        "strange headers": by_hand({"alg": ["RS256"], "kid": {"a": 1}}, b"x"),
        "its own key": by_hand({"alg": "HS256", "jwk": {"kty": "oct", "k": ""}}, b""),
        "no token at all": "a.b.c",
        "an end that is no moment": signed(exp=float("inf")),
        "a begin that is no moment": signed(nbf=float("inf")),
        "something critical that nobody knows": jwt.encode(
            {"sub": "shop", "aud": "tieline", "exp": now + 600, "tieline": {"publish": ["order.>"]}},
            KEY,
            "RS256",
            headers={"kid": "one", "crit": ["bound-to"], "bound-to": "another machine"},
        ),
        "a token in a token": jwt.api_jws.encode(signed().encode(), KEY, "RS256", headers={"kid": "one", "cty": "JWT"}),
        "a file as its key": by_hand({"alg": "HS256", "kid": "../../../../dev/null"}, b""),
    }
    for what, token in wrong.items():
        assert await code(token) == "UNAUTHENTICATED", what
    long = signed(x="x" * 10_000)  # gRPC itself may refuse a head of that size
    assert await code(long) in ("UNAUTHENTICATED", "RESOURCE_EXHAUSTED")
    altered = signed().split(".")
    altered[1] = by_hand({}, None).split(".")[1]
    assert await code(".".join(altered)) == "UNAUTHENTICATED"
    assert signed()[:20] not in up.text
    file.write_text(jwks(two=OTHER))  # the issuer goes over to another key
    who = await caller(stack, up, signed(OTHER, "two"))
    await becomes("OK", who)
    assert await code(signed()) == "UNAUTHENTICATED"


async def test_a_stream_ends_with_its_json_web_token(stack: AsyncExitStack, tmp_path: Path) -> None:
    town, _ = await jwt_town(stack, tmp_path, PUBLIC.decode())
    stub = (await stack.enter_async_context(Client(town.up.address))).stub
    brief = signed(kid=None, exp=time.time() + 2, tieline={"subscribe": ["a"]})
    feed = stub.Subscribe(wire.SubscribeRequest(topic="a"), metadata=(("authorization", f"Bearer {brief}"),))
    await feed.read()
    assert await status_of(feed) == "UNAUTHENTICATED"
    assert await (await caller(stack, town.up, brief)).code("Subscribe", wire.SubscribeRequest(topic="a")) == (
        "UNAUTHENTICATED"
    )


@pytest.mark.parametrize(
    ("more", "about"),
    [
        ('[jwt]\nkeys = "keys"\naudience = "t"\nalgorithms = ["HS256"]\n', "HS256"),
        ('[jwt]\nkeys = "keys"\naudience = "t"\nalgorithms = ["none"]\n', "none"),
        ('[jwt]\nkeys = "keys"\naudience = ""\n', "audience"),
        ('[jwt]\nkeys = "nowhere"\naudience = "t"\n', "nowhere"),
        ('[jwt]\nkeys = "private"\naudience = "t"\n', "no public key"),
        ('[principals.shop]\npublish = ["a b"]\n', "publish"),
        ('[principals.shop]\npublich = ["a"]\n', "publich"),
        ("[principals.shop]\nlimits = { rate = 0 }\n", "rate"),
        ('[principals.shop]\ntokens_sha256 = ["abc"]\n', "tokens_sha256"),
        ('[principals.shop]\neverything = true\ncall = ["a"]\n', "everything"),
        ('[principals.shop]\ncertificates = ["a"]\n', "--tls-client-ca"),
        ('[principals.shop]\npublish = ["a"]\n', "tokens_sha256"),
    ],
)
async def test_a_configuration_that_cannot_be_meant_is_refused(tmp_path: Path, more: str, about: str) -> None:
    (tmp_path / "keys").write_bytes(PUBLIC)
    (tmp_path / "private").write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "t.toml").write_text(more)
    up = Up("--config", str(tmp_path / "t.toml"))
    assert await up.refuses() == 2
    assert about in up.text
    assert "Traceback" not in up.text


# --- certificates ---------------------------------------------------------------------------------------------------


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self._ca.cert_pem.write_to_path(str(folder / "ca.pem"))

    def issue(self, name: str, *names: str) -> tuple[str, str]:
        """A certificate and its key."""
        issued = self._ca.issue_cert(*names)
        files = (str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(files[0])
        issued.private_key_pem.write_to_path(files[1])
        return files


async def test_certificates_name_principals_over_both_faces(stack: AsyncExitStack, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "localhost", "127.0.0.1")
    shop, stranger = authority.issue("shop", "shop.internal"), authority.issue("stranger", "stranger.internal")
    file = tmp_path / "t.toml"
    file.write_text('[principals.shop]\ncertificates = ["shop.internal"]\npublish = ["order.>"]\n')
    ca = str(tmp_path / "ca.pem")
    options = ("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", ca, "--config", str(file))
    up = await stack.enter_async_context(Up(*options, http=True))
    assert up.web.startswith("https://")

    def grpc_caller(pair: tuple[str, str]) -> Caller:
        own = (Path(pair[1]).read_bytes(), Path(pair[0]).read_bytes())
        channel = grpc.aio.secure_channel(up.address, grpc.ssl_channel_credentials(Path(ca).read_bytes(), *own))
        stack.push_async_callback(channel.close)
        return Caller(EventGatewayStub(channel), "")

    assert await grpc_caller(shop).code(*PUBLISH) == "OK"
    assert await grpc_caller(shop).code("Publish", wire.PublishRequest(topic="bank")) == "PERMISSION_DENIED"
    assert await grpc_caller(stranger).code(*PUBLISH) == "UNAUTHENTICATED"

    async def web(pair: tuple[str, str] | None, topic: str) -> int:
        context = ssl.create_default_context(cafile=ca)
        if pair:
            context.load_cert_chain(*pair)
        async with WebClient(up, verify=context) as client:
            return (await client.post("/v1/events", json={"topic": topic})).status_code

    assert await web(shop, "order.new") == 202
    assert await web(shop, "bank.new") == 403
    assert await web(stranger, "order.new") == 401
    with pytest.raises((httpx.TransportError, ssl.SSLError)):  # at whichever moment it learns of it
        await web(None, "order.new")

    async def serial() -> str:
        reader, writer = await asyncio.open_connection(*up.address.rsplit(":", 1), ssl=shop_context())
        shown = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
        writer.close()
        del reader
        return shown

    def shop_context() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(*shop)
        context.set_alpn_protocols(["h2"])
        return context

    before = await serial()
    authority.issue("server", "localhost", "127.0.0.1")  # the operator renews it
    async with asyncio.timeout(SECONDS):
        while await serial() == before:
            await asyncio.sleep(0.2)
    assert await web(shop, "order.new") == 202
    assert await grpc_caller(shop).code(*PUBLISH) == "OK"


async def test_the_authority_of_clients_changes_for_both_faces(stack: AsyncExitStack, tmp_path: Path) -> None:
    """Who has a certificate of the old one is turned away, also who was here before; nothing is restarted."""
    folders = [tmp_path / name for name in ("ours", "old", "new")]
    for folder in folders:
        folder.mkdir()
    ours, *others = map(Authority, folders)
    cert, key = ours.issue("server", "localhost", "127.0.0.1")
    old, new = (each.issue("shop", "shop.internal") for each in others)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes((folders[1] / "ca.pem").read_bytes())
    options = ("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", str(trusted))
    up = await stack.enter_async_context(Up(*options, http=True))
    root = (folders[0] / "ca.pem").read_bytes()
    contexts: dict[tuple[str, str], ssl.SSLContext] = {}

    async def web(pair: tuple[str, str]) -> bool:
        if pair not in contexts:
            contexts[pair] = ssl.create_default_context(cadata=root.decode())
            contexts[pair].load_cert_chain(*pair)
        async with WebClient(up, verify=contexts[pair]) as client:
            try:
                return (await client.post("/v1/events", json={"topic": "order.new"})).status_code == 202
            except (httpx.TransportError, ssl.SSLError):
                return False

    def shown(pair: tuple[str, str]) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(root, Path(pair[1]).read_bytes(), Path(pair[0]).read_bytes())

    async def rpc(pair: tuple[str, str]) -> bool:
        async with grpc.aio.secure_channel(up.address, shown(pair)) as channel:
            return await Caller(EventGatewayStub(channel), "").code(*PUBLISH) == "OK"

    assert [await web(old), await rpc(old), await web(new), await rpc(new)] == [True, True, False, False]
    trusted.write_text("this is no certificate")
    async with asyncio.timeout(SECONDS):
        while "cannot be used for TLS" not in up.text:
            await asyncio.sleep(0.2)
    assert [await web(old), await rpc(old)] == [True, True]
    trusted.write_bytes((folders[2] / "ca.pem").read_bytes())
    async with asyncio.timeout(SECONDS):
        while not await web(new):
            await asyncio.sleep(0.2)
    assert [await web(old), await rpc(old), await web(new), await rpc(new)] == [False, False, True, True]
