"""grpcio's own server, which answers `PublishAndWait` with what it was sent: what gRPC costs by itself."""

from __future__ import annotations

from typing import Any

import grpc.aio

from bench.peers.load import play, serve_forever
from tieline._contract.gateway_pb2 import PublishAndWaitRequest, PublishAndWaitResponse
from tieline._contract.gateway_pb2_grpc import EventGatewayServicer, add_EventGatewayServicer_to_server


class Echo(EventGatewayServicer):
    """One unary method."""

    async def PublishAndWait(  # noqa: N802 - the name in the .proto file
        self, request: PublishAndWaitRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> PublishAndWaitResponse:
        """Echo."""
        return PublishAndWaitResponse(data=request.data)


async def serve(url: str) -> None:
    """Echo until killed."""
    server = grpc.aio.server()
    add_EventGatewayServicer_to_server(Echo(), server)
    server.add_insecure_port(url.removeprefix("grpc://"))
    await server.start()
    await serve_forever()


if __name__ == "__main__":
    play(serve=serve)
