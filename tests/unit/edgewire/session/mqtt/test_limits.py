from edgewire.session.mqtt.limits import ServerLimits


def test_the_largest_message_of_iot_hub_fits_with_the_longest_topic() -> None:
    assert ServerLimits().max_packet_bytes >= 262_144 + 65_535 + 2 + 2 + 5


def test_a_connect_has_room_for_the_largest_will() -> None:
    assert ServerLimits().max_connect_bytes >= 2 * 65_535


def test_a_silent_connection_is_cut_in_ten_to_thirty_seconds() -> None:
    assert 10 <= ServerLimits().connect_timeout_s <= 30
