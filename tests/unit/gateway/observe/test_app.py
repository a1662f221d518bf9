"""The rules for all event classes stand in test_events.py; here, what the sentences of this room must not leave out."""

from gateway.observe.app import (
    CertificateReloaded,
    CertificateUnusable,
    ConstrainedCertificateUnfit,
    GatewayStarted,
    GatewayStopped,
    LatestTimeNotKept,
)


def test_the_first_and_the_last_word_say_what_a_person_asks() -> None:
    assert GatewayStarted("0.1.0", "mqtt on 10.0.0.5 port 8883").sentence() == (
        "gateway 0.1.0 takes devices: mqtt on 10.0.0.5 port 8883"
    )
    assert "everything acknowledged is on disk" in GatewayStopped("told to").sentence()


def test_a_reloaded_certificate_says_how_long_it_lives() -> None:
    assert "valid for 30.0 days" in CertificateReloaded(30 * 86_400).sentence()


def test_an_unusable_certificate_says_what_the_check_said() -> None:
    assert CertificateUnusable("the key does not fit").sentence() == "the key does not fit"


def test_a_time_that_was_not_kept_says_what_follows() -> None:
    sentence = LatestTimeNotKept("[Errno 28] No space left on device").sentence()
    assert "No space left" in sentence
    assert "tokens that have expired would count again" in sentence


def test_a_certificate_that_boards_cannot_take_says_whose_it_is() -> None:
    assert ConstrainedCertificateUnfit("the key is not RSA").sentence() == (
        "the certificate for small boards: the key is not RSA"
    )
