import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.lenient_json import UNUSABLE, NotReadable, is_date, read


def plain(value: object) -> object:
    """What json.loads gives, with the conversions of the reader."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str):
        return UNUSABLE if is_date(value) else value
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_all_json_is_read_as_json(value: dict[str, object], ascii_only: object, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=bool(ascii_only), indent=indent, allow_nan=True)
    assert read(text) == plain(json.loads(text))


@given(st.text(alphabet="{}[]:,'\"\\/*abnulefrtsN-+.0x1eE9 \n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for whole in (text, "{a:" + text + "}"):
        with contextlib.suppress(NotReadable):
            assert isinstance(read(whole), dict)


GOOD = (
    "{'a': [1, 0x1F, {b: 'x\\u0041\\ud83d\\ude00'}], /* c */ "
    '"d": new Date(1), e: -Infinity, f: undefined, g: .5} // end'
)


def test_a_text_cut_anywhere_is_refused_or_whole() -> None:
    assert read(GOOD)["d"] is UNUSABLE
    end = GOOD.index("} //") + 1
    for cut in range(len(GOOD)):
        if cut < end:
            with pytest.raises(NotReadable):
                read(GOOD[:cut])
        elif GOOD[end:cut].strip() not in ("/", "//"):
            read(GOOD[:cut])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no JSON object"),
        ("[1]", "no JSON object"),
        ("{} x", "text after the object"),
        ("{'a': 'x}", "without a closing quote"),
        ("{'a': '\\q'}", "escape \\q"),
        ("{'a': '\\u00g0'}", "four hexadecimal"),
        ("{'a': /* x }", "comment without an end"),
        ("{'a': 1-1}", "'1-1' is no number"),
        ("{'a': tru}", "'t' at character 7"),
        ("{'a'", "ends inside"),
        ("{'a':" * 65, "more than 64"),
        ("{'a':" + "1" * 400 + "}", "more than 380 digits"),
    ],
)
def test_a_refusal_says_why(text: str, why: str) -> None:
    with pytest.raises(NotReadable, match=why.replace("\\", "\\\\")):
        read(text)


def test_deep_nesting_is_refused_quickly_and_never_exhausts_the_stack() -> None:
    for text in ("[" * 200_000, "{a:" * 100_000, "{a:new X(" * 50_000):
        with pytest.raises(NotReadable):
            read(text)


def test_a_line_end_is_looked_for_in_its_line_alone() -> None:
    def took_s(text: str) -> float:
        began_at = time.process_time()
        assert read(text) == {"\U0001f600": 1.0}
        return time.process_time() - began_at

    body = "{'\U0001f600':1,%s}"  # wide characters are looked through slowest
    lines = min(took_s(body % ("//\n" * 87_000)) for _ in range(3))
    assert lines < 4 * min(took_s(body % ("/*\n*/" * 87_000)) for _ in range(3))


@pytest.mark.parametrize("end", ["x", "+", "e", "-1", ".."])
@pytest.mark.parametrize("beginning", ["", "-", "0.", "1e"])
def test_digits_that_are_no_number_after_all_are_refused_quickly(beginning: str, end: str) -> None:
    """20,000 of them took eight seconds, and four times as long with each twice as many."""
    began_at = time.process_time()
    with contextlib.suppress(NotReadable):
        read('{"a":' + beginning + "1" * 20_000 + end + "}")
    assert time.process_time() - began_at < 1
