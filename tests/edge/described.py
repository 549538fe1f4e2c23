"""What docs/asyncapi.yaml says of frames, as validators: by message, and by the `type` of what the server sends."""

from typing import Any, Final

import jsonschema_rs
import yaml

from docs.asyncapi import ASYNCAPI, SERVER

DOCUMENT: Final[dict[str, Any]] = yaml.safe_load(ASYNCAPI.read_text(encoding="utf-8"))
SCHEMAS: Final[dict[str, Any]] = {
    name: {"components": {"schemas": DOCUMENT["components"]["schemas"]}, **message["payload"]}
    for name, message in DOCUMENT["components"]["messages"].items()
}
VALIDATORS: Final = {
    name: jsonschema_rs.Draft7Validator(schema, validate_formats=True) for name, schema in SCHEMAS.items()
}


def check_sent(frame: dict[str, Any]) -> None:
    """Raise AssertionError unless `frame`, which the server sent, is as described."""
    assert frame["type"] in SERVER, f"{frame['type']} is not described"
    faults = [error.message for error in VALIDATORS[frame["type"]].iter_errors(frame)]
    assert not faults, (frame, faults)
