import pytest

from gateway.routing.compile import RouteSpec, compile_routes


def warnings(text: str) -> list[tuple[str, str]]:
    compiled = compile_routes({"r": RouteSpec(text=text)})
    assert compiled.table is not None, [problem.rendered() for problem in compiled.problems]
    return [(text[w.column - 1 : w.column - 1 + w.length], f"{w.message} | {w.fix}") for w in compiled.warnings]


@pytest.mark.parametrize(
    ("condition", "marked", "words"),
    [
        ("$body.x > 5", "$body.x > 5", "write is_number($body.x) AND $body.x > 5"),
        ("$body.x >= 'a'", "$body.x >= 'a'", "write is_string($body.x) AND $body.x >= 'a'"),
        ("5 < $body.x", "5 < $body.x", "is_number($body.x)"),
        ("$body.x != 5", "$body.x != 5", "missing from the body or of another type"),
        ("$body.x <> 'a'", "$body.x <> 'a'", "is_string($body.x)"),
        ("$body.x != true", "$body.x != true", "is_bool($body.x)"),
        ("$body.x = '5'", "$body.x = '5'", "write $body.x = 5"),
        ("$body.x > '2024-01-01T00:00:00Z'", "$body.x > '2024-01-01T00:00:00Z'", "never compares"),
        ("is_defined($body.x)", "is_defined($body.x)", "write $body.x != null"),
        ("is_null($body.x)", "is_null($body.x)", "write $body.x = null"),
        ("($body.x ?? 5) = 5", "$body.x", "?? keeps null"),
        ("a!='x'", "a!", "put a blank before !="),
        ("!a = 'x'", "!a", "write NOT"),
        ("a = TRUE", "TRUE", "write true"),
        ("Null = 'x'", "Null", "write null"),
        ("-level = 'x'", "-level", "blanks around -"),
        ("a+b = 'x'", "a+b", "blanks around"),
        ("3-4 = 'x'", "3-4", "blanks around -"),
        ("'a'||b = 'x'", "'a'||b", "blanks around"),
        ("body.x = 'a'", "body.x", "write $body.x"),
        ("properties.x = 'a'", "properties.x", "write x"),
        ("systemProperties.messageId = 'a'", "systemProperties.messageId", "write $messageId"),
        ("connectionDeviceId = 'a'", "connectionDeviceId", "write $connectionDeviceId"),
        ("'level' = 'high'", "'level'", "write level without quotes"),
        ("\"level\" = 'high'", '"level"', "a name in quotes is not a property"),
        ("'high' = \"level\"", '"level"', "a name in quotes is not a property"),
        ("$twin.properties.desired.x = 'a'", "$twin.properties.desired.x", "read in IoT Hub only"),
        ("$connectionDeviceTags.x = 'a'", "$connectionDeviceTags.x", "read in IoT Hub only"),
        ("$correlationId = 'a'", "$correlationId", "called $cid"),
        ("$body = 'a'", "$body", "$body.name"),
        ("$conectionDeviceId = 'a'", "$conectionDeviceId", "did you mean $connectionDeviceId?"),
        ("$level = 'a'", "$level", "for an application property write level"),
        ("$connectionAuthMethod = 'a'", "$connectionAuthMethod", "never set"),
        ("is_defined(e5)", "e5", "number without digits"),
        ("level", "level", "text is never true"),
        ("1 + 1", "1 + 1", "a number is never true"),
        ("false", "false", "never matches"),
        ("null", "null", "never matches"),
    ],
)
def test_a_trap_in_a_condition(condition: str, marked: str, words: str) -> None:
    (found,) = warnings(f"FROM /messages/* WHERE {condition} INTO $upstream")
    assert found[0] == marked
    assert words in found[1]


@pytest.mark.parametrize(
    "condition",
    [
        "$body.messageType = 'alert'",
        "is_number($body.x) AND $body.x > 5",
        "$body.x > 5 AND is_number($BODY.X)",
        "is_string($body.x) AND $body.x != 'a'",
        "$body.x < 5",
        "$body.x = null",
        "$body.x != null",
        "level != 'low'",
        "NOT is_defined($connectionModuleId)",
        "as_number(num) - 1 > 5",
        "is_null(level)",
        "$dt-subject = 'x' AND $cid = 'y' AND {$messageId} = 'z'",
        "a-b = 'x'",
        "a.b = 'x'",
        "true",
        "$body.on",
    ],
)
def test_no_warning_without_a_trap(condition: str) -> None:
    assert warnings(f"FROM /messages/* WHERE {condition} INTO $upstream") == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/deviceLifecycleEvents", "never matches here"),
        ("/digitalTwinChangeEvents", "never matches here"),
        ("/messages/devices/d", "never matches here"),
        ("/messages/modules/*/outputs/o", "no wildcard"),
        ("/messages/m*", "whole parts of the path"),
        ("/messages/modules/m*", "whole parts of the path"),
        ("/mesages/*", "did you mean /messages?"),
        ("/messages/modules/m/inputs/i", "never matches"),
        ("/messages/modules/m/outputs/o/x", "never matches"),
        ("/twinChangeNotifications/x", "never matches"),
        ("/deviceConnectionStateEvents/x", "never matches"),
        ("/deviceConectionStateEvents", "did you mean /deviceConnectionStateEvents?"),
        ("/nothing/like/it", "messages come from"),
    ],
)
def test_a_source_that_never_matches(path: str, words: str) -> None:
    (found,) = warnings(f"FROM {path} INTO $upstream")
    assert found[0] == path
    assert words in found[1]


def test_sources_that_match_are_not_warned_of() -> None:
    for path in ("/*", "/messages", "/messages/*", "/MESSAGES/modules/m", "/messages/modules/m/outputs/*"):
        assert warnings(f"FROM {path} INTO $upstream") == []
    assert warnings("FROM /twinChangeNotifications/* INTO $upstream") == []
    assert warnings("FROM /deviceConnectionStateEvents INTO $upstream") == []


def test_text_after_the_endpoint_is_told() -> None:
    (found,) = warnings("FROM /messages/* INTO $upstream, BrokeredEndpoint('/modules/m/inputs/i')")
    assert found[0] == ", BrokeredEndpoint('/modules/m/inputs/i')"
    assert "is ignored" in found[1]


def test_other_words_in_an_address_are_told() -> None:
    (found,) = warnings("FROM /messages/* INTO BrokeredEndpoint('/module/m/input/i')")
    assert 'write "/modules/m/inputs/i"' in found[1]


def test_traps_come_in_the_order_of_the_text() -> None:
    found = warnings("FROM /messages/m* WHERE a!='x' AND $body.x > 5 INTO $upstream x")
    assert [marked for marked, _ in found] == ["/messages/m*", "a!", "$body.x > 5", "x"]
