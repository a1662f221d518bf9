import pytest

from gateway.observe.certificates import (
    CertificateEnded,
    CertificateEndsSoon,
    CertificateKind,
    LookedAgain,
    RevocationListsReloaded,
    RevocationListUnusable,
)


@pytest.mark.parametrize(
    ("days", "words"), [(29.9, "30 days"), (2.0, "2 days"), (1.5, "36 hours"), (0.1, "2 hours"), (0.05, "72 minutes")]
)
def test_how_long_is_said_in_words_that_fit(days: float, words: str) -> None:
    soon = CertificateEndsSoon(kind=CertificateKind.SERVER, name="it", days_left=days, advice="renew it")
    assert soon.sentence() == f"it ends in {words}: renew it"
    over = CertificateEnded(kind=CertificateKind.SERVER, name="it", days_left=-days, advice="renew it")
    assert over.sentence() == f"it ended {words} ago: renew it"


def test_a_name_that_a_device_chose_stays_on_its_line() -> None:
    soon = CertificateEndsSoon(kind=CertificateKind.DEVICE, name="a\nb\x1b" + "c" * 500, days_left=3, advice="renew it")
    assert soon.sentence().isprintable()
    assert len(soon.sentence()) < 300


@pytest.mark.parametrize(
    ("ended", "words"), [(0, "nobody who is connected is among them"), (3, "the connections of 3 end")]
)
def test_new_lists_say_what_became_of_the_connected(ended: int, words: str) -> None:
    event = RevocationListsReloaded(source="crl.pem", lists=2, revoked=5, ended=ended)
    assert event.sentence() == f"crl.pem is in force: 5 revoked certificates in 2 lists; {words}"


def test_the_rest_says_what_it_was_told() -> None:
    assert RevocationListUnusable("it is damaged").sentence() == "it is damaged"
    assert "those that exist stay" in LookedAgain().sentence()
