"""Envelopes as bytes. A device repeats its topic, so one envelope serves many records: what is read is kept too.

Layout: u8 source (0 telemetry, 1 twin change, 2 connection state); device; module, as a value; number of properties;
each name, value; number of system properties; each name, value. Numbers are LEB128. A name is its UTF-8 length and
bytes. A value is 0 for "none", else length + 1 and bytes.
"""

from collections.abc import Mapping

from edgewire.message import DeviceId, Envelope, Identity, MessageSource, ModuleId

_SOURCES = (MessageSource.TELEMETRY, MessageSource.TWIN_CHANGE, MessageSource.CONNECTION_STATE)

# A device's bytes may hold half a surrogate pair (from JSON escapes); the store must give back what it was given.
_ERRORS = "surrogatepass"

# What an envelope that is kept takes beside its bytes, which are there twice, as the key and as texts.
_HELD = 512
_HELD_PER_PROPERTY = 112


def write_envelope(envelope: Envelope) -> bytes:
    """The envelope's bytes."""
    out = bytearray([_SOURCES.index(envelope.source)])
    _write_name(out, envelope.sender.device)
    _write_value(out, envelope.sender.module)
    _write_properties(out, envelope.properties)
    _write_properties(out, envelope.system)
    return bytes(out)


def read_envelope(data: bytes) -> Envelope:
    """The envelope of these bytes. Raises ValueError, IndexError if they are not ours."""
    source = _SOURCES[data[0]]
    device, at = _read_value(data, 1, plus=0)
    module, at = _read_value(data, at, plus=1)
    properties, at = _read_properties(data, at)
    system, at = _read_properties(data, at)
    if at != len(data) or device is None:
        raise ValueError("an envelope of another length than its record says")
    sender = Identity(DeviceId(device), None if module is None else ModuleId(module))
    plain = {name: value for name, value in system.items() if value is not None}
    return Envelope(sender=sender, properties=properties, system=plain, source=source)


class EnvelopeReader:
    """One envelope object per distinct bytes."""

    __slots__ = ("_cache", "_max_bytes", "_size")

    def __init__(self, max_bytes: int = 3 << 20) -> None:
        self._cache: dict[bytes, Envelope] = {}
        self._max_bytes = max_bytes
        self._size = 0

    def read(self, data: bytes) -> Envelope:
        """The envelope of these bytes, the same object where they were read before."""
        known = self._cache.get(data)
        if known is not None:
            return known
        envelope = read_envelope(data)
        held = 2 * len(data) + _HELD + _HELD_PER_PROPERTY * (len(envelope.properties) + len(envelope.system))
        self._size += held
        if self._size > self._max_bytes:
            self._cache.clear()
            self._size = held
        self._cache[data] = envelope
        return envelope


def _write_number(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _write_name(out: bytearray, name: str) -> None:
    data = name.encode("utf-8", _ERRORS)
    _write_number(out, len(data))
    out += data


def _write_value(out: bytearray, value: str | None) -> None:
    if value is None:
        out.append(0)
        return
    data = value.encode("utf-8", _ERRORS)
    _write_number(out, len(data) + 1)
    out += data


def _write_properties(out: bytearray, properties: Mapping[str, str | None] | Mapping[str, str]) -> None:
    _write_number(out, len(properties))
    for name, value in properties.items():
        _write_name(out, name)
        _write_value(out, value)


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _read_value(data: bytes, at: int, *, plus: int) -> tuple[str | None, int]:
    number, at = _read_number(data, at)
    if number < plus:
        return None, at
    end = at + number - plus
    if end > len(data):
        raise ValueError("a text longer than its record")
    return data[at:end].decode("utf-8", _ERRORS), end


def _read_properties(data: bytes, at: int) -> tuple[dict[str, str | None], int]:
    count, at = _read_number(data, at)
    properties: dict[str, str | None] = {}
    for _ in range(count):
        name, at = _read_value(data, at, plus=0)
        properties[name or ""], at = _read_value(data, at, plus=1)
    return properties, at
