import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.text import folded, lower, number_in, upper


@pytest.mark.parametrize(
    ("text", "up", "down"),
    [
        ("aBc", "ABC", "abc"),
        ("ß", "ß", "ß"),
        ("éÀ", "ÉÀ", "éà"),
        ("ﬁ", "ﬁ", "ﬁ"),
        ("ŉ", "ŉ", "ŉ"),
        ("\u0131", "\u0131", "\u0131"),
        ("İ", "İ", "İ"),
        ("ᾳ", "ᾼ", "ᾳ"),
        ("ΑΣ", "ΑΣ", "\u03b1\u03c3"),
        ("𐐨", "𐐀", "𐐨"),
    ],
)
def test_case_maps_one_character_to_one(text: str, up: str, down: str) -> None:
    assert (upper(text), lower(text)) == (up, down)


@given(st.text())
def test_case_never_changes_the_length(text: str) -> None:
    assert len(upper(text)) == len(lower(text)) == len(text)


def test_names_that_differ_in_case_fold_to_one() -> None:
    assert folded("Café") == folded("CAFÉ") == folded("cAFé")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7.0),
        (" \t7\n", 7.0),
        ("+7", 7.0),
        ("7+", 7.0),
        ("7 -", -7.0),
        ("( 7)", None),
        ("(7)", -7.0),
        (" (7) ", -7.0),
        ("7)", None),
        ("¤ 7", 7.0),
        ("¤¤7", None),
        ("¤7¤", None),
        ("1,2,3.5", 123.5),
        ("1e2", 100.0),
        ("1e+2", 100.0),
        ("1,0e2", 1000.0),
        ("1e2.5", None),
        ("1e999", math.inf),
        ("7\0\0", 7.0),
        ("7\0x", None),
        ("infinity", math.inf),
        (" -Infinity ", -math.inf),
        ("nan", None),
        ("", None),
        ("\u0667", None),
        ("\u00a07", None),
    ],
)
def test_numbers_in_text(text: str, number: float | None) -> None:
    assert number_in(text) == number


@given(st.text(alphabet="0123456789.,+-()eE¤ \t", max_size=12))
def test_any_text_holds_a_number_or_none(text: str) -> None:
    number = number_in(text)
    assert number is None or isinstance(number, float)
