"""A program with nothing but stubs generated from `proto/tieline/v1/gateway.proto`; any language with gRPC can do this.

tieline up --redis-url redis://localhost
TIELINE_GATEWAY=127.0.0.1:50051 python examples/grpc_client.py
"""

import json
import os

import grpc

from tieline._contract.gateway_pb2 import PublishAndWaitRequest, PublishRequest
from tieline._contract.gateway_pb2_grpc import EventGatewayStub

JSON = "application/json"


def main() -> None:
    """Publish and call with JSON payloads; the call's own deadline is the timeout."""
    with grpc.insecure_channel(os.environ.get("TIELINE_GATEWAY", "127.0.0.1:50051")) as channel:
        stub = EventGatewayStub(channel)

        request = PublishAndWaitRequest(topic="calculate.sum", data=json.dumps([1, 2, 3]).encode(), content_type=JSON)
        reply = stub.PublishAndWait(request, timeout=5)
        print(f"calculate.sum: {json.loads(reply.data)}")

        stub.Publish(PublishRequest(topic="user.created", data=json.dumps({"id": 456}).encode(), content_type=JSON))

        try:
            stub.PublishAndWait(PublishAndWaitRequest(topic="nobody.home"), timeout=5)
        except grpc.RpcError as error:
            print(f"nobody.home: {error.code().name}")


if __name__ == "__main__":
    main()
