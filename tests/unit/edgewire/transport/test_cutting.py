from collections.abc import Iterator

from edgewire.transport.cutting import CutWire
from support.mqtt_site import MemoryWire


class PieceWire(MemoryWire):
    """Keeps each write by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)


def pairs(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 2] for at in range(0, len(data), 2))


def test_each_piece_is_a_write() -> None:
    wire = PieceWire()
    CutWire(wire, pairs).write(b"abcde")
    assert wire.pieces == [b"ab", b"cd", b"e"]


def test_all_else_is_the_wires_own() -> None:
    wire = PieceWire()
    cut = CutWire(wire, pairs)
    assert cut.buffered == wire.buffered
    cut.pause_reading()
    assert wire.paused
    cut.resume_reading()
    cut.wake_at(1.0)
    cut.close()
    assert (wire.paused, wire.closed) == (False, True)
    fault = ValueError("x")
    cut.crash(fault)
    assert wire.crashed is fault
