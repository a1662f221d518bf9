import pytest

from gateway.observe.bootstrap import (
    AdmittedBy,
    BoardAdmitted,
    ClaimsUnreadable,
    ContactRefusal,
    ContactRefused,
    RootNotTold,
)


@pytest.mark.parametrize("reason", ContactRefusal)
def test_every_refusal_says_why(reason: ContactRefusal) -> None:
    sentence = ContactRefused("node-1", "10.0.0.1", reason).sentence()
    assert sentence.startswith("board 'node-1' from 10.0.0.1 got no identity: ")
    assert len(sentence) > 70


def test_a_refusal_may_say_more() -> None:
    assert ContactRefused("", "10.0.0.1", ContactRefusal.NOT_KEPT, "disk full").sentence().endswith("(disk full)")


def test_an_admission_names_the_board_and_the_code() -> None:
    event = BoardAdmitted(
        device="node-1", address="10.0.0.1", model="nodemcu", version="1.0.0", by=AdmittedBy.LABEL, code="0a1b2c3d"
    )
    told = "board 'node-1' (nodemcu, firmware 1.0.0) from 10.0.0.1 got its identity by label '0a1b2c3d'"
    assert event.sentence() == told


def test_the_rest_say_what_follows() -> None:
    assert "stay in force" in ClaimsUnreadable("/data/claims.json is broken").sentence()
    assert RootNotTold("it is EC").sentence() == "boards get no root key at first contact: it is EC"
