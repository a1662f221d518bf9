"""The JSON Schema of the settings, beside the reader: the schema refuses nothing that the reader takes."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from gateway.app.document import read_settings
from gateway.app.document_rows import Elsewhere
from gateway.app.document_schema import deployment_schema, settings_schema, shape_of
from project_sources import ROOT

SETTINGS = jsonschema.Draft7Validator(settings_schema())
DEPLOYMENT = jsonschema.Draft7Validator(deployment_schema())

EXAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs/examples").glob("*.json"))}
DOCUMENTS: dict[str, Any] = {
    **{name: EXAMPLES[name] for name in ("routes", "sending", "site", "topics")},
    "all of it": {
        "schemaVersion": "1.1",
        "$version": 7,
        "routes": {
            "$version": 3,
            "sampled": {"route": "FROM /messages/* INTO $upstream", "priority": 3, "send": {"sample": {"share": 0.5}}},
            "nth": {"route": "FROM /messages/* INTO $upstream", "send": {"sample": {"everyNth": 10}}},
            "calm": {
                "route": 'FROM /messages/* INTO Endpoint("archive")',
                "timeToLiveSecs": 60,
                "send": {"onChangeOf": "$body.t", "deadBand": {"percent": 2}, "atMostEverySecs": 1},
            },
            "logged": {
                "route": 'FROM /messages/* INTO Endpoint("log")',
                "send": {
                    "batch": {"maxMessages": 9, "maxBytes": 99, "maxAgeSecs": 5, "format": "ndjson", "items": "bodies"}
                },
            },
            "removed": None,
        },
        "storeAndForwardConfiguration": {"timeToLiveSecs": -1, "storeLimits": {"maxSizeBytes": 2_000_000}},
        "boards": {"settings": {"interval": 60, "pins": {"led": 2}}},
        "endpoints": {
            "archive": {"type": "eventhub", "eventHub": "telemetry", "transport": "websocket", "host": "10.1.2.3:5671"},
            "log": {
                "type": "kafka",
                "servers": ["kafka.example:9093"],
                "topic": "t",
                "login": "none",
                "caFile": "ca.pem",
            },
        },
        "topics": [{"listener": "broker", "match": "a/+b/#", "device": "{b}", "contentType": "text/plain"}],
        "topicDevices": {"create": True, "atMost": 5, "withCredentials": False},
    },
}
JUNK: tuple[Any, ...] = (None, "", "zzz", 0, -1, 1, 1.5, 7.0, 10**12, True, [], ["zzz"], {}, {"zzz": 1})


def problems(document: Any) -> list[str]:
    return [problem.rendered() for problem in read_settings(document).problems]


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with each of its keys or indices."""
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from places(document[key])


def with_junk(document: Any) -> Iterator[tuple[str, Any]]:
    """The document with one value replaced at a time."""
    for number, _ in enumerate(places(document)):
        for junk in JUNK:
            changed = copy.deepcopy(document)
            container, key = list(places(changed))[number]
            container[key] = junk
            yield f"{key}: {junk!r}", changed


def with_another_member(document: Any) -> Iterator[tuple[str, Any]]:
    """The document with a member that no section has, in one object at a time."""
    objects = [document, *(c[k] for c, k in places(document) if isinstance(c[k], dict))]
    for number in range(len(objects)):
        changed = copy.deepcopy(document)
        found = [changed, *(c[k] for c, k in places(changed) if isinstance(c[k], dict))][number]
        found["zzzMember"] = "zzz"
        yield f"object {number}", changed


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_good_is_good_for_both(name: str) -> None:
    assert problems(DOCUMENTS[name]) == []
    assert [error.message for error in SETTINGS.iter_errors(DOCUMENTS[name])] == []


@pytest.mark.timeout(600)  # thousands of documents, read twice: minutes where others use the core, too
@pytest.mark.parametrize("name", ["all of it", "site"])
def test_the_schema_refuses_nothing_that_the_reader_takes(name: str) -> None:
    refused = 0
    for what, changed in with_junk(DOCUMENTS[name]):
        if not SETTINGS.is_valid(changed):
            refused += 1
            assert problems(changed), what
    assert refused > 300


