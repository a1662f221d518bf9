from edgewire.codec.mqtt import reasons
from edgewire.codec.mqtt.reasons import ReasonCode

# MQTT 5 §2.4, table 2-6, by hand: the packets that each code may stand in.
TABLE_2_6 = {
    0x00: "CONNACK PUBACK PUBREL SUBACK UNSUBACK DISCONNECT AUTH",
    0x01: "SUBACK",
    0x02: "SUBACK",
    0x04: "DISCONNECT",
    0x10: "PUBACK",
    0x11: "UNSUBACK",
    0x18: "AUTH",
    0x19: "AUTH",
    0x80: "CONNACK PUBACK SUBACK UNSUBACK DISCONNECT",
    0x81: "CONNACK DISCONNECT",
    0x82: "CONNACK DISCONNECT",
    0x83: "CONNACK PUBACK SUBACK UNSUBACK DISCONNECT",
    0x84: "CONNACK",
    0x85: "CONNACK",
    0x86: "CONNACK",
    0x87: "CONNACK PUBACK SUBACK UNSUBACK DISCONNECT",
    0x88: "CONNACK",
    0x89: "CONNACK DISCONNECT",
    0x8A: "CONNACK",
    0x8B: "DISCONNECT",
    0x8C: "CONNACK DISCONNECT",
    0x8D: "DISCONNECT",
    0x8E: "DISCONNECT",
    0x8F: "SUBACK UNSUBACK DISCONNECT",
    0x90: "CONNACK PUBACK DISCONNECT",
    0x91: "PUBACK SUBACK UNSUBACK",
    0x92: "PUBREL",
    0x93: "DISCONNECT",
    0x94: "DISCONNECT",
    0x95: "CONNACK DISCONNECT",
    0x96: "DISCONNECT",
    0x97: "CONNACK PUBACK SUBACK DISCONNECT",
    0x98: "DISCONNECT",
    0x99: "CONNACK PUBACK DISCONNECT",
    0x9A: "CONNACK DISCONNECT",
    0x9B: "CONNACK DISCONNECT",
    0x9C: "CONNACK DISCONNECT",
    0x9D: "CONNACK DISCONNECT",
    0x9E: "SUBACK DISCONNECT",
    0x9F: "CONNACK DISCONNECT",
    0xA0: "DISCONNECT",
    0xA1: "SUBACK DISCONNECT",
    0xA2: "SUBACK DISCONNECT",
}
SETS = {
    "CONNACK": reasons.CONNACK_CODES,
    "PUBACK": reasons.PUBACK_CODES,
    "PUBREL": reasons.PUBREL_CODES,
    "SUBACK": reasons.SUBACK_CODES,
    "UNSUBACK": reasons.UNSUBACK_CODES,
    "DISCONNECT": reasons.DISCONNECT_CODES,
    "AUTH": reasons.AUTH_CODES,
}


def test_there_are_the_codes_of_the_table_and_no_others() -> None:
    assert {int(code) for code in ReasonCode} == set(TABLE_2_6)


def test_each_packet_has_the_codes_of_the_table() -> None:
    for packet, allowed in SETS.items():
        assert allowed == {code for code, where in TABLE_2_6.items() if packet in where.split()}, packet


def test_only_a_client_asks_for_its_will_and_only_a_server_shuts_down() -> None:
    assert ReasonCode.DISCONNECT_WITH_WILL in reasons.CLIENT_DISCONNECT_CODES - reasons.SERVER_DISCONNECT_CODES
    assert ReasonCode.SERVER_SHUTTING_DOWN in reasons.SERVER_DISCONNECT_CODES - reasons.CLIENT_DISCONNECT_CODES
