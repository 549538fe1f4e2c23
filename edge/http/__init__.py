"""The HTTP API: strict requests in, bytes out, documented by OpenAPI."""

from fanbell.edge.http.app import create_app

__all__ = ["create_app"]
