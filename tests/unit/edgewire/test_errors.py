from edgewire.errors import ProtocolError


def test_a_protocol_error_names_the_rule_that_was_broken() -> None:
    error = ProtocolError("PUBLISH with both QoS bits set", reply=0x81, spec="MQTT5-3.3.1-4")
    assert str(error) == "PUBLISH with both QoS bits set [MQTT5-3.3.1-4]"
    assert error.reply == 0x81


def test_without_a_rule_only_the_sentence_is_said() -> None:
    assert str(ProtocolError("the peer stopped in the middle")) == "the peer stopped in the middle"
