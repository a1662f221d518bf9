"""Message ids for what a broker delivers at least once: a repeat gets the id of what it repeats, after a restart too.

A broker repeats what was not acknowledged, with DUP set and the packet id that it had (MQTT 3.1.1 §3.3.1.1, §4.4). So
the last message of each packet id is noted: its digest, and the number that makes its id. The notes are written before
the message is handed on, without a sync: `kill -9` leaves them whole, a power cut may lose the latest, and then the
repeats of those get ids of their own. Ids are never given twice: each opening of the file begins numbers of its own.

The file, little-endian, version 1: a header of 64 bytes (magic `EGBN`, version u16, size of a slot u16, slots u32,
openings u32, 8 random bytes that begin each id, 8 bytes that name broker and client id, zeros), then the slots, at
`packet id % 4096`: number u64, digest 8 bytes, packet id u16 (0: empty), zeros. The digest is the checksum of a slot:
one that was written in part matches no message.
"""

import os
import struct
from hashlib import blake2b
from pathlib import Path
from typing import Final

MAGIC: Final = b"EGBN"
VERSION: Final = 1
SLOTS: Final = 4096
"""Packet ids that are told apart: more than any broker has on its way at once to one client."""
HEADER: Final = struct.Struct("<4sHHII8s8s32x")
SLOT: Final = struct.Struct("<Q8sH6x")
SIZE: Final = HEADER.size + SLOTS * SLOT.size

Digest = bytes


def digest_of(topic: str, payload: bytes) -> Digest:
    """Tells messages apart."""
    return blake2b(payload, digest_size=8, key=blake2b(topic.encode(), digest_size=32).digest()).digest()


class Notes:
    """The notes of one client id at one broker. Of one thread. Raises OSError where the file does not let it."""

    def __init__(self, path: Path, peer: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._open(blake2b(peer.encode(), digest_size=8).digest())
        except OSError:
            self.close()
            raise

    def _open(self, peer: bytes) -> None:
        self._bytes = bytearray(os.pread(self._file, SIZE, 0))
        self._dirty: tuple[int, int] | None = None
        self._count = 0
        name, openings = self._read_header(peer)
        self._openings = openings + 1
        self._name = name.hex()
        HEADER.pack_into(self._bytes, 0, MAGIC, VERSION, SLOT.size, SLOTS, self._openings, name, peer)
        # Whole and synced: no opening may count as one that was before.
        os.pwrite(self._file, self._bytes, 0)
        os.ftruncate(self._file, SIZE)
        os.fsync(self._file)

    def _read_header(self, peer: bytes) -> tuple[bytes, int]:
        """What the file is named and how often it was opened; a new one if it is no file of ours, or another peer's."""
        if len(self._bytes) == SIZE:
            magic, version, slot, slots, openings, name, whose = HEADER.unpack_from(self._bytes)
            if (magic, version, slot, slots, whose) == (MAGIC, VERSION, SLOT.size, SLOTS, peer):
                return name, openings
        self._bytes = bytearray(SIZE)
        return os.urandom(8), 0

    def id_of(self, packet_id: int, digest: Digest, *, dup: bool) -> str:
        """The message id of what came under this packet id: of a repeat that of the first, else a new one."""
        at = HEADER.size + packet_id % SLOTS * SLOT.size
        if dup:
            number, known, whose = SLOT.unpack_from(self._bytes, at)
            if whose == packet_id and known == digest:
                return f"{self._name}-{number:x}"
        self._count += 1
        number = self._openings << 40 | self._count
        SLOT.pack_into(self._bytes, at, number, digest, packet_id)
        first, last = self._dirty or (at, at)
        self._dirty = min(first, at), max(last, at)
        return f"{self._name}-{number:x}"

    def forget(self) -> None:
        """A new session begins: nothing that comes is a repeat of what came before."""
        self._bytes[HEADER.size :] = bytes(SIZE - HEADER.size)
        self._dirty = HEADER.size, SIZE - SLOT.size

    def write(self) -> None:
        """Write what has changed."""
        if self._dirty is not None:
            (first, last), self._dirty = self._dirty, None
            os.pwrite(self._file, memoryview(self._bytes)[first : last + SLOT.size], first)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
