import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.message import UPSTREAM, Delivery, Message
from gateway.app.document import (
    GatewaySettings,
    Reading,
    read_settings,
)
from gateway.app.document_table import DEFAULT_MAX_BYTES, DEFAULT_TIME_TO_LIVE_S
from gateway.routing.compile import RouteSpec
from gateway.store.values import WhenFull

ALL = "FROM /messages/* INTO $upstream"
ROUTES = {"all": ALL}


def settings(document: Any, module: str | None = None) -> GatewaySettings:
    reading = read_settings(document, module=module)
    assert reading.settings is not None, [problem.rendered() for problem in reading.problems]
    assert reading.table is not None
    return reading.settings


def told(reading: Reading) -> list[tuple[str, str]]:
    return [(problem.path, f"{problem.message} | {problem.fix}") for problem in reading.problems]


def test_a_whole_document() -> None:
    document = {
        "$version": 7,
        "$metadata": {},
        "schemaVersion": "1.0",
        "routes": {
            "alerts": {"route": ALL, "priority": 0, "timeToLiveSecs": 86400},
            "plain": ALL,
            "removed": None,
        },
        "storeAndForward": {"timeToLiveSecs": 600, "maxBytes": 10_000_000, "whenFull": "dropOldest"},
        "tests": [{"name": "t", "message": {"body": {}}, "expect": ["$upstream"], "routes": ["alerts", "plain"]}],
    }
    found = settings(document)
    assert found.routes == {
        "alerts": RouteSpec(text=ALL, priority=0, time_to_live_s=86400),
        "plain": RouteSpec(text=ALL),
    }
    assert (found.default_time_to_live_s, found.max_bytes, found.when_full) == (600, 10_000_000, WhenFull.DROP_OLDEST)
    assert (found.schema_version, found.version) == ("1.0", 7)
    (case,) = found.tests
    assert case.name == "t"
    assert case.endpoints == {"$upstream"}
    assert case.routes == frozenset({"alerts", "plain"})


def test_what_is_left_out_has_its_default() -> None:
    assert settings({"routes": ROUTES}) == GatewaySettings(routes={"all": RouteSpec(text=ALL)})
    assert (DEFAULT_TIME_TO_LIVE_S, DEFAULT_MAX_BYTES) == (7200, 1 << 30)


def test_the_table_uses_the_time_to_live_of_the_document() -> None:
    reading = read_settings({"routes": ROUTES, "storeAndForward": {"timeToLiveSecs": 60}})
    assert reading.table is not None
    test = {"message": {"body": {}}, "expect": []}
    message = settings({"routes": ROUTES, "tests": [test]}).tests[0].message
    assert isinstance(message, Message)
    assert reading.table.match(message).deliveries == (Delivery(UPSTREAM, time_to_live_s=60),)


def test_a_negative_time_is_no_limit_and_whole_floats_are_numbers() -> None:
    assert settings({"routes": ROUTES, "storeAndForward": {"timeToLiveSecs": -1}}).default_time_to_live_s is None
    route = {"route": ALL, "priority": 3.0}
    assert settings({"routes": {"r": route}}).routes["r"].priority == 3


def test_edgehubs_own_form_of_the_store_is_read() -> None:
    given = {"timeToLiveSecs": 60, "storeLimits": {"maxSizeBytes": 5_000_000}}
    found = settings({"schemaVersion": "1.1", "routes": ROUTES, "storeAndForwardConfiguration": given})
    assert (found.default_time_to_live_s, found.max_bytes) == (60, 5_000_000)


WRAPPED = [
    {"routes": ROUTES},
    {"desired": {"routes": ROUTES}, "reported": {}},
    {"properties": {"desired": {"routes": ROUTES}, "reported": {}}, "deviceId": "d"},
    {"properties.desired": {"routes": ROUTES}},
    {"properties.desired.routes": ROUTES},
    {"properties.desired.routes.all": ALL},
    {"modulesContent": {"gateway": {"properties.desired": {"routes": ROUTES}}, "$edgeAgent": {}}},
    {"content": {"modulesContent": {"gateway": {"properties.desired": {"routes": ROUTES}}}}, "id": "x"},
    {"content": {"modulesContent": {"gateway": {"properties.desired.routes.all": ALL}}}},
]


@pytest.mark.parametrize("document", WRAPPED, ids=", ".join)
def test_every_way_to_wrap_a_document(document: Any) -> None:
    assert settings(document).routes == {"all": RouteSpec(text=ALL)}


HUB = {"schemaVersion": "1.1", "routes": ROUTES, "storeAndForwardConfiguration": {"timeToLiveSecs": 60}}


def deployment(**modules: Any) -> dict[str, Any]:
    return {"modulesContent": {name: {"properties.desired": desired} for name, desired in modules.items()}}


