import pytest

from gateway.observe.provisioning import (
    AnsweredBy,
    AssignedElsewhere,
    AssignmentsNotKept,
    DeviceProvisioned,
    ProvisioningAway,
    ProvisioningBack,
    ProvisioningRefusal,
    ProvisioningRefused,
)

REG = "0ne00ABCDEF/registrations/reg-01"


@pytest.mark.parametrize("reason", ProvisioningRefusal)
def test_every_refusal_says_why(reason: ProvisioningRefusal) -> None:
    sentence = ProvisioningRefused(REG, "10.0.0.1", reason).sentence()
    assert sentence.startswith(f"'{REG}' from 10.0.0.1 did not register: ")
    assert len(sentence) > 70


def test_a_peers_text_cannot_write_log_lines() -> None:
    event = ProvisioningRefused("x\r\nroot\x1b[31m", "10.0.0.1", ProvisioningRefusal.MALFORMED, "a\nb" + "c" * 500)
    assert event.sentence().isprintable()
    assert len(event.sentence()) < 600


def test_an_assignment_says_who_gave_it() -> None:
    by_service = DeviceProvisioned(REG, "10.0.0.1", "pump-7", "hub.test", AnsweredBy.SERVICE).sentence()
    by_memory = DeviceProvisioned(REG, "10.0.0.1", "pump-7", "hub.test", AnsweredBy.MEMORY).sentence()
    assert by_service == f"'{REG}' from 10.0.0.1 is 'pump-7' at hub.test"
    assert by_memory == f"{by_service}: remembered, the provisioning service is away"


def test_the_rest_names_the_place_and_what_follows() -> None:
    assert "must reach that one itself" in AssignedElsewhere(REG, "hub-2.test").sentence()
    assert "are answered from memory" in ProvisioningAway("dps.test", "no route").sentence()
    assert ProvisioningBack("dps.test").sentence() == "the provisioning service dps.test answers"
    assert "no device can register" in AssignmentsNotKept("/data/assignments.json", "it is full").sentence()
