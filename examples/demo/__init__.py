"""The demo: services in two languages and a gRPC program talk, over a gateway and over a real server."""
