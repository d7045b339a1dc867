"""Who is let in, and what the gateway refuses to do without protection."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.gateway.certificates import PEM
from tests.gateway.up import TOKEN, Up
from tieline import EventSystem
from tieline._contract import gateway_pb2 as wire
from tieline._contract.gateway_pb2_grpc import EventGatewayStub
from tieline.errors import InvalidArgumentError, PermissionDeniedError, UnauthenticatedError, UnavailableError

TLS = ("--tls-cert", str(PEM / "server.pem"), "--tls-key", str(PEM / "server.key"))
CA = f"?ca={PEM / 'authority.pem'}"


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    """A file with the token."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return str(path)


def secure(up: Up, *, certificate: bool = False) -> grpc.aio.Channel:
    """A channel that trusts the test authority."""
    own = ((PEM / "client.key").read_bytes(), (PEM / "client.pem").read_bytes()) if certificate else (None, None)
    return grpc.aio.secure_channel(up.address, grpc.ssl_channel_credentials((PEM / "authority.pem").read_bytes(), *own))


async def status_of(call: Any) -> grpc.StatusCode:
    """How a call ended."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


# --- addresses that others can reach --------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0"])
@pytest.mark.parametrize("options", [(), TLS])
async def test_an_address_open_to_others_is_refused(listen: str, options: tuple[str, ...]) -> None:
    up = Up(*options, listen=listen)
    assert await up.refuses() == 2
    assert len(up.output) == 1
    assert "--tls-cert" in up.text
    assert "--token-file" in up.text


async def test_a_token_without_tls_is_not_enough(token_file: str) -> None:
    assert await Up("--token-file", token_file, listen="0.0.0.0:0").refuses() == 2


async def test_insecure_is_loud() -> None:
    async with Up("--insecure", listen="0.0.0.0:0") as up:
        assert "INSECURE" in up.text
        assert "0.0.0.0:0" not in up.listen


@pytest.mark.parametrize("listen", ["[::1]:0", "localhost:0", "127.3.2.1:0"])
async def test_loopback_needs_nothing(listen: str) -> None:
    async with Up(listen=listen) as up:
        assert "INSECURE" not in up.text


async def test_tls_and_a_token_open_any_address(stack: AsyncExitStack, token_file: str, topic: str) -> None:
    up = await stack.enter_async_context(Up(*TLS, "--token-file", token_file, listen="0.0.0.0:0"))
    address = f"127.0.0.1:{up.listen.rpartition(':')[2]}"
    events = await stack.enter_async_context(EventSystem(f"grpcs://:{TOKEN}@{address}{CA}", service="test"))
    await events.subscribe(topic, lambda data: data).ready()
    assert await events.publish_and_wait(topic, 1) == 1


async def refused(url: str) -> str:
    """Why a client cannot link."""
    with pytest.raises(UnavailableError) as caught:
        async with EventSystem(url, service="test"):
            pass
    return caught.value.message


async def test_what_is_wrong_with_tls_is_told_with_what_to_write_instead(stack: AsyncExitStack) -> None:
    tls = await stack.enter_async_context(Up(*TLS))
    plain = await stack.enter_async_context(Up(http=True))
    assert "use grpcs://" in await refused(f"grpc://{tls.address}")
    assert "use grpc://" in await refused(f"grpcs://{plain.address}{CA}")
    assert "?ca=FILE" in await refused(f"grpcs://{tls.address}")
    other = await stack.enter_async_context(
        Up("--tls-cert", str(PEM / "client.pem"), "--tls-key", str(PEM / "client.key"))
    )
    assert "its certificate is for other names" in await refused(f"grpcs://{other.address}{CA}")
    assert "a port for HTTP" in await refused(plain.web.replace("http://", "grpc://"))


async def test_an_option_of_the_address_that_nobody_knows_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match="'ca_file' is no option"):
        async with EventSystem("grpcs://127.0.0.1:1?ca_file=authority.pem", service="test"):
            pass


# --- who calls ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", f"Bearer {TOKEN[:-1]}"),),
        (("authorization", f"Basic {TOKEN}"),),
        (("authorization", f"Digest {TOKEN}"),),
        (("authorization", TOKEN),),
        (("authorization", "Bearer "),),
        (("x-token", TOKEN),),
    ],
)
async def test_without_the_token_nothing_works(
    stack: AsyncExitStack, token_file: str, metadata: tuple[tuple[str, str], ...]
) -> None:
    up = await stack.enter_async_context(Up(*TLS, "--token-file", token_file))
    stub: Any = EventGatewayStub(await stack.enter_async_context(secure(up)))
    unauthenticated = grpc.StatusCode.UNAUTHENTICATED
    assert await status_of(stub.Publish(wire.PublishRequest(topic="a"), metadata=metadata)) is unauthenticated
    waits = stub.PublishAndWait(wire.PublishAndWaitRequest(topic="a"), metadata=metadata)
    assert await status_of(waits) is unauthenticated
    subscribe = stub.Subscribe(wire.SubscribeRequest(topic="a"), metadata=metadata, timeout=5)
    assert await status_of(subscribe.read()) is unauthenticated
    assert await status_of(stub.Link(metadata=metadata, timeout=5).read()) is unauthenticated


async def test_with_the_token_it_works(stack: AsyncExitStack, token_file: str) -> None:
    up = await stack.enter_async_context(Up(*TLS, "--token-file", token_file))
    stub: Any = EventGatewayStub(await stack.enter_async_context(secure(up)))
    for scheme in ("Bearer", "bearer"):
        made = stub.Publish(wire.PublishRequest(topic="a"), metadata=(("authorization", f"{scheme} {TOKEN}"),))
        assert await status_of(made) is grpc.StatusCode.OK


@pytest.mark.parametrize("password", ["", ":wrong@"])
async def test_our_client_is_told_that_the_token_is_wrong(
    stack: AsyncExitStack, token_file: str, password: str
) -> None:
    up = await stack.enter_async_context(Up(*TLS, "--token-file", token_file))
    events = EventSystem(f"grpcs://{password}{up.address}{CA}", service="test")
    with pytest.raises(UnauthenticatedError, match="token"):
        await events.start()
    await events.aclose()


async def test_a_client_certificate_is_enough(stack: AsyncExitStack, topic: str) -> None:
    up = await stack.enter_async_context(Up(*TLS, "--tls-client-ca", str(PEM / "authority.pem"), listen="0.0.0.0:0"))
    up.listen = f"localhost:{up.listen.rpartition(':')[2]}"
    stranger: Any = EventGatewayStub(await stack.enter_async_context(secure(up)))
    made = stranger.Publish(wire.PublishRequest(topic="a"), timeout=5)
    assert await status_of(made) is grpc.StatusCode.UNAVAILABLE
    known = f"&cert={PEM / 'client.pem'}&key={PEM / 'client.key'}"
    events = await stack.enter_async_context(EventSystem(f"grpcs://{up.address}{CA}{known}", service="test"))
    await events.subscribe(topic, lambda data: data).ready()
    assert await events.publish_and_wait(topic, 1) == 1


async def test_a_server_that_cannot_be_trusted_is_not_trusted(stack: AsyncExitStack, token_file: str) -> None:
    up = await stack.enter_async_context(Up(*TLS, "--token-file", token_file))
    events = EventSystem(f"grpcs://:{TOKEN}@{up.address}", service="test")
    with pytest.raises(UnavailableError, match=up.address):
        await events.start()
    await events.aclose()


@pytest.mark.parametrize(
    "url",
    ["grpc://", "grpc://host:port", "grpc://h:1?ca=x", "grpcs://h:1?ca=/no/such/file", "grpcs://h:1?verify=0"],
)
def test_a_url_that_cannot_be_meant_is_told_at_once(url: str) -> None:
    with pytest.raises(InvalidArgumentError):
        EventSystem(url, service="test")


# --- health and reflection ------------------------------------------------------------------------------------------


async def test_health_needs_no_token(stack: AsyncExitStack, token_file: str) -> None:
    up = await stack.enter_async_context(Up(*TLS, "--token-file", token_file))
    health: Any = health_pb2_grpc.HealthStub(await stack.enter_async_context(secure(up)))
    for service in ("", "tieline.v1.EventGateway"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def _services(channel: grpc.aio.Channel) -> list[str]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]), timeout=5)
    return [service.name for service in (await call.read()).list_services_response.service]


async def _code_of_reflection(channel: grpc.aio.Channel) -> grpc.StatusCode:
    """Ask without a word: where a call ends before it is written to, gRPC hides the status behind its own."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    return await stub.ServerReflectionInfo(timeout=5).code()


