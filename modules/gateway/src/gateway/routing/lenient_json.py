"""A reader for what edgeHub's JSON library accepts beyond JSON (edgehub.md §2.5).

Single quotes, names without quotes, comments, trailing and missing values, hexadecimal and octal numbers, NaN and
Infinity, `undefined`, `new Name(…)`. Values that no condition can use (dates, undefined, constructors) are read as
`UNUSABLE`. Nesting is bounded, so the recursion is.
"""

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from edgewire.line.bodies import MAX_DEPTH
from gateway.routing.values import joined

MAX_INTEGER_DIGITS: Final = 380
"""The library's own limit for integers beyond 64 bits, sign included."""


@final
class Unusable:
    """A value that a condition sees as undefined."""

    __slots__ = ()


UNUSABLE: Final = Unusable()

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | Unusable | None"


class NotReadable(Exception):  # noqa: N818 - the answer about a device's body, not a fault of ours
    """The body is not even leniently JSON. `why` is for the person who asks."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


# .NET's white space, and the NUL that the library skips like it.
_BLANK = "\0 \t\n\v\f\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SKIP: Final = re.compile(f"[{_BLANK}]*")
_LINE: Final = re.compile(r"[^\r\n]*")
_IS_BLANK: Final = re.compile(f"[{_BLANK}]")
_NUMBER: Final = re.compile(r"[-+.0-9a-fA-FxX]+")
# Digits in one way only: in two, a body of digits that end in an `x` would be tried for minutes.
_PLAIN_NUMBER: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_STRING_PART: Final = {
    '"': re.compile(r'[^"\\]*'),
    "'": re.compile(r"[^'\\]*"),
}
_HEX4: Final = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "\\": "\\", '"': '"', "'": "'", "/": "/"}
_WORDS: Final[dict[str, Json]] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": UNUSABLE,
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}
_WORD_START: Final = {word[0] if word[0] != "-" else "-I": word for word in _WORDS if word != "null"}

_DATE: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,7}+))?"
    r"(?:[Zz]|(?:[+-][0-9]{2})?(?::(?:[0-9]{2})?|[0-9]{2})?)"
)
_MICROSOFT_DATE: Final = re.compile(r"/Date\((-?[0-9]{1,19})(?:[+-][0-9]{2}(?:[0-9]{2})?)?\)/")


def is_date(text: str) -> bool:
    """True for text that the library turns into a date, which no condition can use.

    A date beyond the calendar (24:00 on the last day, milliseconds out of range) counts as one too, where the library
    gives up the whole body: finding that out would cost every body a search.
    """
    if text.startswith("/"):
        return _MICROSOFT_DATE.fullmatch(text) is not None
    if len(text) < 19 or len(text) > 40 or text[10] != "T":
        return False
    found = _DATE.fullmatch(text)
    if found is None:
        return False
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if minute > 59 or second > 59 or not _is_day(year, month, day):
        return False
    return hour < 24 or (hour == 24 and not minute and not second and not int(found[7] or "0"))


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        dt.date(year, month, day)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0

    def skip(self) -> str:
        """Skip blanks; the character now at hand, "" at the end."""
        found = _SKIP.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.text[self.at : self.at + 1]

    def skip_comments(self) -> str:
        """Skip blanks and comments."""
        while self.skip() == "/":
            self.comment()
        return self.text[self.at : self.at + 1]

    def comment(self) -> None:
        opening = self.text[self.at : self.at + 2]
        if self.at + 2 >= len(self.text) or opening not in ("/*", "//"):
            raise NotReadable("a '/' that begins no comment")
        if opening == "/*":
            end = self.text.find("*/", self.at + 2)
            if end < 0:
                raise NotReadable("a comment without an end")
            self.at = end + 2
            return
        line = _LINE.match(self.text, self.at)
        self.at = line.end() if line else self.at

    def unexpected(self) -> NotReadable:
        if self.at >= len(self.text):
            return NotReadable("the text ends inside a value")
        return NotReadable(f"{self.text[self.at]!r} at character {self.at + 1}")

    def document(self) -> dict[str, Json]:
        if self.skip_comments() != "{":
            raise NotReadable("the top of the body is no JSON object")
        found = self.members(1)
        if self.skip_comments():
            raise NotReadable("there is text after the object")
        return found

    def members(self, depth: int) -> "dict[str, Json]":
        """An object, from its opening brace on."""
        self.deeper(depth)
        found: dict[str, Json] = {}
        while self.skip_comments() != "}":
            name = self.name()
            if self.skip() != ":":
                raise self.unexpected()
            self.at += 1
            found[name] = self.value(depth)
            if not self.after_value("}"):
                break
        self.at += 1
        return found

    def elements(self, depth: int, closing: str) -> "list[Json]":
        """An array or a constructor's arguments, from the opening bracket on."""
        self.deeper(depth)
        found: list[Json] = []
        while self.skip_comments() != closing:
            found.append(self.value(depth))
            if not self.after_value(closing):
                break
        self.at += 1
        return found

    def deeper(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise NotReadable(f"more than {MAX_DEPTH} arrays and objects inside one another")
        self.at += 1

    def after_value(self, closing: str) -> bool:
        """True after a comma (and past it), False before the closing bracket."""
        following = self.skip_comments()
        if following == ",":
            self.at += 1
            return True
        if following == closing:
            return False
        raise self.unexpected()

    def name(self) -> str:
        quote = self.text[self.at : self.at + 1]
        if quote in ('"', "'"):
            return self.string(quote)
        start = self.at
        while self.at < len(self.text) and _in_name(self.text[self.at]):
            self.at += 1
        following = self.text[self.at : self.at + 1]
        if self.at == start or not (following == ":" or _IS_BLANK.match(following)):
            raise self.unexpected()
        return self.text[start : self.at]

    def value(self, depth: int) -> Json:
        first = self.skip_comments()
        if first == ",":
            return UNUSABLE
        if first in ('"', "'"):
            text = self.string(first)
            return UNUSABLE if is_date(text) else text
        if first == "{":
            return self.members(depth + 1)
        if first == "[":
            return self.elements(depth + 1, "]")
        if first == "n":
            return self.null_or_constructor(depth)
        word = _WORD_START.get("-I" if self.text.startswith("-I", self.at) else first)
        if word is not None:
            return self.word(word)
        if first and first in "-.0123456789":
            return self.number()
        raise self.unexpected()

    def word(self, word: str) -> Json:
        if not self.text.startswith(word, self.at) or not self.separated(self.at + len(word)):
            raise self.unexpected()
        self.at += len(word)
        return _WORDS[word]

    def separated(self, at: int) -> bool:
        """True if a word may end before `at`."""
        following = self.text[at : at + 1]
        if following == "/":
            return self.text[at + 1 : at + 2] in ("/", "*")
        return not following or following in "}],)" or _IS_BLANK.match(following) is not None

    def null_or_constructor(self, depth: int) -> Json:
        if not self.text.startswith("ne", self.at):
            return self.word("null")
        if not self.text.startswith("new", self.at) or not _IS_BLANK.match(self.text, self.at + 3):
            raise self.unexpected()
        self.at += 3
        self.skip()
        while self.at < len(self.text) and self.text[self.at].isalnum():
            self.at += 1
        if self.skip() != "(":
            raise self.unexpected()
        self.elements(depth + 1, ")")
        return UNUSABLE

    def number(self) -> Json:
        found = _NUMBER.match(self.text, self.at)
        digits = found[0] if found else ""
        self.at += len(digits)
        following = self.text[self.at : self.at + 1]
        if following and following not in ",}])/" and not _IS_BLANK.match(following):
            raise self.unexpected()
        value = _number_of(digits)
        if value is None:
            raise NotReadable(f"'{digits[:40]}' is no number")
        return value

    def string(self, quote: str) -> str:
        parts: list[str] = []
        self.at += 1
        while True:
            found = _STRING_PART[quote].match(self.text, self.at)
            end = found.end() if found else self.at
            parts.append(self.text[self.at : end])
            self.at = end + 1
            if end >= len(self.text):
                raise NotReadable("a text without a closing quote")
            if self.text[end] == quote:
                return joined("".join(parts))
            parts.append(self.escape())

    def escape(self) -> str:
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        if letter == "u":
            return self.unicode_escapes()
        if letter not in _ESCAPES:
            raise NotReadable(f"the escape \\{letter} does not exist")
        return _ESCAPES[letter]

    def unicode_escapes(self) -> str:
        r"""\uXXXX, and the \uXXXX of its other half; a half alone becomes U+FFFD."""
        written: list[str] = []
        unit = self.code_unit()
        while "\ud800" <= unit <= "\udbff":
            if not self.text.startswith("\\u", self.at):
                return "".join(written) + "\ufffd"
            self.at += 2
            second = self.code_unit()
            if "\udc00" <= second <= "\udfff":
                return "".join(written) + joined(unit + second)
            written.append("\ufffd")
            if not "\ud800" <= second <= "\udbff":
                return "".join(written) + second
            unit = second
        return "\ufffd" if "\udc00" <= unit <= "\udfff" else unit

    def code_unit(self) -> str:
        found = _HEX4.match(self.text, self.at)
        if found is None:
            raise NotReadable("a \\u escape without four hexadecimal digits")
        self.at += 4
        return chr(int(found[0], 16))


def _in_name(character: str) -> bool:
    """A letter, a digit, `_` or `$`; .NET looks at one UTF-16 unit, so nothing beyond U+FFFF counts."""
    return character in "_$" or (character <= "\uffff" and (character.isalpha() or character.isdecimal()))


def _number_of(digits: str) -> Json:
    """The number written as `digits`; None if it is none. A leading zero means octal, `0x` hexadecimal."""
    if digits[0] == "0" and len(digits) > 1 and digits[1] not in ".eE":
        return _based_number(digits)
    if _PLAIN_NUMBER.fullmatch(digits) is None:
        return None
    if len(digits) > MAX_INTEGER_DIGITS and digits.lstrip("-").isdigit():
        raise NotReadable(f"an integer of more than {MAX_INTEGER_DIGITS} digits")
    return float(digits) if digits != "-0" else 0.0


def _based_number(digits: str) -> Json:
    """64 bits in two's complement, as Convert.ToInt64 reads them."""
    try:
        value = int(digits, 0) if digits[1] in "xX" else int(digits, 8)
    except ValueError:
        return None
    if value >= 2**64 or value < 0 or "+" in digits or "-" in digits:
        return None
    return float(value - 2**64 if value >= 2**63 else value)


def read(text: str) -> "dict[str, Json]":
    """The object that `text` holds.

    Raises NotReadable if it holds none.
    """
    return _Reader(text).document()
