from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standin.query import MAX_QUERY_CHARS, MAX_QUERY_DEPTH, QueryError, Source, parse_condition, parse_query

ONE = {
    "deviceId": "one",
    "status": "enabled",
    "connectionState": "Connected",
    "version": 3,
    "tags": {"site": {"floor": 2, "name": "it's"}, "on": True, "odd-name": 1},
    "properties": {"desired": {"limit": 10.5, "nothing": None}, "reported": {"list": [1, "b"], "$version": 7}},
    "capabilities": {"iotEdge": True},
    "configurations": {"con-1": {"status": "Applied"}},
}
TWO = {
    "deviceId": "two",
    "status": "disabled",
    "connectionState": "Disconnected",
    "version": 5,
    "tags": {"site": {"floor": 3, "name": "Hall"}, "on": False},
    "properties": {"desired": {"limit": "ten"}, "reported": {}},
    "capabilities": {"iotEdge": False},
}
BARE = {
    "deviceId": "bare",
    "status": "enabled",
    "version": 1,
    "tags": {},
    "properties": {"desired": {}, "reported": {}},
}
TWINS: list[dict[str, Any]] = [ONE, TWO, BARE]


def ids(condition: str) -> list[str]:
    return [row["deviceId"] for row in parse_query(f"SELECT deviceId FROM devices WHERE {condition}").run(TWINS)]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("deviceId = 'one'", ["one"]),
        ('deviceId = "one"', ["one"]),
        ("'one' = deviceId", ["one"]),
        ("deviceId != 'one'", ["two", "bare"]),
        ("deviceId <> 'one'", ["two", "bare"]),
        ("status = 'enabled' AND connectionState = 'Connected'", ["one"]),
        ("status='disabled' or tags.site.floor=2", ["one", "two"]),
        ("DeviceID = 'one' AND Tags.site.floor = 2 AND Tags.Site.floor = 2", []),
        ("DeviceID = 'one' AND Tags.site.floor = 2", ["one"]),
        ("status='disabled' or tags.site.floor=2 and deviceId='x'", ["two"]),
        ("(status='disabled' or tags.site.floor=2) and deviceId='one'", ["one"]),
        ("NOT status = 'enabled'", ["two"]),
        ("not not status = 'enabled'", ["one", "bare"]),
        ("tags.site.floor > 2", ["two"]),
        ("tags.site.floor >= 2", ["one", "two"]),
        ("tags.site.floor < 3", ["one"]),
        ("tags.site.floor <= 3", ["one", "two"]),
        ("tags.site.floor > -1", ["one", "two"]),
        ("version < 3.5", ["one", "bare"]),
        ("version = 5e0", ["two"]),
        ("deviceId < 'c'", ["bare"]),
        ("deviceId IN ['one', 'bare']", ["one", "bare"]),
        ("deviceId NIN ['one', 'bare']", ["two"]),
        ("tags.site.floor IN [3, 4]", ["two"]),
        ("tags.on", ["one"]),
        ("tags.on = true", ["one"]),
        ("tags.on = FALSE", ["two"]),
        ("capabilities.iotEdge = true", ["one"]),
        ("properties.desired.nothing = null", ["one"]),
        ("is_null(properties.desired.nothing)", ["one"]),
        ("is_defined(tags.site)", ["one", "two"]),
        ("NOT is_defined(tags.site)", ["bare"]),
        ("IS_DEFINED(properties.desired.nothing)", ["one"]),
        ("is_number(properties.desired.limit)", ["one"]),
        ("is_string(properties.desired.limit)", ["two"]),
        ("is_bool(tags.on)", ["one", "two"]),
        ("is_array(properties.reported.list)", ["one"]),
        ("is_object(tags.site)", ["one", "two"]),
        ("is_primitive(tags.site)", []),
        ("properties.reported.list[1] = 'b'", ["one"]),
        ("properties.reported.list[2] = 'b'", []),
        ("properties.reported['list'][0] = 1", ["one"]),
        ("properties.reported.$version = 7", ["one"]),
        ("tags.[[odd-name]] = 1", ["one"]),
        ("configurations.[[con-1]].status = 'Applied'", ["one"]),
        ("STARTS_WITH(deviceId, 't')", ["two"]),
        ("startswith(deviceId, 't')", ["two"]),
        ("ENDS_WITH(deviceId, 'e')", ["one", "bare"]),
        ("endswith(deviceId, 'e')", ["one", "bare"]),
        ("CONTAINS(lower(tags.site.name), 'h')", ["two"]),
        ("UPPER(deviceId) = 'ONE'", ["one"]),
        ("length(deviceId) = 4", ["bare"]),
        (r"tags.site.name = 'it\'s'", ["one"]),
        ("tags.site.name = 'it''s'", ["one"]),
    ],
)
def test_a_condition_finds_these(condition: str, found: list[str]) -> None:
    assert ids(condition) == found


