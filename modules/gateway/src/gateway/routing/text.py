"""Text as .NET's invariant culture treats it: case folding for names, simple case mapping, numbers in text."""

import math
import re
from typing import Final

_DOTLESS: Final = "\u0131"
_DOTTED: Final = "\u0130"
_BLANK: Final = " \t\n\v\f\r"

_NUMBER: Final = re.compile(r"[0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+")
_EXPONENT: Final = re.compile(r"[eE]([+-]?[0-9]+)")
_WORDS: Final = {"infinity": math.inf, "+infinity": math.inf, "-infinity": -math.inf}


def _upper_one(character: str) -> str:
    """The simple upper case of one character: itself where only a longer one exists, and for the dotless i."""
    if character == _DOTLESS:
        return character
    for candidate in (character.upper(), character.title()):
        if len(candidate) == 1:
            return candidate
    return character


def _lower_one(character: str) -> str:
    lowered = character.lower()
    return lowered if len(lowered) == 1 and character != _DOTTED else character


def upper(text: str) -> str:
    """Upper case, one character for one (ß stays ß)."""
    return text.upper() if text.isascii() else "".join(map(_upper_one, text))


def lower(text: str) -> str:
    """Lower case, one character for one."""
    return text.lower() if text.isascii() else "".join(map(_lower_one, text))


def folded(name: str) -> str:
    """The key under which names that differ only in case are one."""
    return upper(name)


def number_in(text: str) -> float | None:
    """The number that `text` holds, by NumberStyles.Any and the invariant culture; None if it holds none.

    Allowed: blanks around, one sign before or after (or parentheses for minus), one ¤ on each side, commas anywhere
    after the first digit and before the point, an exponent. Not allowed: a blank after a leading sign, unless a ¤
    stands before it.
    """
    at, sign, currency = _leading(text)
    digits = _NUMBER.match(text, at)
    if digits is None:
        return _WORDS.get(text.strip().lower())
    at = digits.end()
    mantissa = digits[0].replace(",", "")
    exponent = _EXPONENT.match(text, at)
    if exponent is not None:
        mantissa += "e" + exponent[1]
        at = exponent.end()
    final = _trailing(text, at, sign, currency=currency)
    if final is None:
        return None
    value = float(mantissa)
    return -value if final in ("-", ")") else value


def _leading(text: str) -> tuple[int, str, bool]:
    """Where the digits begin, the sign seen (`(` for an open parenthesis), and whether a ¤ was there."""
    sign, currency = "", False
    at = 0
    while at < len(text):
        character = text[at]
        if character in _BLANK and (not sign or currency):
            pass
        elif character in "+-(" and not sign:
            sign = character
        elif character == "¤" and not currency:
            currency = True
        else:
            break
        at += 1
    return at, sign, currency


def _trailing(text: str, at: int, sign: str, *, currency: bool) -> str | None:
    """The final sign after all that may follow the digits, `)` for closed parentheses; None if more stands there."""
    end = len(text.rstrip("\0"))
    while at < end:
        character = text[at]
        if character in _BLANK:
            pass
        elif character in "+-" and not sign:
            sign = character
        elif character == ")" and sign == "(":
            sign = ")"
        elif character == "¤" and not currency:
            currency = True
        else:
            return None
        at += 1
    return None if sign == "(" else sign or "+"
