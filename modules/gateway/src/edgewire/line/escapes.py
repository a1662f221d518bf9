"""Percent-encoding, strict: every `%` starts an escape, every escape is UTF-8, and `+` is a plus."""

import re
from typing import Final
from urllib.parse import quote, unquote

from edgewire.errors import ProtocolError

_NEVER_ESCAPED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def percent_decode(text: str, what: str) -> str:
    """`text` decoded once; `what` names it for the peer's error.

    Raises ProtocolError if a `%` is not followed by two hexadecimal digits, or if the bytes are not UTF-8.
    """
    if "%" not in text:
        return text
    if _BROKEN_ESCAPE.search(text):
        raise ProtocolError(f"{what} holds a '%' that is not followed by two hexadecimal digits; write '%25' for it")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ProtocolError(f"{what} holds escapes that are not UTF-8") from None


def percent_encode(text: str) -> str:
    """`text` with everything escaped but letters, digits and `_.-~`, escapes in capitals."""
    return quote(text, safe="")


def percent_encoded_size(text: str) -> int:
    """How long `percent_encode(text)` is, at a tenth of its time."""
    raw = text.encode("utf-8")
    return len(raw) + 2 * len(raw.translate(None, _NEVER_ESCAPED))
