import pytest

from gateway.observe.identity import LoginRefused, RefusalReason, RegistryReloaded, RegistryUnreadable


@pytest.mark.parametrize("reason", RefusalReason)
def test_every_refusal_says_what_to_do(reason: RefusalReason) -> None:
    sentence = LoginRefused("leaf-01", "10.0.0.1", reason).sentence()
    assert sentence.startswith("'leaf-01' from 10.0.0.1 was not let in: ")
    assert len(sentence) > 60


def test_a_peers_text_cannot_write_log_lines() -> None:
    event = LoginRefused("x\r\nroot logged in\x1b[31m", "10.0.0.1", RefusalReason.WRONG_KEY, "a\nb" + "c" * 500)
    assert event.sentence().isprintable()
    assert len(event.sentence()) < 500


def test_the_registrys_events_name_the_file() -> None:
    changed, same = (RegistryReloaded("/data/devices.json", 3, changed).sentence() for changed in (1, 0))
    assert "/data/devices.json was changed" in changed
    assert "the credentials of 1 are no longer what they were" in changed
    assert same.endswith("3 devices and modules; nobody's credentials changed, all connections stay")
    assert "stay in force" in RegistryUnreadable("/data/devices.json is gone").sentence()
