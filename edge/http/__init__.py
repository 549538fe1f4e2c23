"""The HTTP API: strict requests in, bytes out, documented by OpenAPI; `app.create_app` makes it."""
