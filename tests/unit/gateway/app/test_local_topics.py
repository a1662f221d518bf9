from edgewire.message import local_topic
from gateway.app.local_topics import WithoutBroker, topic_problem
from gateway.observe.broker import TopicRouteWaits
from gateway.observe.events import Event


def test_a_topic_is_checked_with_the_settings() -> None:
    assert topic_problem("alerts/{device}") is None
    problem = topic_problem("alerts/#")
    assert problem is not None
    assert "wildcard" in problem[0]


def test_without_a_broker_there_is_no_way_and_it_is_said_once() -> None:
    events: list[Event] = []
    way = WithoutBroker(events.append)
    for _ in range(3):
        assert way(local_topic("a")) is None
    way(local_topic("b"))
    assert events == [TopicRouteWaits('Topic("a")'), TopicRouteWaits('Topic("b")')]