def test_in_a_deployment_the_only_module_with_routes_is_meant_or_the_named_one() -> None:
    both = deployment(a={"routes": ROUTES}, b={"routes": {"b": ALL}}, c={"other": 1})
    assert list(settings(both, "b").routes) == ["b"]
    assert "--module a" in told(read_settings(both))[0][1]
    assert "did you mean 'a'?" in told(read_settings(both, module="A"))[0][1]
    assert "no module in this deployment has routes" in told(read_settings(deployment(c={"x": 1})))[0][1]
    assert read_settings(deployment(a={"routes": ROUTES})).module == "a"


def test_edgehubs_routes_are_checked_too() -> None:
    bad = {**HUB, "routes": {"x": "FROM messages INTO $upstream"}}
    reading = read_settings(
        {"modulesContent": {**deployment(a={"routes": ROUTES}, **{"$edgeHub": bad})["modulesContent"]}}
    )
    assert reading.settings is None
    assert told(reading)[0][0] == "modulesContent.$edgeHub.properties.desired.routes.x"
    assert read_settings(deployment(**{"$edgeHub": HUB})).module == "$edgeHub"
    assert settings(deployment(a={"routes": {}}, **{"$edgeHub": HUB}), "$edgeHub").routes


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"schemaVersion": "2.0"}, "schemaVersion", "is not known"),
        ({"schemaVersion": None}, "schemaVersion", "missing"),
        ({"storeAndForwardConfiguration": None}, "storeAndForwardConfiguration", "missing"),
        ({"routes": {"x": ""}}, "routes.x", "the route is empty"),
        ({"schemaVersion": "1.0", "routes": {"x": {"route": ALL}}}, "routes.x", "need schemaVersion 1.1"),
        ({"storeAndForward": {}}, "storeAndForward", "no setting 'storeAndForward'"),
        ({"tests": []}, "tests", "no setting 'tests'"),
    ],
)
def test_the_rules_of_edgehubs_schema(change: dict[str, Any], path: str, words: str) -> None:
    desired = {key: value for key, value in {**HUB, **change}.items() if value is not None}
    found = told(read_settings(deployment(**{"$edgeHub": desired})))
    assert any(place.endswith("." + path) and words in text for place, text in found), found


def test_edgehub_1_0_passes_over_empty_routes_and_1_3_has_more_keys() -> None:
    oldest = {**HUB, "schemaVersion": "1.0", "routes": {"x": "", "y": ALL}}
    assert list(settings(deployment(**{"$edgeHub": oldest})).routes) == ["y"]
    newest = {**HUB, "schemaVersion": "1.3.0", "mqttBroker": {}, "integrity": {}}
    assert settings(deployment(**{"$edgeHub": newest})).schema_version == "1.3"


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        (5, "", "must be a JSON object"),
        ({"modulesContent": 5}, "modulesContent", "must be an object"),
        ({"routs": {}}, "routs", "did you mean 'routes'?"),
        ({"elsewhere": {}}, "elsewhere", "known here: schemaVersion, routes"),
        ({"topics": {}}, "topics", "must be a list"),
        ({"topisc": []}, "topisc", "did you mean 'topics'?"),
        ({"routes": {"r": {"route": ALL, "sned": {}}}}, "routes.r.sned", "did you mean 'send'?"),
        ({"schemaVersion": 1}, "schemaVersion", "as text"),
        ({"routes": []}, "routes", "must be an object"),
        ({"routes": {"a b": ALL}}, "routes.a b", "rename it"),
        ({"routes": {"a.b": ALL}}, "routes.a.b", "may not hold a dot"),
        ({"routes": {"r": 5}}, "routes.r", "a route is text, or an object"),
        ({"routes": {"r": " "}}, "routes.r", "the route is empty"),
        ({"routes": {"r": {}}}, "routes.r.route", "is missing"),
        ({"routes": {"r": {"route": 5}}}, "routes.r.route", "is missing"),
        ({"routes": {"r": {"route": ALL, "prio": 1}}}, "routes.r.prio", "no setting 'prio'"),
        ({"routes": {"r": {"route": ALL, "priority": 10}}}, "routes.r.priority", "from 0 to 9"),
        ({"routes": {"r": {"route": ALL, "priority": -1}}}, "routes.r.priority", "most urgent"),
        ({"routes": {"r": {"route": ALL, "priority": "1"}}}, "routes.r.priority", "no whole number"),
        ({"routes": {"r": {"route": ALL, "priority": True}}}, "routes.r.priority", "no whole number"),
        ({"routes": {"r": {"route": ALL, "priority": 1.5}}}, "routes.r.priority", "no whole number"),
        ({"routes": {"r": {"route": ALL, "timeToLiveSecs": -1}}}, "routes.r.timeToLiveSecs", "no whole number"),
        ({"routes": {"r": "FROM /messages/*"}}, "routes.r", "the route has no INTO"),
        ({"storeAndForward": 5}, "storeAndForward", "must be an object"),
        ({"storeAndForward": {"ttl": 5}}, "storeAndForward.ttl", "known here: timeToLiveSecs"),
        ({"storeAndForward": {"timeToLiveSecs": 0}}, "storeAndForward.timeToLiveSecs", "before it is sent"),
        ({"storeAndForward": {"timeToLiveSecs": "1h"}}, "storeAndForward.timeToLiveSecs", "write seconds"),
        ({"storeAndForward": {"maxBytes": 1000}}, "storeAndForward.maxBytes", "write bytes"),
        ({"storeAndForward": {"whenFull": "drop-oldest"}}, "storeAndForward.whenFull", "did you mean 'dropOldest'?"),
        ({"storeAndForward": {"whenFull": 5}}, "storeAndForward.whenFull", '"refuse" or "dropOldest"'),
        ({"storeAndForward": {}, "storeAndForwardConfiguration": {}}, "storeAndForwardConfiguration", "keep one"),
        ({"tests": {}}, "tests", "must be a list"),
        ({"tests": [5]}, "tests[0]", "a case is an object"),
        ({"tests": [{"message": {}, "expect": "$upstream"}]}, "tests[0].expect", "list of endpoints"),
        ({"tests": [{"message": {}, "expect": ["cloud"]}]}, "tests[0].expect", "'cloud' is no endpoint"),
        ({"tests": [{"message": {}, "expect": [5]}]}, "tests[0].expect", "5 is no endpoint"),
        ({"tests": [{"message": {"bdy": 1}, "expect": []}]}, "tests[0].message", "did you mean 'body'?"),
        ({"tests": [{"message": {}, "expect": [], "name": 5}]}, "tests[0].name", "is text"),
        ({"tests": [{"message": {}, "expect": [], "routes": ["al"]}]}, "tests[0].routes", "no route 'al'"),
        ({"tests": [{"message": {}, "expect": [], "routes": "all"}]}, "tests[0].routes", "list of route names"),
        ({"tests": [{"message": {}, "expects": []}]}, "tests[0].expects", "did you mean 'expect'?"),
    ],
)
def test_each_mistake_is_told_with_its_place_and_its_repair(document: Any, path: str, words: str) -> None:
    reading = read_settings(document)
    assert reading.settings is None
    assert reading.table is None
    assert any(place == path and words in text for place, text in told(reading)), told(reading)
    for problem in reading.problems:
        assert problem.message in problem.rendered()