@pytest.mark.parametrize("name", ["all of it", "site", "topics"])
def test_a_member_that_no_section_has_is_refused_by_both_or_by_none(name: str) -> None:
    refused = 0
    for what, changed in with_another_member(DOCUMENTS[name]):
        by_schema, by_reader = not SETTINGS.is_valid(changed), bool(problems(changed))
        refused += by_schema
        assert by_schema <= by_reader, what
    assert refused >= 4


@pytest.mark.parametrize(
    ("change", "of"),
    [
        ({"routes": {"a": {"route": "FROM /messages/* INTO $upstream", "priority": 10}}}, "priority"),
        ({"routes": {"a": {"route": "FROM /messages/* INTO $upstream", "prio": 1}}}, "an unknown key"),
        ({"routes": {"a.b": "FROM /messages/* INTO $upstream"}}, "a route's name"),
        ({"routes": {"a": " "}}, "an empty route"),
        ({"schemaVersion": "2.0"}, "a version"),
        ({"storeAndForward": {"maxBytes": 1}}, "too small a store"),
        ({"storeAndForward": {"whenFull": "panic"}}, "a policy"),
        ({"topics": [{"device": "a"}]}, "a missing match"),
        ({"topicDevices": {"create": "yes"}}, "a switch"),
        ({"endpoints": {"a": {"type": "kafka", "topic": "t", "servers": ["no port"]}}}, "a broker"),
        ({"endpoints": {"a": {"type": "eventhub", "servers": []}}}, "another type's member"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_an_editor_should_underline(change: dict[str, Any], of: str) -> None:
    assert problems(change), of
    assert not SETTINGS.is_valid(change), of


def test_it_is_a_schema_that_says_what_each_member_is() -> None:
    jsonschema.Draft7Validator.check_schema(settings_schema())
    jsonschema.Draft7Validator.check_schema(deployment_schema())

    def members(schema: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(schema, dict):
            if "type" in schema:
                yield from schema.get("properties", {}).items()
            for value in schema.values():
                yield from members(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from members(value)

    found = list(members(settings_schema()))
    assert len(found) > 60
    assert [name for name, schema in found if not schema.get("description")] == []


def test_the_template_is_checked_where_the_gateways_settings_stand() -> None:
    template = json.loads((ROOT / "deployment.template.json").read_text())
    assert DEPLOYMENT.is_valid(template)
    settings = template["modulesContent"]["gateway"]["properties.desired"]
    settings["routes"]["alerts"]["priority"] = "urgent"
    (error,) = DEPLOYMENT.iter_errors(template)
    assert "alerts" in error.json_path


def test_a_layered_deployment_is_checked_by_its_flattened_keys() -> None:
    def layer(**members: Any) -> Any:
        return {"content": {"modulesContent": {"gateway": members}}}

    good = {"properties.desired.routes.alerts": "FROM /messages/* INTO $upstream", "properties.desired.topics": []}
    assert DEPLOYMENT.is_valid(layer(**good))
    assert DEPLOYMENT.is_valid({"modulesContent": {"gateway": good}})
    for key, value in {
        "properties.desired.routes.alerts": {"rout": 1},
        "properties.desired.storeAndForward.maxBytes": "much",
        "properties.desired.endpoints.archive": {"type": "file"},
    }.items():
        assert not DEPLOYMENT.is_valid(layer(**{key: value})), key


def test_another_module_name_is_another_place() -> None:
    validator = jsonschema.Draft7Validator(deployment_schema("edge"))
    assert validator.is_valid({"modulesContent": {"gateway": {"properties.desired": {"routes": 1}}}})
    assert not validator.is_valid({"modulesContent": {"edge": {"properties.desired": {"routes": 1}}}})


def test_what_stands_elsewhere_is_there() -> None:
    shape = shape_of(Elsewhere("gateway.app.document_topics", "DEVICES_SHAPE"))
    assert "atMost" in [row.name for row in shape.rows]  # type: ignore[union-attr]  # it is a section: asserted by this