@pytest.mark.parametrize(
    "condition",
    [
        "tags.missing = 1",
        "tags.missing != 1",
        "NOT tags.missing = 1",
        "tags.missing IN [1]",
        "properties.desired.limit > 10 AND deviceId = 'two'",
        "tags.on > false",
        "STARTS_WITH(tags.on, 't')",
        "deviceId",
        "NOT deviceId",
    ],
)
def test_what_is_undefined_or_of_another_kind_is_not_found(condition: str) -> None:
    assert ids(condition) == []


def test_what_is_undefined_does_not_spoil_what_is_true() -> None:
    assert ids("tags.missing = 1 OR deviceId = 'one'") == ["one"]
    assert ids("NOT (tags.missing = 1 AND deviceId = 'one')") == ["two", "bare"]


def test_the_whole_twin_is_of_its_own_type() -> None:
    query = parse_query("select * from devices")
    assert query.run(TWINS) == TWINS
    assert query.item_type == "twin"
    assert query.source is Source.DEVICES


def test_columns_bear_their_last_name_or_another() -> None:
    query = parse_query("SELECT deviceId AS id, tags.site.floor, properties.reported.list[0] AS first FROM devices")
    assert query.item_type == "raw"
    assert query.run(TWINS) == [{"id": "one", "floor": 2, "first": 1}, {"id": "two", "floor": 3}, {"id": "bare"}]


def test_a_column_is_called_as_it_was_written() -> None:
    assert parse_query("SELECT DeviceID FROM devices").run(TWINS[:1]) == [{"DeviceID": "one"}]


def test_counting() -> None:
    assert parse_query("SELECT COUNT() AS c FROM devices").run(TWINS) == [{"c": 3}]
    assert parse_query("SELECT COUNT() FROM devices WHERE status = 'x'").run(TWINS) == [{"$1": 0}]


def test_grouping() -> None:
    query = parse_query(
        "SELECT status, COUNT() AS c, SUM(version) AS s, AVG(version) AS a FROM devices GROUP BY status"
    )
    assert query.run(TWINS) == [
        {"status": "enabled", "c": 2, "s": 4, "a": 2.0},
        {"status": "disabled", "c": 1, "s": 5, "a": 5.0},
    ]
    found = parse_query("SELECT MIN(version) AS low, MAX(tags.site.floor) AS high, MAX(tags.x) AS no FROM devices")
    assert found.run(TWINS) == [{"low": 1, "high": 3}]


def test_the_first_ones() -> None:
    assert parse_query("SELECT TOP 2 deviceId FROM devices").run(TWINS) == [{"deviceId": "one"}, {"deviceId": "two"}]


