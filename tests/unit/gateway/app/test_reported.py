from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.iothub.limits import MAX_TWIN_SECTION_BYTES
from gateway.app.configuration import Verdict
from gateway.app.document import SettingsProblem, read_settings
from gateway.app.reported import name_of, patch_from, reported
from gateway.observe.configuration import SettingsSource
from gateway.routing.problems import RouteProblem


def verdict_of(document: dict[str, Any], version: int | None = 5) -> Verdict:
    reading = read_settings(document)
    return Verdict(
        source=SettingsSource.TWIN,
        version=version,
        errors=reading.problems,
        warnings=reading.warnings,
        routes=tuple(document["routes"]),
    )


NOBODY: dict[str, Any] = {"connected": 0, "offline": {}}


def report(verdict: Verdict, good_version: int | None = 4, connections: dict[str, Any] = NOBODY) -> dict[str, Any]:
    return reported(
        verdict,
        good_version=good_version,
        good_source="twin",
        gateway_version="1.2.3",
        connections=connections,
    )


def in_route(route: str, message: str = "wrong", fix: str = "") -> SettingsProblem:
    problem = RouteProblem(route=route, line=1, column=9, length=1, message=message, fix=fix)
    return SettingsProblem(path=f"routes.{route}", message=message, fix=fix, route=problem)


def verdict_with(errors: tuple[SettingsProblem, ...], routes: tuple[str, ...] = ()) -> Verdict:
    return Verdict(source=SettingsSource.TWIN, version=5, errors=errors, warnings=(), routes=routes)


def test_good_settings_are_reported_route_by_route() -> None:
    verdict = verdict_of({"routes": {"all": "FROM /messages/* INTO $upstream"}})

    assert report(verdict, good_version=5) == {
        "schemaVersion": "1.0",
        "gatewayVersion": "1.2.3",
        "lastGoodVersion": 5,
        "lastGoodSource": "twin",
        "lastDesiredVersion": 5,
        "lastDesiredStatus": {"code": 200, "description": ""},
        "routes": {"all": {"status": "ok"}},
        "connections": {"connected": 0, "offline": {}},
    }


def test_a_bad_route_is_named_with_its_place_and_what_to_write() -> None:
    routes = {
        "all": "FROM /messages/* INTO $upstream",
        "broken": "FROM /messages/* WHERE lenght(name) > 10 INTO $upstream",
    }

    document = report(verdict_of({"routes": routes}))

    assert document["lastGoodVersion"] == 4
    assert document["lastDesiredStatus"]["code"] == 400
    assert "route 'broken', column 24" in document["lastDesiredStatus"]["description"]
    broken = document["routes"]["broken"]
    assert (broken["status"], broken["line"], broken["column"]) == ("error", 1, 24)
    assert "lenght" in broken["message"]
    assert document["routes"]["all"] == {"status": "ok"}


def test_an_error_in_a_field_of_a_route_belongs_to_the_route() -> None:
    document = report(verdict_of({"routes": {"r": {"route": "FROM /messages/* INTO $upstream", "priority": 12}}}))

    assert document["routes"]["r"]["status"] == "error"
    assert "errors" not in document


def test_an_error_outside_routes_is_listed_with_its_path() -> None:
    document = report(verdict_of({"routes": {}, "storeAndForward": {"maxBytes": 1}}))

    [error] = document["errors"]
    assert error["where"] == "storeAndForward.maxBytes"
    assert error["fix"]


def test_a_route_with_a_dot_in_its_name_is_reported_once() -> None:
    document = report(verdict_of({"routes": {"a.b": "FROM /messages/* INTO $upstream"}}))

    assert list(document["routes"]) == ["a%2Eb"]
    assert document["routes"]["a%2Eb"]["status"] == "error"


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("plain-route_1", "plain-route_1"),
        ("a.b", "a%2Eb"),
        ("$x", "%24x"),
        ("two words", "two%20words"),
        ("100%", "100%25"),
        ("a#b", "a%23b"),
        ("tab\there", "tab%09here"),
        ("\x85", "%C2%85"),
        ("größe", "größe"),
    ],
)
def test_route_names_become_legal_property_names(route: str, name: str) -> None:
    assert name_of(route) == name


@given(
    first=st.text(st.characters(exclude_categories=["Cs"])), second=st.text(st.characters(exclude_categories=["Cs"]))
)
def test_two_routes_never_share_a_name(first: str, second: str) -> None:
    assert (name_of(first) == name_of(second)) == (first == second)


def test_long_texts_are_cut_with_a_mark() -> None:
    document = report(verdict_with((in_route("r", "ü" * 3000, "x" * 5000),), ("r",)))

    message = document["routes"]["r"]["message"]
    assert message.endswith("…")
    assert len(message.encode()) <= 1000
    assert len(document["lastDesiredStatus"]["description"].encode()) <= 1000


def test_what_has_no_room_is_left_out_and_counted_and_errors_come_first() -> None:
    names = tuple(f"route-with-a-long-name-{number:04}" for number in range(2000))

    document = report(verdict_with((in_route(names[-1]),), names))

    assert len(orjson.dumps(document)) <= MAX_TWIN_SECTION_BYTES
    assert next(iter(document["routes"])) == names[-1]
    assert document["notShown"] == {"routes": 2000 - len(document["routes"])}


