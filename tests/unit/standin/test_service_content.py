from typing import Any

import pytest

from standin.errors import HubError
from standin.service_content import EDGE_AGENT, EDGE_HUB, Piece, check_desired, composed, module_names, read_content

AGENT = {"schemaVersion": "1.1", "modules": {"a": {"type": "docker"}}}
BASE = {
    "modulesContent": {
        EDGE_AGENT: {"properties.desired": AGENT},
        EDGE_HUB: {"properties.desired": {"routes": {"up": "FROM /* INTO $upstream"}}},
        "a": {"properties.desired": {"x": {"y": 1}}},
    }
}
LAYER = {
    "content": {
        "modulesContent": {
            EDGE_AGENT: {"properties.desired.modules.b": {"type": "docker"}},
            EDGE_HUB: {"properties.desired.routes.b": "FROM /messages/modules/b/* INTO $upstream"},
            "a": {"properties.desired.x.z": 2, "properties.desired.x.y": {"w": 3}},
        }
    }
}


def test_a_layer_goes_on_top() -> None:
    base, layer = read_content(BASE), read_content(LAYER)
    assert not base.is_layer
    assert layer.is_layer
    desired = composed([base, layer])
    assert set(desired[EDGE_HUB]["routes"]) == {"up", "b"}
    assert desired["a"] == {"x": {"y": {"w": 3}, "z": 2}}
    assert list(module_names(desired[EDGE_AGENT])) == ["a", "b"]
    assert AGENT["modules"] == {"a": {"type": "docker"}}


def test_paths_go_below_what_is_there_and_over_what_is_no_object() -> None:
    piece = Piece(None, ((("a", "b"), 1), (("c",), None)))
    assert piece.on({"a": {"x": 2}, "c": 3}) == {"a": {"x": 2, "b": 1}, "c": None}
    assert piece.on({"a": 5}) == {"a": {"b": 1}, "c": None}


def test_a_content_of_devices_is_no_layer() -> None:
    content = read_content({"deviceContent": {"properties.desired.interval": 5}})
    assert not content.is_layer
    assert content.device == Piece(None, ((("interval",), 5),))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "no JSON object"),
        ({}, "a content has"),
        ({"content": []}, "a content has"),
        ({"modulesContent": {}, "x": 1}, "a content has"),
        ({"modulesContent": ["a"]}, "no JSON object"),
        ({"modulesContent": {"a b": {}}}, "no id of a module"),
        ({"modulesContent": {"a": []}}, "modulesContent.a is no JSON object"),
        ({"modulesContent": {"a": {"properties.desired": 1}}}, "properties.desired is no JSON object"),
        ({"modulesContent": {"a": {"properties.reported.x": 1}}}, "neither properties.desired nor a path"),
        ({"modulesContent": {"a": {"properties.desired..x": 1}}}, "neither properties.desired nor a path"),
        ({"deviceContent": {"properties.desired" + ".x" * 100_000: 1}}, "a path of 1 to 10 names"),
        ({"deviceContent": {"tags.x": 1}}, "deviceContent: 'tags.x'"),
        ({"modulesContent": {f"m{number}": {} for number in range(60)}}, "more than 50 modules"),
    ],
)
def test_what_is_no_content_is_refused(document: Any, said: str) -> None:
    with pytest.raises(HubError, match=said) as caught:
        read_content(document)
    assert caught.value.code == 400004


def test_what_a_twin_may_not_hold_is_refused_by_name() -> None:
    with pytest.raises(HubError, match=r"edge-1/a: .*'b c'"):
        check_desired("edge-1/a", {"b c": 1})
    with pytest.raises(HubError, match="32768") as caught:
        check_desired("edge-1/a", {str(number): "x" * 4000 for number in range(10)})
    assert caught.value.code == 413001


def test_a_strange_list_of_modules_names_none() -> None:
    assert list(module_names({"modules": ["a"]})) == []
    assert list(module_names({"modules": {"a b": {}}})) == []
    assert list(module_names({})) == []
