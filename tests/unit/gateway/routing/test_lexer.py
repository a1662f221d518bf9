import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.lexer import Kind, lex


def kinds(text: str) -> list[tuple[Kind, str]]:
    return [(token.kind, token.text) for token in lex(text).tokens[:-1]]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT", Kind.SELECT),
        ("from", Kind.FROM),
        ("Where", Kind.WHERE),
        ("iNTO", Kind.INTO),
        ("'a b'", Kind.STRING),
        ('"a b"', Kind.STRING),
        ("'a", Kind.UNTERMINATED),
        ("42", Kind.INTEGER),
        ("-42", Kind.INTEGER),
        ("0x1F", Kind.HEX),
        ("1.5", Kind.REAL),
        ("e5", Kind.REAL),
        ("-1e-5", Kind.REAL),
        ("true", Kind.TRUE),
        ("TRUE", Kind.NAME),
        ("null", Kind.NULL),
        ("undefined", Kind.UNDEFINED),
        ("and", Kind.AND),
        ("oR", Kind.OR),
        ("NOT", Kind.NOT),
        ("android", Kind.NAME),
        ("5.", Kind.NAME),
        ("3+4", Kind.NAME),
        ("'a'||'b'", Kind.NAME),
        ("a!", Kind.NAME),
        ("*", Kind.SYMBOL),
        ("**", Kind.NAME),
        ("||", Kind.SYMBOL),
        ("&&", Kind.NAME),
        ("??", Kind.SYMBOL),
        ("?", Kind.UNKNOWN),
        (":", Kind.UNKNOWN),
        ("$x", Kind.SYSTEM),
        ("$body.a[0].b", Kind.SYSTEM),
        ("$", Kind.NAME),
        ("a[0]", Kind.BRACKETED),
        ("[", Kind.BRACKETED),
        ("\u017felect", Kind.NAME),  # a long s is no S
    ],
)
def test_a_text_that_is_one_token(text: str, kind: Kind) -> None:
    assert kinds(text) == [(kind, text)]


def test_the_longest_match_wins() -> None:
    assert kinds("a!='x'") == [(Kind.NAME, "a!"), (Kind.SYMBOL, "="), (Kind.STRING, "'x'")]
    assert kinds("a != 'x'") == [(Kind.NAME, "a"), (Kind.SYMBOL, "!="), (Kind.STRING, "'x'")]
    assert kinds("a<=b<>c") == [
        *((Kind.NAME, "a"), (Kind.SYMBOL, "<="), (Kind.NAME, "b")),
        *((Kind.SYMBOL, "<>"), (Kind.NAME, "c")),
    ]


def test_comments_are_kept_aside_and_end_at_the_first_closing() -> None:
    lexed = lex("a /* b */ c */ d /* open")
    assert [comment.text for comment in lexed.comments] == ["/* b */"]
    assert [token.text for token in lexed.tokens] == ["a", "c", "*", "/", "d", "/", "*", "open", ""]


def test_a_comment_inside_quotes_is_text() -> None:
    assert kinds("'/* a */'") == [(Kind.STRING, "'/* a */'")]


@given(st.text(alphabet="FROM WHEREINTO/*'\"\\u0041$body.[]0x1e5+-!=<>()\n\t{}?:,é😀", max_size=60))
def test_any_text_lexes_without_gaps(text: str) -> None:
    lexed = lex(text)
    covered = sorted([*lexed.tokens, *lexed.comments], key=lambda token: token.start)
    at = 0
    for token in covered:
        assert text[at : token.start].strip(" \t\r\n") == ""
        assert token.text == text[token.start : token.end]
        at = token.end
    assert lexed.tokens[-1].kind is Kind.END


def test_a_text_of_many_unclosed_comments_lexes_in_linear_time() -> None:
    assert len(lex("/* " * 50_000).tokens) == 100_001
