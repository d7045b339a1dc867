"""The Tieline gateway: gRPC and HTTP faces over the Python client."""
