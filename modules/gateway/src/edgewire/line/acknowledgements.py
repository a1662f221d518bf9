"""The answers to a batch, as one write. Spec: MQTT 3.1.1 §3.4, MQTT 5 §3.4."""

from collections.abc import Sequence
from struct import pack
from typing import Final

_PUBACK: Final = 0x4002_0000
"""The first two bytes of a PUBACK without reason or properties; the packet identifier fills the rest."""


def pubacks(packet_ids: Sequence[int]) -> bytes:
    """A PUBACK for each of these packet identifiers, in this order."""
    if len(packet_ids) == 1:
        return (_PUBACK | packet_ids[0]).to_bytes(4, "big")
    return pack(f">{len(packet_ids)}I", *[_PUBACK | packet_id for packet_id in packet_ids])
