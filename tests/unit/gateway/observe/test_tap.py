from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity
from gateway.observe.tap import Routed, Tap

ROUTED = Routed(
    Message(Envelope(sender=identity("d"), properties={}, system={}), b"{}"), ("all",), (Delivery(UPSTREAM),)
)


def test_watchers_see_the_flow_until_they_leave() -> None:
    first: list[Routed] = []
    second: list[Routed] = []
    tap = Tap()
    leave = tap.watch(first.append)
    tap.watch(second.append)
    tap.show(ROUTED)
    leave()
    tap.show(ROUTED)
    assert (len(first), len(second)) == (1, 2)


def test_nobody_watching_is_known_without_a_call() -> None:
    tap = Tap()
    assert not tap.watchers
    tap.watch(lambda _: None)()
    assert not tap.watchers