def test_all_problems_are_told_at_once() -> None:
    document = {"routs": {}, "routes": {"a": {"route": "FROM", "priority": 12}, "b": ""}, "storeAndForward": 5}
    assert len(read_settings(document).problems) == 5


def test_warnings_do_not_keep_settings_from_being_used() -> None:
    reading = read_settings({"routes": {"r": "FROM /messages/* WHERE $body.x > 5 INTO $upstream"}})
    assert reading.settings is not None
    assert "is_number($body.x)" in reading.warnings[0].rendered()
    (none,) = read_settings({}).warnings
    assert "acknowledged and dropped" in none.rendered()


KEYS = [
    "routes",
    "route",
    "priority",
    "timeToLiveSecs",
    "storeAndForward",
    "tests",
    "message",
    "body",
    "expect",
    "modulesContent",
    "content",
    "properties",
    "desired",
    "properties.desired",
    "properties.desired.routes.x",
    "$edgeHub",
    "gateway",
    "schemaVersion",
    "storeAndForwardConfiguration",
    "storeLimits",
    "x",
]
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)


@given(st.recursive(scalars, nested, max_leaves=15))
def test_any_json_is_settings_or_has_problems(document: Any) -> None:
    reading = read_settings(json.loads(json.dumps(document)))
    assert (reading.settings is None) == bool(reading.problems) == (reading.table is None)


def test_what_boards_are_told_is_taken_as_it_stands() -> None:
    reading = read_settings({"routes": ROUTES, "boards": {"settings": {"interval": 60, "led": {"invert": True}}}})
    assert reading.settings is not None
    assert reading.settings.board_settings == {"interval": 60, "led": {"invert": True}}
    empties: tuple[dict[str, Any], ...] = ({}, {"boards": None}, {"boards": {}}, {"boards": {"settings": None}})
    for empty in empties:
        reading = read_settings({"routes": ROUTES, **empty})
        assert reading.settings is not None
        assert reading.settings.board_settings == {}


@pytest.mark.parametrize(
    ("boards", "path", "words"),
    [
        ([], "boards", "must be an object"),
        ({"setting": {}}, "boards.setting", "did you mean 'settings'?"),
        ({"settings": 5}, "boards.settings", "must be an object"),
        ({"settings": {"text": "x" * 310}}, "boards.settings", "321 bytes; boards take 320"),
    ],
)
def test_what_boards_cannot_take_is_a_problem(boards: Any, path: str, words: str) -> None:
    ((found, said),) = told(read_settings({"routes": ROUTES, "boards": boards}))
    assert found == path
    assert words in said
