from gateway.observe.dispatch import MessagesReceived
from gateway.observe.events import Event
from gateway.observe.observer import Observer


def test_every_listener_gets_every_event_in_order() -> None:
    first: list[Event] = []
    second: list[Event] = []
    observer = Observer()
    observer.listen(first.append)
    observer.emit(MessagesReceived(1))
    observer.listen(second.append)
    observer.emit(MessagesReceived(2))
    assert first == [MessagesReceived(1), MessagesReceived(2)]
    assert second == [MessagesReceived(2)]
