"""The settings document as JSON Schema, for editors that complete and check what is written (draft 7: VS Code's).

It is made of the table of settings (`document_table`) and refuses nothing that the gateway takes. What it cannot say
(a route that does not compile, members that contradict each other) `gateway check` says.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, assert_never

from gateway.app.document_rows import (
    Anything,
    Choice,
    Either,
    Elsewhere,
    Entries,
    Items,
    Number,
    Row,
    Section,
    Shape,
    Switch,
    Text,
    Whole,
)
from gateway.app.document_table import ROWS

DRAFT: Final = "http://json-schema.org/draft-07/schema#"

Schema = dict[str, Any]

_TWINS_OWN: Final = r"^\$"
"""$version and $metadata, which a twin has in every object."""


def settings_schema() -> Schema:
    """Of the document as it stands in a file, or in the desired properties of the module's twin."""
    head = {
        "$schema": DRAFT,
        "title": "Settings of the gateway",
        "description": "What the gateway's module twin says under properties.desired, or its settings file.",
    }
    return head | _section(ROWS)


def deployment_schema(module: str = "gateway") -> Schema:
    """Of a deployment, or its template, standard or layered, as far as the settings of `module` go.

    All else of it is IoT Edge's, and any value will do here.
    """
    desired = _section(ROWS)
    settings = {
        "properties": {"properties.desired": {"$ref": "#/definitions/settings"}},
        "patternProperties": _flattened(desired),
    }
    content = {"properties": {"modulesContent": {"properties": {module: settings}}}}
    head = {"$schema": DRAFT, "title": "Settings of the gateway in a deployment of IoT Edge"}
    return (
        head
        | content
        | {"properties": content["properties"] | {"content": content}, "definitions": {"settings": desired}}
    )


def _flattened(desired: Schema) -> Schema:
    """Members under keys as `properties.desired.routes.alerts`, as a layered deployment writes them."""
    found: Schema = {}
    for name, member in desired["properties"].items():
        place = f"#/definitions/settings/properties/{name}"
        found[rf"^properties\.desired\.{name}$"] = {"$ref": place}
        for key in member.get("properties", {}):
            found[rf"^properties\.desired\.{name}\.{key}$"] = {"$ref": f"{place}/properties/{key}"}
        if member.get("additionalProperties"):
            entry = {"$ref": f"{place}/additionalProperties"}
            found[rf"^properties\.desired\.{name}\.[^.$# \t]+$"] = entry
    return found


def shape_of(shape: Elsewhere) -> Shape:
    """The shape that stands elsewhere."""
    found: Shape = getattr(import_module(shape.module), shape.name)
    return found


def _schema(shape: Shape) -> Schema:
    """What is written; null, which removes a member of a twin, is added by whoever has the member."""
    match shape:
        case Section():
            return _section(shape.rows)
        case Entries():
            return _entries(shape)
        case Items():
            items = {"type": "array", "items": _or_null(_schema(shape.shape))}
            return items | _given(minItems=shape.least, maxItems=shape.most)
        case Either():
            return {"anyOf": [_schema(one) for one in shape.shapes]}
        case Elsewhere():
            return _schema(shape_of(shape))
        case _:
            return _scalar(shape)


def _scalar(shape: Text | Whole | Number | Switch | Choice | Anything) -> Schema:
    match shape:
        case Text():
            return {"type": "string"} | _given(pattern=_whole(shape.pattern), examples=list(shape.examples))
        case Whole():
            return {"type": "integer", "minimum": shape.least, "maximum": shape.most}
        case Number():
            lower = "exclusiveMinimum" if shape.above else "minimum"
            return {"type": "number", lower: shape.least, "maximum": shape.most}
        case Switch():
            return {"type": "boolean"}
        case Choice():
            return {"enum": list(shape.words)}
        case Anything():
            return {}
    assert_never(shape)


def _section(rows: Sequence[Row]) -> Schema:
    properties = {row.name: _member(row) for row in rows}
    found = {"type": "object", "properties": properties, "patternProperties": {_TWINS_OWN: {}}}
    required = [row.name for row in rows if row.required]
    return found | {"additionalProperties": False} | _given(required=required)


def _entries(shape: Entries) -> Schema:
    found: Schema = {"type": "object", "patternProperties": {_TWINS_OWN: {}}}
    found["additionalProperties"] = _or_null(_schema(shape.shape))
    # The twin's own members are no entries: of their number and names nothing can be said where they may stand.
    names = {"anyOf": [{"pattern": _TWINS_OWN}, {"pattern": _whole(shape.names)}]} if shape.names else None
    return found | _given(propertyNames=names, minProperties=shape.least)


def _member(row: Row) -> Schema:
    schema = _schema(row.shape)
    described: Schema = {"description": f"{row.help} ({row.unit})" if row.unit else row.help}
    if row.default is not None:
        described["default"] = row.default
    return described | (schema if row.required else _or_null(schema))


def _or_null(schema: Schema) -> Schema:
    if not schema:
        return schema
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], None]}
    if "anyOf" in schema:
        return schema | {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    if isinstance(schema.get("type"), str):
        return schema | {"type": [schema["type"], "null"]}
    return schema


def _whole(pattern: str | None) -> str | None:
    return None if pattern is None else f"^(?:{pattern})$"


def _given(**members: Any) -> Schema:
    """Those that say something."""
    return {name: value for name, value in members.items() if value not in (None, [], 0)}
