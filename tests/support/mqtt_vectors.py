"""The rows of tests/vectors/mqtt*.json: bytes that the specification speaks of, and what must come of them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[1] / "vectors"

TOKEN = re.compile(r"'([^']*)'|([0-9A-Fa-f]+)|(\S)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `says` is part of the refusal's sentence, so that a row is not refused for another reason."""

    rule: str
    what: str
    wire: bytes
    refused: bool = False
    says: str = ""
    reply: int | None = None
    packet: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    level: int = 4
    longer: bool = False
    """Right, but not the shortest form, which is what we write."""


def wire(text: str) -> bytes:
    """The bytes of a row: hexadecimal digits, and text in single quotes."""
    parts = []
    for quoted, digits, other in TOKEN.findall(text):
        assert not other, f"{other!r} in {text!r}"
        parts.append(bytes.fromhex(digits) if digits else quoted.encode())
    return b"".join(parts)


def rows(prefix: str) -> Iterator[Row]:
    """All rows of the files whose names begin so."""
    found = sorted(VECTORS.glob(f"{prefix}_*.json"))
    assert found, f"no vectors for {prefix}"
    for path in found:
        for row in json.loads(path.read_text()):
            reply = int(row.pop("reply"), 16) if "reply" in row else None
            yield Row(**{**row, "wire": wire(row["wire"]), "reply": reply})