async def test_reflection_is_for_this_machine_only(stack: AsyncExitStack) -> None:
    near = await stack.enter_async_context(Up())
    far = await stack.enter_async_context(Up("--insecure", listen="0.0.0.0:0"))
    channels = [await stack.enter_async_context(grpc.aio.insecure_channel(up.address)) for up in (near, far)]
    assert "tieline.v1.EventGateway" in await _services(channels[0])
    assert await _code_of_reflection(channels[1]) is grpc.StatusCode.UNIMPLEMENTED


async def test_a_link_that_is_not_permitted_names_its_gateway() -> None:
    """As a proxy before the gateway may say it."""

    async def refuse(frames: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")

    server = grpc.aio.server()
    link = {"Link": grpc.stream_stream_rpc_method_handler(refuse)}  # pyright: ignore[reportArgumentType]
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tieline.v1.EventGateway", link),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    events = EventSystem(f"grpc://127.0.0.1:{port}")
    with pytest.raises(
        PermissionDeniedError, match=f"the gateway at 127.0.0.1:{port} does not permit the link: not you"
    ):
        await events.start()
    await events.aclose()
    await server.stop(None)


async def test_who_connects_and_says_nothing_is_sent_away(stack: AsyncExitStack) -> None:
    """With and without TLS; half a preface is nothing, too."""
    ups = [await stack.enter_async_context(Up(*options)) for options in ((), TLS)]
    silent = [await asyncio.open_connection(*up.address.rsplit(":", 1)) for up in ups for _ in range(2)]
    for _, writer in silent[::2]:
        writer.write(b"PRI * HTTP/2.0\r\n")
    async with asyncio.timeout(60):
        for reader, writer in silent:
            with contextlib.suppress(ConnectionError):
                while await reader.read(1_000):
                    pass
            writer.close()
