import pytest

from edgewire.codec.mqtt.reasons import CONNACK_CODES
from edgewire.session.mqtt.refusal import REASON_CODES, RETURN_CODES, Refusal, connack_code


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_has_a_code_that_connack_knows(refusal: Refusal) -> None:
    assert RETURN_CODES[refusal] in {1, 2, 3, 4, 5}
    assert REASON_CODES[refusal] in CONNACK_CODES


@pytest.mark.parametrize(
    ("refusal", "v3", "v5"),
    [
        (Refusal.UNSUPPORTED_VERSION, 1, 0x84),
        (Refusal.BAD_CLIENT_ID, 2, 0x85),
        (Refusal.SERVER_UNAVAILABLE, 3, 0x88),
        (Refusal.BAD_CREDENTIALS, 4, 0x86),
        (Refusal.NOT_AUTHORIZED, 5, 0x87),
    ],
)
def test_the_codes_are_as_in_both_specifications(refusal: Refusal, v3: int, v5: int) -> None:
    assert (connack_code(refusal, 3), connack_code(refusal, 4), connack_code(refusal, 5)) == (v3, v3, v5)
