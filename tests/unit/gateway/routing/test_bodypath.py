import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.bodypath import BadPath, BodyPath, parse_body_path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        ("a[0]", ("a", 0)),
        ("a[12].b[3]", ("a", 12, "b", 3)),
        ("a[007]", ("a", 7)),
        ("7a", ("7a",)),
        ("x-y._u.名", ("x-y", "_u", "名")),
        ("*", (None,)),
        ("a.*", ("a", None)),
        ("*[0]", (None, 0)),
        ("x*", ("x*",)),
        ("$.a", ("a",)),
        ("$[0]", (0,)),
        ("$", ()),
        ("$a", ("$a",)),
        ("a.$", ("a", "$")),
    ],
)
def test_paths(text: str, steps: tuple[str | int | None, ...]) -> None:
    assert parse_body_path(text) == BodyPath(text, steps)


@pytest.mark.parametrize(
    ("text", "start", "word"),
    [
        ("", 0, "needs the name"),
        (".a", 0, "without a name"),
        ("a.", 1, "without a name"),
        ("a..b", 1, "without a name"),
        ("7", 0, "only digits"),
        ("a.7.b", 2, "only digits"),
        ("a[", 1, "does not fit"),
        ("a[]", 1, "does not fit"),
        ("a[-1]", 1, "does not fit"),
        ("a['b']", 1, "does not fit"),
        ("a]b", 1, "does not fit"),
        ("a[0]b", 4, "does not fit"),
        ("a[0][1]", 4, "one index"),
        ("[0]", 0, "without a name"),
    ],
)
def test_bad_paths_say_where_and_why(text: str, start: int, word: str) -> None:
    bad = parse_body_path(text)
    assert isinstance(bad, BadPath)
    assert bad.span.start == start
    assert word in bad.message
    assert bad.fix


def test_an_index_beyond_32_bits_makes_the_path_impossible() -> None:
    for digits, impossible in (
        ("2147483647", False),
        ("2147483648", True),
        ("0" * 50 + "1", False),
        ("9" * 5000, True),
    ):
        path = parse_body_path(f"a[{digits}]")
        assert isinstance(path, BodyPath)
        assert path.impossible is impossible


@given(st.text(alphabet="ab.[]0123456789*$-", max_size=20))
def test_any_text_is_a_path_or_bad(text: str) -> None:
    assert isinstance(parse_body_path(text), (BodyPath, BadPath))