def test_a_thousand_errors_keep_the_limit() -> None:
    errors = tuple(in_route(f"r{number}", "wrong " * 200) for number in range(1000))
    errors += tuple(SettingsProblem(path=f"x{number}", message="y" * 2000) for number in range(100))

    document = report(verdict_with(errors, tuple(f"r{number}" for number in range(1000))))

    assert len(orjson.dumps(document)) <= MAX_TWIN_SECTION_BYTES
    assert document["notShown"]["routes"] > 0
    assert "and 1099 more" in document["lastDesiredStatus"]["description"]


def test_a_route_with_an_endless_name_is_left_out() -> None:
    document = report(verdict_with((), ("x" * 2000,)))

    assert document["routes"] == {}
    assert document["notShown"] == {"routes": 1}


def test_the_patch_removes_what_is_gone_and_names_what_changed() -> None:
    old = {
        "$version": 9,
        "lastDesiredVersion": 4,
        "routes": {"gone": {"status": "ok"}, "mended": {"status": "error", "message": "x"}, "same": {"status": "ok"}},
        "errors": [{"where": "x", "message": "y"}],
        "foreign": {"kept": 1},
    }
    new = {"lastDesiredVersion": 5, "routes": {"mended": {"status": "ok"}, "same": {"status": "ok"}}}

    assert patch_from(old, new) == {
        "lastDesiredVersion": 5,
        "routes": {"gone": None, "mended": {"status": "ok", "message": None}},
        "errors": None,
    }


def test_nothing_new_makes_no_patch() -> None:
    document = report(verdict_of({"routes": {"all": "FROM /messages/* INTO $upstream"}}))

    assert patch_from(document | {"$version": 3, "foreign": 1}, document) == {}


def test_devices_that_are_away_are_told_by_name_and_the_others_by_number() -> None:
    connections = {"connected": 12, "offline": {"a.b": "lost 2027-01-15T08:00:00Z", "e/m": "takeover"}}

    document = report(verdict_of({"routes": {}}), connections=connections)

    assert document["connections"] == {
        "connected": 12,
        "offline": {"a%2Eb": "lost 2027-01-15T08:00:00Z", "e/m": "takeover"},
    }


def test_a_thousand_devices_with_the_longest_ids_stay_within_the_limits_of_a_twin() -> None:
    offline = {f"{number:04}".ljust(128, "."): "credentials_changed 2027-01-15T08:00:00Z" for number in range(1000)}
    routes = {f"route-{number}": "FROM /messages/* INTO $upstream" for number in range(300)}

    document = report(verdict_of({"routes": routes}), connections={"connected": 0, "offline": offline})

    shown = document["connections"]["offline"]
    assert len(orjson.dumps(document)) <= MAX_TWIN_SECTION_BYTES
    assert len(document["routes"]) == 300  # routes come first
    assert next(iter(shown)) == name_of(next(iter(offline)))  # the latest first
    assert 0 < len(shown) < 200
    assert document["notShown"]["devices"] == 1000 - len(shown)


def test_a_device_that_came_back_is_taken_out_of_the_twin() -> None:
    before = {"connections": {"connected": 1, "offline": {"d2": "lost"}}}
    after = {"connections": {"connected": 2, "offline": {}}}
    assert patch_from(before, after) == {"connections": {"connected": 2, "offline": {"d2": None}}}


def certified(**states: str) -> dict[str, Any]:
    return {
        name: {"state": state, "notAfter": f"2030-01-01T00:{number:02}:00Z"}
        for number, (name, state) in enumerate(states.items())
    }


def with_certificates(certificates: dict[str, Any]) -> dict[str, Any]:
    return reported(
        verdict_with(()),
        good_version=4,
        good_source="twin",
        gateway_version="1.2.3",
        connections=NOBODY,
        certificates=certificates,
    )


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (["good"], "good"),
        (["good", "30 days"], "30 days"),
        (["1 day", "7 days"], "1 day"),
        (["ended", "good"], "ended"),
    ],
)
def test_certificates_are_reported_with_the_worst_of_them_for_queries(states: list[str], worst: str) -> None:
    found = with_certificates(certified(**{f"c{number}": state for number, state in enumerate(states)}))
    assert found["certificateState"] == worst
    assert [each["state"] for each in found["certificates"].values()] == states


def test_without_certificates_nothing_is_said_of_them() -> None:
    assert {"certificates", "certificateState"} & set(with_certificates({})) == set()


def test_names_of_certificates_become_legal_property_names_and_long_ones_are_cut() -> None:
    odd = {"state": "good", "notAfter": "2030-01-01T00:00:00Z"}
    found = with_certificates({"server gateway.local": odd, "\u4e2d" * 5000: odd, "x" * 5000: odd})
    assert set(found["certificates"]) >= {"server%20gateway%2Elocal", "x" * 100}
    assert not [name for name in found["certificates"] if set(name) & set(". $")]


def test_a_hundred_certificates_with_endless_names_stay_within_the_limits_of_a_twin() -> None:
    many = certified(**{str(number) + "." * 400: "good" for number in range(100)})
    found = with_certificates(many)
    assert len(orjson.dumps(found)) <= MAX_TWIN_SECTION_BYTES
    assert found["notShown"]["certificates"] == 100 - len(found["certificates"])


def test_a_certificate_that_is_gone_is_taken_out_of_the_twin() -> None:
    old, new = with_certificates(certified(a="good", b="good")), with_certificates(certified(a="good"))
    assert patch_from(old, new) == {"certificates": {"b": None}}
    assert patch_from(old, with_certificates({})) == {"certificates": None, "certificateState": None}
