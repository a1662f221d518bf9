import pytest

from edgewire.message import UPSTREAM, Endpoint, local_topic, module_input, named_endpoint
from gateway.app.document import read_settings
from gateway.app.document_sinks import judge_endpoint


@pytest.mark.parametrize("endpoint", [UPSTREAM, module_input("m", "i"), local_topic("t"), named_endpoint("archive")])
def test_routes_may_name_what_is_there(endpoint: Endpoint) -> None:
    assert judge_endpoint(endpoint, endpoints={"archive"}, of_edge_hub=False) is None


def test_an_endpoint_that_is_not_there_is_refused_with_the_near_one() -> None:
    assert judge_endpoint(named_endpoint("archiv"), endpoints={"archive"}, of_edge_hub=False) == (
        "there is no endpoint 'archiv'",
        "did you mean 'archive'?",
    )
    said = judge_endpoint(named_endpoint("x"), endpoints=(), of_edge_hub=False)
    assert said is not None
    assert 'the settings have no "endpoints"' in said[1]


@pytest.mark.parametrize("endpoint", [local_topic("t"), named_endpoint("archive")])
def test_edge_hub_has_neither_endpoints_nor_topics(endpoint: Endpoint) -> None:
    said = judge_endpoint(endpoint, endpoints={"archive"}, of_edge_hub=True)
    assert said is not None
    assert "edgeHub would refuse the whole deployment" in said[0]


def test_the_place_in_the_route_is_told() -> None:
    routes = {"r": 'FROM /messages/* INTO Endpoint("archiv")'}
    reading = read_settings({"routes": routes, "endpoints": {"archive": {"type": "eventhub"}}})
    [problem] = reading.problems
    assert problem.route is not None
    assert (problem.path, problem.route.column) == ("routes.r", 23)
