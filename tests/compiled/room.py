"""Prints what every entry point of `edgewire.line` gives for the vectors, whole and mangled: two builds print the same.

Run as a program, as each build needs a process of its own: `python room.py SEED`.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edgewire.errors import ProtocolError
from edgewire.line import acknowledgements, bodies, envelopes, escapes, names, packets, records
from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity

VECTORS = Path(__file__).parents[1] / "vectors"
VECTORS_PLAYED = 1_200
"""Of some ten thousand, drawn by the seed."""
LIMITS = tuple(-1 if first < 16 else 1_000 for first in range(256))
BAG = names.BagNames(most=20, system={"$.mid": "messageId", "$.ct": "contentType"}, reserved=frozenset({"$hub"}))
BODIES = (
    b'{"a":1,"b":{"c":[1,2,{"d":null}]},"e":"\\u00e9\\\\"}',
    b'{"a":' + b"[" * 70 + b"]" * 70 + b"}",
    b'{"a":1e999,"n":' + b"9" * 400 + b',"b":"' + b"[{" * 90 + b'"}',
)


def texts(found: Any) -> Iterator[str]:
    """Every text in a file of vectors: wires in hexadecimal, bags, topics, bodies."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict | list):
        for inner in found.values() if isinstance(found, dict) else found:
            yield from texts(inner)


def samples(chance: random.Random) -> Iterator[bytes]:
    """The vectors as bytes, and mangled."""
    found = {text for path in VECTORS.glob("*.json") for text in texts(json.loads(path.read_text()))}
    for text in chance.sample(sorted(found), VECTORS_PLAYED):
        hexadecimal = text.replace(" ", "")
        whole = text.encode("utf-8", "surrogatepass")
        if len(hexadecimal) % 2 == 0 and set(hexadecimal) <= set("0123456789abcdef"):
            whole = bytes.fromhex(hexadecimal)
        yield from mangled(chance, whole)
    for body in BODIES:
        for _ in range(50):
            yield from mangled(chance, body)


def mangled(chance: random.Random, whole: bytes) -> Iterator[bytes]:
    """Bytes as they are, and twice with one place of them changed, left out or doubled."""
    yield whole
    for _ in range(2):
        at = chance.randrange(len(whole) + 1)
        put = chance.choice((b"", chance.randbytes(1), b"%", b"&", b'"', b"\xff", whole[at:][:3] * 2))
        yield whole[:at] + put + whole[at + chance.randrange(2) :]


def outcome(call: Callable[[], object]) -> str:
    """What a call gives or raises, as text."""
    try:
        found = call()
    except (ProtocolError, ValueError, IndexError) as error:  # the last two are what `read_envelope` documents
        reply = error.reply if isinstance(error, ProtocolError) else ""
        return f"{type(error).__name__} {error} {reply}"
    return repr(found)


def record(data: bytes, text: str) -> object:
    """The parts and the tally of one record, with this body and this property."""
    message = Message(Envelope(sender=identity("d"), properties={text: None}, system={}), data)
    batch, encoder = records.Batch(), records.Encoder(lambda _, priority: priority or None)
    added = encoder.add(batch, [(message, (Delivery(UPSTREAM, len(data) % 3, 9),))], 1_000)
    return added, batch.parts, batch.size, [(plan.data, count, size) for plan, count, size in batch.tally()]


def calls(data: bytes) -> Iterator[Callable[[], object]]:
    """Every entry point on these bytes."""
    text = data.decode("utf-8", "replace")
    first = data[0] if data else 0x30
    for level in (4, 5):
        yield partial(packets.split, data, 0, LIMITS, level, 1_000)
    yield lambda: packets.read_varint(data, 0)
    yield lambda: packets.check_shortest(first, len(data))
    yield lambda: packets.publish_parts(first, data[1:])
    yield lambda: names.decode_text(data)
    yield lambda: names.check_topic_name(text)
    yield lambda: names.TopicCache()[data]
    yield lambda: names.split_bag(text, BAG)
    yield lambda: escapes.percent_decode(text, "it")
    yield lambda: (escapes.percent_encode(text), escapes.percent_encoded_size(text))
    yield lambda: bodies.read_object(data)
    yield lambda: bodies.Selection(("a", "b", "n")).read(data)
    yield lambda: bodies.members_at(bodies.read_object(data) or {}, ("b", None, 2, "d"))
    yield lambda: envelopes.read_envelope(data)
    yield lambda: record(data, text)
    yield lambda: acknowledgements.pubacks([1 + byte for byte in data])


if __name__ == "__main__":
    sys.stderr.write(Path(packets.__file__).suffix)
    for sample in samples(random.Random(int(sys.argv[1]))):
        for call in calls(sample):
            sys.stdout.write(outcome(call).encode("unicode_escape").decode() + "\n")
