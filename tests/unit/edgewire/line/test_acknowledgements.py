import pytest

from edgewire.codec.mqtt import v3
from edgewire.codec.mqtt.packets import Puback
from edgewire.line.acknowledgements import pubacks


@pytest.mark.parametrize("packet_ids", [(), (1,), (65_535,), (3, 1, 2), tuple(range(1, 2_000))])
def test_they_are_what_one_by_one_would_be(packet_ids: tuple[int, ...]) -> None:
    assert pubacks(packet_ids) == b"".join(v3.write(Puback(packet_id=each)) for each in packet_ids)


def test_puback_bytes_are_those_of_the_specification() -> None:
    assert pubacks([0x0102, 7]).hex(" ", 4) == "40020102 40020007"  # MQTT 3.1.1 §3.4
