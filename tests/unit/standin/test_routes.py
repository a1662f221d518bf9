import json
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import UPSTREAM, Endpoint, module_input
from standin.routes import EVERYTHING_UPSTREAM, RoutesError, parse_routes, read_manifest

INPUT = module_input("m2", "in1")


@pytest.mark.parametrize(
    ("route", "module", "output", "expected"),
    [
        ("FROM /* INTO $upstream", "m1", None, UPSTREAM),
        ("FROM /messages/* INTO $upstream", "m1", "o1", UPSTREAM),
        ("from /messages into $UPSTREAM", "m1", "o1", UPSTREAM),
        ("SELECT * FROM /messages/modules/m1 INTO $upstream", "m1", None, UPSTREAM),
        ("FROM /messages/modules/M1/outputs/O1 INTO $upstream", "m1", "o1", UPSTREAM),
        ("FROM /messages/modules/m1/outputs/* INTO $upstream", "m1", "o1", UPSTREAM),
        ("FROM /messages/modules/m1/outputs/* INTO $upstream", "m1", None, None),
        ("FROM /messages/modules/m INTO $upstream", "m1", "o1", None),
        ("FROM /messages/modules/m* INTO $upstream", "m1", "o1", None),
        ("FROM /messages/modules/m1/outputs/o2 INTO $upstream", "m1", "o1", None),
        ("FROM /twinChangeNotifications INTO $upstream", "m1", "o1", None),
        ('FROM /messages/* INTO BrokeredEndpoint("/modules/m2/inputs/in1")', "m1", "o1", INPUT),
        ("FROM /messages/* INTO brokeredendpoint( '/modules/m2/inputs/in1/' )", "m1", "o1", INPUT),
    ],
)
def test_a_route_takes_what_edgehub_would_give_it(
    route: str, module: str, output: str | None, expected: Endpoint | None
) -> None:
    assert parse_routes({"r": route}).match(module, output) == (() if expected is None else (expected,))


def test_two_routes_to_one_endpoint_deliver_once_and_in_order() -> None:
    routes = parse_routes(
        {
            "a": 'FROM /messages/* INTO BrokeredEndpoint("/modules/m2/inputs/in1")',
            "b": "FROM /messages/* INTO $upstream",
            "c": "FROM /messages/modules/m1/* INTO $upstream",
        }
    )
    assert routes.match("m1", "o1") == (INPUT, UPSTREAM)


def test_without_routes_all_goes_upstream() -> None:
    assert EVERYTHING_UPSTREAM.match("m1", None) == (UPSTREAM,)


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("FROM /messages/* WHERE a = 1 INTO $upstream", "WHERE"),
        ("FROM messages INTO $upstream", "not understood"),
        ("FROM /messages/* INTO $elsewhere", "not understood"),
        ("FROM /messages/*", "not understood"),
        ("", "not understood"),
        ('FROM /messages/* INTO BrokeredEndpoint("/modules/m2")', "/modules/<module>/inputs/<input>"),
    ],
)
def test_a_route_that_cannot_be_used_names_itself_and_the_fix(route: str, said: str) -> None:
    with pytest.raises(RoutesError, match="'culprit'") as caught:
        parse_routes({"culprit": route})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"properties.desired": {"routes": {"r": "FROM /messages/modules/m1/* INTO $upstream"}}},
        {
            "properties.desired": {
                "routes": {"r": {"route": "FROM /messages/modules/m1/* INTO $upstream", "priority": 1}}
            }
        },
        {"properties.desired.routes.r": "FROM /messages/modules/m1/* INTO $upstream"},
    ],
)
@pytest.mark.parametrize("wrap", [lambda document: document, lambda document: {"content": document}])
def test_routes_are_read_from_manifests_of_each_form(tmp_path: Path, content: Any, wrap: Any) -> None:
    path = tmp_path / "deployment.template.json"
    path.write_text(json.dumps(wrap({"modulesContent": {"$edgeHub": content}})))
    assert read_manifest(path).match("m1", "o1") == (UPSTREAM,)
    assert read_manifest(path).match("m2", "o1") == ()


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is not JSON"), ("{}", "no routes"), ("[]", "no routes"), (None, "cannot be read")]
)
def test_a_file_without_routes_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "m.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RoutesError, match=said) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
