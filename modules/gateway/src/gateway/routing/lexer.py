"""Route text to tokens, by edgeHub's rules: the longest match wins, and of equal ones the first in `_RULES`.

An identifier may hold almost any character (edgehub.md §2.2), so `a!='x'` starts with the identifier `a!`. Nothing is
refused here: a character that fits nowhere becomes an UNKNOWN token, and the parser says what is wrong with it.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What a token is; the value is how a message names it."""

    SELECT = "SELECT"
    FROM = "FROM"
    WHERE = "WHERE"
    INTO = "INTO"
    STRING = "text in quotes"
    UNTERMINATED = "text without a closing quote"
    INTEGER = "an integer"
    HEX = "a hexadecimal number"
    REAL = "a number"
    TRUE = "true"
    FALSE = "false"
    NULL = "null"
    UNDEFINED = "undefined"
    SYMBOL = "a symbol"
    AND = "AND"
    OR = "OR"
    NOT = "NOT"
    SYSTEM = "a name with $"
    NAME = "a name"
    BRACKETED = "a name with brackets"
    UNKNOWN = "a character that no route may hold here"
    END = "the end of the route"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One token; `start` and `end` are indexes into the route text."""

    kind: Kind
    text: str
    start: int
    end: int

    def is_symbol(self, symbol: str) -> bool:
        """True if this is the operator or bracket `symbol`."""
        return self.kind is Kind.SYMBOL and self.text == symbol


@dataclass(frozen=True, slots=True)
class Lexed:
    """All tokens of a route, an END last, and its comments."""

    tokens: tuple[Token, ...]
    comments: tuple[Token, ...]


_NOT_IN_NAME = r'()<>@,;:\\"/?={} \t\n\r'
_ESCAPE = r"""\\(?:["'\\]|u[0-9a-fA-F]{4})"""
_EXPONENT = r"[Ee][+-]?[0-9]+"

# In edgeHub's order: of two matches of the same length the upper one wins.
_RULES: Final = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (Kind.SELECT, r"(?ai:select)"),
        (Kind.FROM, r"(?ai:from)"),
        (Kind.WHERE, r"(?ai:where)"),
        (Kind.INTO, r"(?ai:into)"),
        (Kind.STRING, rf'"(?:{_ESCAPE}|[^"\\])*"'),
        (Kind.STRING, rf"'(?:{_ESCAPE}|[^'\\])*'"),
        (Kind.UNTERMINATED, rf'"(?:{_ESCAPE}|[^"\\])*'),
        (Kind.UNTERMINATED, rf"'(?:{_ESCAPE}|[^'\\])*"),
        (Kind.INTEGER, r"-?[0-9]+"),
        (Kind.HEX, r"0[Xx][0-9a-fA-F]+"),
        (Kind.REAL, rf"-?[0-9]*\.[0-9]+(?:{_EXPONENT})?"),
        (Kind.REAL, rf"-?[0-9]*{_EXPONENT}"),
        (Kind.TRUE, r"true"),
        (Kind.FALSE, r"false"),
        (Kind.NULL, r"null"),
        (Kind.UNDEFINED, r"undefined"),
        (Kind.SYMBOL, r"\?\?|\|\||!=|<>|<=|>=|[()=<>,+*/%{}-]"),
        (Kind.AND, r"(?ai:and)"),
        (Kind.OR, r"(?ai:or)"),
        (Kind.NOT, r"(?ai:not)"),
        (Kind.SYSTEM, rf"\$[^{_NOT_IN_NAME}]+"),
        (Kind.NAME, rf"[^{_NOT_IN_NAME}\[\]]+"),
        (Kind.BRACKETED, rf"[^{_NOT_IN_NAME}]+"),
    )
)
_BLANKS: Final = re.compile(r"[ \t\r\n]+")
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)


def _token_at(text: str, at: int) -> Token:
    """The longest token that starts at `at`."""
    best, end = Kind.UNKNOWN, at
    for kind, rule in _RULES:
        found = rule.match(text, at)
        if found is not None and found.end() > end:
            best, end = kind, found.end()
    end = max(end, at + 1)
    return Token(kind=best, text=text[at:end], start=at, end=end)


def lex(text: str) -> Lexed:
    """The tokens of `text`; blanks are dropped, comments kept aside. A comment runs to the first `*/`, not further."""
    tokens: list[Token] = []
    comments: list[Token] = []
    at = 0
    last_closing = text.rfind("*/")  # beyond it no comment can end, so none is looked for
    while at < len(text):
        blanks = _BLANKS.match(text, at)
        if blanks is not None:
            at = blanks.end()
            continue
        comment = _COMMENT.match(text, at) if at < last_closing else None
        if comment is not None:
            comments.append(Token(kind=Kind.UNKNOWN, text=comment[0], start=at, end=comment.end()))
            at = comment.end()
            continue
        tokens.append(_token_at(text, at))
        at = tokens[-1].end
    tokens.append(Token(kind=Kind.END, text="", start=len(text), end=len(text)))
    return Lexed(tuple(tokens), tuple(comments))
