import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.line.escapes import percent_decode, percent_encode, percent_encoded_size


def test_a_plus_is_a_plus_and_only_unreserved_characters_stay() -> None:
    assert percent_decode("1+1%2b", "x") == "1+1+"
    assert percent_encode("a_b.c-d~e f/g+é") == "a_b.c-d~e%20f%2Fg%2B%C3%A9"


@pytest.mark.parametrize("text", ["%", "%2", "%g0", "a%", "%%41", "% 41", "%ff", "%C3", "%ED%A0%80"])
def test_broken_escapes_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="the thing"):
        percent_decode(text, "the thing")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_encoded_is_decoded(text: str) -> None:
    assert percent_decode(percent_encode(text), "x") == text
    assert percent_encoded_size(text) == len(percent_encode(text))


@given(st.text())
def test_any_text_is_decoded_or_refused(text: str) -> None:
    try:
        percent_decode(text, "x")
    except ProtocolError:
        assert "%" in text
