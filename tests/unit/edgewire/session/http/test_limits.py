from edgewire.iothub.limits import MAX_ID_CHARS, MAX_MESSAGE_BYTES, MAX_PROPERTIES, MAX_TOKEN_CHARS
from edgewire.session.http.limits import HttpLimits


def test_a_batch_of_the_largest_messages_fits_in_base64() -> None:
    assert HttpLimits().max_body_bytes >= MAX_MESSAGE_BYTES * 4 // 3 + 32_768


def test_a_head_has_room_for_a_token_and_properties() -> None:
    assert HttpLimits().max_head_bytes >= 3 * MAX_TOKEN_CHARS
    assert HttpLimits().max_fields > MAX_PROPERTIES + 16


def test_two_escaped_ids_fit_into_a_target() -> None:
    assert HttpLimits().max_target_chars >= 2 * 3 * MAX_ID_CHARS + 200
