"""Any record of any class, for Hypothesis: made from its schema."""

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from fanbell.schemas.codec import AVRO_DIR, schema_json
from fanbell.schemas.records import RECORDS

CLASSES = {cls.__name__: cls for cls in RECORDS}

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "string": _TEXT,
    "bytes": st.binary(max_size=40),
}


def of_schema(node: Any) -> st.SearchStrategy[Any]:
    """Values of the Avro schema `node`, records as our classes."""
    if isinstance(node, list):
        return st.one_of([of_schema(branch) for branch in node])
    if isinstance(node, str):
        return (
            of_schema(schema_json(node.removeprefix("fanbell.")))
            if node.startswith("fanbell.")
            else _PLAIN[node]
        )
    if node["type"] == "record":
        return st.builds(
            CLASSES[node["name"]], **{field["name"]: of_schema(field["type"]) for field in node["fields"]}
        )
    if node["type"] == "array":
        return st.lists(of_schema(node["items"]), max_size=3)
    if node["type"] == "enum":
        return st.sampled_from(node["symbols"])
    return of_schema(node["type"])


def of_class(cls: type[Struct]) -> st.SearchStrategy[Any]:
    return of_schema(schema_json(cls.__name__, AVRO_DIR))


any_record = st.one_of([of_class(cls) for cls in RECORDS])
