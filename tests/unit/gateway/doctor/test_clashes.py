from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor.clashes import check_hub_routes, check_loops, check_published_ports, check_times_to_live
from gateway.doctor.finding import Finding, Verdict
from gateway.doctor.patient import Patient
from support.deployments import hub, module, ours, template
from support.patients import findings, one, patient_of, verdicts

CHECKS = (check_published_ports, check_hub_routes, check_times_to_live, check_loops)
DETECTOR = 'BrokeredEndpoint("/modules/detector/inputs/raw")'
TO_DETECTOR = f"FROM /messages/modules/gateway/outputs/detector.raw INTO {DETECTOR}"
Check = Callable[[Patient], Iterable[Finding]]


def look(check: Check, document: dict[str, Any]) -> list[Finding]:
    return findings(check, patient_of(Path("/nowhere"), document=document))


@pytest.mark.parametrize("check", CHECKS)
def test_the_shipped_template_is_well(check: Check) -> None:
    assert verdicts(look(check, template())) == ["ok"]


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_deployment_nothing_is_checked(check: Check) -> None:
    assert one(check, patient_of(Path("/nowhere"))).verdict is Verdict.NOT_CHECKED


def test_a_port_that_edgehub_publishes_too_is_a_problem() -> None:
    document = template()
    options = module(document, "edgeHub")["settings"]["createOptions"]["HostConfig"]
    options["PortBindings"] = {"443/tcp": [{"HostPort": "443"}], "8883/tcp": [{"HostPort": "8883"}]}
    found = look(check_published_ports, document)
    assert verdicts(found) == ["problem", "problem"]
    assert found[0].says == "edgeHub and gateway both publish port 443 of the host"
    assert "PortBindings" in found[0].fix


def test_two_other_modules_with_one_port_are_a_problem_too() -> None:
    document = template()
    bindings = {"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}}
    for name in ("web", "shop"):
        module(document, name)["settings"]["createOptions"] = bindings
    assert look(check_published_ports, document)[0].fix == "give one of them another HostPort"


def test_a_listener_that_nobody_reaches_and_a_port_without_a_listener_are_told() -> None:
    document = template()
    module(document, "gateway")["env"]["GATEWAY_WEBSOCKET_PORT"] = {"value": 443}
    found = look(check_published_ports, document)
    assert verdicts(found) == ["warning", "warning", "ok"]
    assert "port 443 (HTTPS and WebSocket), which is published nowhere" in found[0].says
    assert found[1].says.startswith("port 8443 of the gateway's container is published")


def test_an_output_without_a_route_of_edgehub_is_a_problem() -> None:
    document = template()
    hub(document)["routes"] = {}
    finding = look(check_hub_routes, document)[0]
    assert finding.verdict is Verdict.PROBLEM
    assert "FROM /messages/modules/gateway/outputs/upstream INTO $upstream" in finding.fix


def test_an_input_of_a_module_needs_its_route_too() -> None:
    document = template()
    ours(document)["routes"]["raw"] = f"FROM /messages/* INTO {DETECTOR}"
    (finding,) = look(check_hub_routes, document)
    assert finding.verdict is Verdict.PROBLEM
    assert TO_DETECTOR in finding.fix
    hub(document)["routes"]["raw"] = TO_DETECTOR
    assert verdicts(look(check_hub_routes, document)) == ["ok"]


def test_devices_messages_need_a_route_where_they_go_on_their_behalf() -> None:
    document = template()
    module(document, "gateway")["env"]["GATEWAY_UPSTREAM_AMQP"] = {"value": "edgehub"}
    assert "FROM /messages/* INTO $upstream" in look(check_hub_routes, document)[0].fix
    hub(document)["routes"]["devices"] = "FROM /messages/* INTO $upstream"
    assert verdicts(look(check_hub_routes, document)) == ["ok"]


@pytest.mark.parametrize(("route_s", "all_s", "verdict"), [(60, 604_800, "warning"), (0, 60, "warning"), (0, -1, "ok")])
def test_edgehub_must_not_give_up_earlier_than_the_gateway(route_s: int, all_s: int, verdict: str) -> None:
    document = template()
    hub(document)["routes"]["gateway-upstream"]["timeToLiveSecs"] = route_s
    hub(document)["storeAndForwardConfiguration"]["timeToLiveSecs"] = all_s
    assert verdicts(look(check_times_to_live, document)) == [verdict]


def test_messages_into_the_gateway_are_a_problem() -> None:
    document = template()
    hub(document)["routes"]["back"] = 'FROM /messages/* INTO BrokeredEndpoint("/modules/gateway/inputs/x")'
    finding = look(check_loops, document)[0]
    assert finding.verdict is Verdict.PROBLEM
    assert "'back' sends to the gateway" in finding.says


def test_what_comes_back_to_its_module_is_a_loop() -> None:
    document = template()
    module(document, "detector")
    module(document, "counter")
    hub(document)["routes"] |= {
        "there": 'FROM /messages/modules/detector/outputs/* INTO BrokeredEndpoint("/modules/counter/inputs/x")',
        "back": 'FROM /messages/modules/counter/outputs/y INTO BrokeredEndpoint("/modules/detector/inputs/z")',
    }
    found = look(check_loops, document)
    assert verdicts(found) == ["warning", "warning"]
    assert found[0].says.endswith("comes back to it: edgeHub's route 'there', 'back'")


def test_a_catch_all_into_a_module_takes_its_own_outputs() -> None:
    document = template()
    module(document, "detector")
    hub(document)["routes"]["raw"] = f"FROM /messages/* INTO {DETECTOR}"
    assert "module 'detector' puts out comes back" in look(check_loops, document)[0].says


def test_a_catch_all_to_the_cloud_takes_what_is_for_a_module_along() -> None:
    document = template()
    ours(document)["routes"]["raw"] = f"FROM /messages/* INTO {DETECTOR}"
    hub(document)["routes"] = {"raw": TO_DETECTOR, "all": "FROM /messages/* INTO $upstream"}
    (finding,) = look(check_loops, document)
    assert "'all' also takes what the gateway sends to /modules/detector/inputs/raw" in finding.says


def test_a_layer_without_edgehub_is_left_to_the_deployment_below() -> None:
    layer = {"modulesContent": {"gateway": {"properties.desired.routes.all": "FROM /messages/* INTO $upstream"}}}
    assert verdicts(look(check_hub_routes, layer)) == ["not checked"]
    assert verdicts(look(check_published_ports, layer)) == ["not checked"]


def test_bad_settings_of_ours_are_told_elsewhere() -> None:
    document = template()
    ours(document)["routes"]["bad"] = "nonsense"
    assert verdicts(look(check_hub_routes, document)) == ["not checked"]
