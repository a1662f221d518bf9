import json

from gateway.app.document import read_settings
from gateway.doctor.deployment import read_deployment
from support.deployments import module, template


def test_the_template_is_read() -> None:
    document = template()
    found = read_deployment(document, read_settings(document))
    assert found is not None
    assert (found.gateway, set(found.modules)) == ("gateway", {"edgeAgent", "edgeHub", "gateway"})
    assert found.modules["gateway"].published == {8883: [8883], 5671: [5671], 8443: [443]}
    assert found.modules["gateway"].environ == {"GATEWAY_WEBSOCKET_PORT": "8443"}
    assert [route.time_to_live_s for route in found.hub_routes] == [604_800]
    assert (found.hub_time_to_live_s, found.has_edge_hub, found.is_layer) == (604_800, True, False)


def test_create_options_may_be_text_in_pieces() -> None:
    document = template()
    settings = module(document, "gateway")["settings"]
    text = json.dumps(settings.pop("createOptions"))
    settings |= {"createOptions": text[:200], "createOptions01": text[200:400], "createOptions02": text[400:]}
    found = read_deployment(document, None)
    assert found is not None
    assert found.modules["gateway"].published[8443] == [443]


def test_a_layer_has_its_keys_flattened() -> None:
    layer = {
        "content": {
            "modulesContent": {
                "$edgeAgent": {"properties.desired.modules.gateway": {"settings": {}, "env": {"A": {"value": 1}}}},
                "$edgeHub": {"properties.desired.routes.up": "FROM /messages/* INTO $upstream"},
                "gateway": {"properties.desired.routes.all": "FROM /messages/* INTO $upstream"},
            }
        }
    }
    found = read_deployment(layer, read_settings(layer))
    assert found is not None
    assert found.modules["gateway"].environ == {"A": "1"}
    assert [route.name for route in found.hub_routes] == ["up"]
    assert (found.gateway, found.is_layer, found.has_edge_hub) == ("gateway", True, False)


def test_settings_alone_and_rubbish_are_no_deployment() -> None:
    assert read_deployment({"routes": {}}, None) is None
    assert read_deployment([1], None) is None
    found = read_deployment(
        {"modulesContent": {"$edgeAgent": 1, "$edgeHub": {"properties.desired": {"routes": 7}}}}, None
    )
    assert found is not None
    assert (dict(found.modules), found.hub_routes) == ({}, ())