def test_modules_have_an_id_of_their_own() -> None:
    query = parse_query("SELECT * FROM devices.modules WHERE moduleId = 'm'")
    assert query.source is Source.MODULES
    assert query.run([{"deviceId": "d", "moduleId": "m"}, {"deviceId": "d", "moduleId": "n"}])[0]["moduleId"] == "m"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "column 1: expected SELECT, found the end"),
        ("DELETE FROM devices", "column 1: expected SELECT, found 'DELETE'"),
        ("SELECT * FROM", "devices or devices.modules"),
        ("SELECT * FROM devices.jobs", "found 'devices.jobs'"),
        ("SELECT * FROM devices ORDER BY deviceId", "no ORDER BY"),
        ("SELECT * FROM devices LIMIT 3", "column 23: expected the end"),
        ("SELECT * FROM devices WHERE", "expected an attribute"),
        ("SELECT * FROM devices WHERE device = 'a'", "no attribute 'device'; did you mean deviceId"),
        ("SELECT moduleId FROM devices", "column 8: the twins of devices have no attribute 'moduleId'"),
        ("SELECT * FROM devices WHERE lenght(deviceId) = 1", "did you mean LENGTH"),
        ("SELECT * FROM devices WHERE length(deviceId, 'a') = 1", r"takes 1 argument\(s\), not 2"),
        ("SELECT * FROM devices WHERE tags.a + 1 = 2", "column 36: '\\+' is not understood"),
        ("SELECT * FROM devices WHERE tags.a-b = 2", "expected the end"),
        ("SELECT * FROM devices WHERE tags. = 2", "a name after '.'"),
        ("SELECT * FROM devices WHERE tags[x] = 2", "a quoted name or an index"),
        ("SELECT * FROM devices WHERE deviceId IN ['a'", "']'"),
        ("SELECT * FROM devices WHERE (deviceId = 'a'", "'\\)'"),
        ("SELECT * FROM devices WHERE version = " + "9" * 5000, "'9' is not understood"),
        ("SELECT TOP " + "9" * 5000 + " * FROM devices", "'9' is not understood"),
        ("SELECT * FROM devices WHERE version = 1.2.3", "'1' is not understood"),
        ("SELECT * FROM devices WHERE deviceId = 'a", '"\'" is not understood'),
        ("SELECT * FROM devices WHERE deviceId = -'a'", "a number after '-'"),
        ("SELECT TOP 1.5 * FROM devices", "a whole number after TOP"),
        ("SELECT deviceId AS 5 FROM devices", "a name after AS"),
        ("SELECT MEDIAN(version) FROM devices", "one of COUNT"),
        ("SELECT deviceId, COUNT() FROM devices", "needs a GROUP BY"),
        ("SELECT * FROM devices GROUP BY status", "needs columns"),
        ("SELECT * FROM devices WHERE " + "(" * 50 + "deviceId" + ")" * 50, f"deeper than {MAX_QUERY_DEPTH}"),
        ("SELECT * FROM devices WHERE " + "NOT " * 50 + "deviceId", f"deeper than {MAX_QUERY_DEPTH}"),
        ("SELECT * FROM devices WHERE deviceId = '" + "a" * MAX_QUERY_CHARS + "'", "8192 are allowed"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        parse_query(text)


def test_a_condition_stands_alone() -> None:
    condition = parse_condition("tags.site.floor = 2", Source.DEVICES)
    assert [condition(twin) is True for twin in TWINS] == [True, False, False]
    with pytest.raises(QueryError):
        parse_condition("tags.site.floor = 2 GROUP BY x", Source.DEVICES)
    with pytest.raises(QueryError, match="8192"):
        parse_condition("a" * (MAX_QUERY_CHARS + 1), Source.DEVICES)


TEXT = """SELECT * TOP 3 , COUNT ( ) AS FROM devices . modules WHERE tags deviceId = != <> < <= IN [ ] [[x]] 'a' "b" 1.5
- AND OR NOT is_defined lower null true GROUP BY status ORDER é ; \\ %"""
WORDS = TEXT.split()


@given(st.lists(st.sampled_from(WORDS), max_size=20))
def test_any_words_are_a_query_or_are_refused(words: list[str]) -> None:
    for text in (" ".join(words), "SELECT * FROM devices WHERE " + " ".join(words)):
        try:
            rows = parse_query(text).run(TWINS)
        except QueryError:
            continue
        assert isinstance(rows, list)
