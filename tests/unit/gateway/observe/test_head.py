"""The rules for all event classes stand in test_events.py; here, what the sentences of this room must not leave out."""

from gateway.observe.head import (
    CloudMessageRefused,
    DeviceDisconnected,
    Leaving,
    SessionsNotStored,
    TwinCut,
    TwinTooLarge,
)


def test_a_disconnection_says_who_and_why() -> None:
    assert DeviceDisconnected("d1", Leaving.SILENT).sentence() == "'d1' disconnected (keep alive timeout)"
    assert DeviceDisconnected("d1", Leaving.LOST, "reset").sentence() == "'d1' disconnected (lost): reset"


def test_unwritten_subscriptions_say_what_to_check() -> None:
    assert "Check the space" in SessionsNotStored(2, "disk full").sentence()


def test_a_message_that_cannot_be_brought_is_named_with_the_reason() -> None:
    said = CloudMessageRefused("d1", "m1", "it is larger than the device takes").sentence()
    assert said == "message 'm1' to 'd1' was rejected: it is larger than the device takes"


def test_a_twin_that_is_too_large_says_what_the_device_got() -> None:
    said = {cut: TwinTooLarge(cut, "d1", 5_000).sentence() for cut in TwinCut}
    assert "got its desired properties alone" in said[TwinCut.REPORTED_LEFT_OUT]
    assert "answered 413" in said[TwinCut.REFUSED]
    assert "was not told of this change" in said[TwinCut.CHANGE_NOT_TOLD]
    assert all("5000 bytes of the twin of 'd1'" in each for each in said.values())
