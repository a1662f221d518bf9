import pytest

from edgewire.message import EndpointKind
from gateway.observe import upstream
from gateway.observe.events import Event, Level
from gateway.observe.upstream import (
    BackKind,
    BackRefused,
    BackRestored,
    DeviceAdmittedUpstream,
    DeviceRefusedUpstream,
    DevicesWithoutPlace,
    DeviceWaitsUpstream,
    DeviceWay,
    ForwardingPaused,
    LinkAbandoned,
    LinkFault,
    LinkKind,
    LinkLost,
    LinkRenewed,
    LinkTryFailed,
    LinkUp,
    MessageRejected,
    MessagesForwarded,
    MethodCalled,
    MethodResult,
    UnreadableFromCloud,
)

UP = EndpointKind.UPSTREAM
EVENTS = [
    (LinkUp(1.25), Level.INFO, "connected upstream after 1.2 s"),
    (LinkLost(LinkFault.DROPPED, "cable cut", 3), Level.WARNING, "cable cut. 3 messages in flight will be sent again"),
    (LinkTryFailed(LinkFault.TIMED_OUT, "silence", 2, 4.0), Level.WARNING, "(try 2): silence. Next try in 4.0 s"),
    (LinkRenewed(0), Level.DEBUG, "before its token expires, with 0 messages in flight"),
    (LinkAbandoned(5.0), Level.WARNING, "within 5 s"),
    (MessagesForwarded(UP, "$upstream", 7), Level.DEBUG, "7 messages forwarded to $upstream"),
    (
        MessageRejected(UP, "$upstream", "s-1", "d1", "too large"),
        Level.ERROR,
        "message s-1 of 'd1' to $upstream is lost",
    ),
    (ForwardingPaused(UP, "$upstream", "no link", 4, 0.5), Level.WARNING, "did not take 4 messages: no link"),
    (LinkUp(0.5, LinkKind.DEVICES), Level.INFO, "connected upstream on behalf of devices after 0.5 s"),
    (LinkLost(LinkFault.STALLED, "silence", 2, LinkKind.DEVICES), Level.WARNING, "on behalf of devices lost: silence"),
    (LinkTryFailed(LinkFault.OTHER, "no", 1, 1.0, LinkKind.DEVICES), Level.WARNING, "on behalf of devices (try 1): no"),
    (
        DeviceRefusedUpstream("d1", "amqp:not-allowed", DeviceWay.AS_MODULE),
        Level.WARNING,
        "'d1' is not let in upstream: amqp:not-allowed. Its messages leave as the gateway's module",
    ),
    (DeviceRefusedUpstream("d1", "no key", DeviceWay.WAITING), Level.WARNING, "Its messages wait here until it is"),
    (DeviceWaitsUpstream("d1", "throttled"), Level.WARNING, "messages of 'd1' wait: throttled"),
    (DeviceAdmittedUpstream("d1"), Level.INFO, "'d1' is let in upstream again"),
    (
        BackRefused(BackKind.METHODS, "d1", "amqp:not-found"),
        Level.WARNING,
        "calls of its direct methods cannot come down for 'd1': amqp:not-found. It is tried again",
    ),
    (BackRestored(BackKind.TWINS, "d1"), Level.INFO, "its twin can come down for 'd1' again"),
    (
        DevicesWithoutPlace(2, ("d1", "d2"), 900),
        Level.WARNING,
        "'d1', 'd2' listen and have no place on the connection upstream, which has 900 for those who do",
    ),
    (DevicesWithoutPlace(4, ("d1",), 900), Level.WARNING, "'d1' and 3 more listen"),
    (
        UnreadableFromCloud(BackKind.MESSAGES, "d1", "no message"),
        Level.WARNING,
        "something from the cloud for 'd1' (messages) cannot be read: no message",
    ),
    (MethodCalled(MethodResult.DONE, "ping", 200), Level.INFO, "'ping' called: done, status 200"),
]


@pytest.mark.parametrize(("event", "level", "text"), EVENTS)
def test_each_event_says_what_happened_at_its_level(event: Event, level: Level, text: str) -> None:
    assert text in event.sentence()
    assert event.LEVEL is level


def test_every_event_of_the_room_is_in_the_table() -> None:
    mine = {each for each in vars(upstream).values() if isinstance(each, type) and issubclass(each, Event)}
    assert mine - {Event} == {type(event) for event, _, _ in EVENTS}
