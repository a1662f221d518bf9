import pytest

from gateway.observe.page import (
    DeviceAction,
    DeviceDeed,
    PageAction,
    PageDeviceUsed,
    PageEntered,
    PageRefusal,
    PageRefused,
    PageUsed,
)


@pytest.mark.parametrize("reason", PageRefusal)
def test_every_refusal_says_why(reason: PageRefusal) -> None:
    sentence = PageRefused("127.0.0.1", reason).sentence()
    assert sentence.startswith("the page refused 127.0.0.1: ")
    assert len(sentence) > 60


def test_who_came_and_what_was_done_is_said() -> None:
    assert PageEntered("127.0.0.1").sentence().startswith("127.0.0.1 logged in at the page")
    made = PageUsed(address="127.0.0.1", action=PageAction.CODE_MADE, code="0a1b2c3d")
    assert made.sentence() == "code '0a1b2c3d' was made on the page, from 127.0.0.1"
    revoked = PageUsed(address="127.0.0.1", action=PageAction.CODE_REVOKED, code="0a1b2c3d")
    assert revoked.sentence() == "code '0a1b2c3d' was revoked on the page, from 127.0.0.1"


@pytest.mark.parametrize("action", DeviceAction)
def test_what_was_sent_to_a_device_is_said_without_what_it_was(action: DeviceAction) -> None:
    sentence = PageDeviceUsed(address="127.0.0.1", action=action, identity="d1", outcome=DeviceDeed.DONE).sentence()
    assert sentence.startswith("on the page, from 127.0.0.1, ")
    assert sentence.endswith("'d1'")
    failed = PageDeviceUsed(address="127.0.0.1", action=action, identity="d1", outcome=DeviceDeed.REFUSED).sentence()
    assert failed == f"{sentence}, without success"
