import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.body import Unreadable, as_value, codec_of, read_body, value_at, why_no_codec
from gateway.routing.bodypath import BodyPath, parse_body_path
from gateway.routing.values import BODY_NAN, MISSING, NULL, UNDEFINED, Value


def at(document: object, path: str) -> Value:
    parsed = parse_body_path(path)
    assert isinstance(parsed, BodyPath)
    return value_at(read_body(json.dumps(document).encode(), "utf-8"), parsed)


def test_values_at_paths() -> None:
    document = {"a": {"b": [1, {"c": "x"}]}, "n": None, "one": {"only": 5}}
    assert at(document, "a.b[0]") == 1.0
    assert at(document, "a.b[1].c") == "x"
    assert at(document, "a.b[2]") is MISSING
    assert at(document, "a.c.d") is MISSING
    assert at(document, "n") is NULL
    assert at(document, "a.b") is UNDEFINED
    assert at(document, "one.*") == 5.0
    assert at(document, "*.only") == 5.0
    assert at(document, "*") is UNDEFINED
    assert at(document, "$.n") is NULL
    assert at(document, "n[99999999999]") is UNDEFINED


def test_json_values_become_values() -> None:
    assert as_value(5) == 5.0
    assert isinstance(as_value(5), float)
    assert as_value(True) is True
    assert as_value(float("nan")) is BODY_NAN
    assert as_value("2024-05-06T07:08:09Z") is UNDEFINED
    assert as_value("/Date(5)/") is UNDEFINED
    assert as_value("/other/path") == "/other/path"
    assert as_value([1]) is UNDEFINED
    assert as_value(MISSING) is MISSING


def test_an_unreadable_body_is_undefined_in_every_part_and_says_why() -> None:
    for body, codec, why in ((b"{}", None, "not read"), (b"x", "utf-8", "no readable JSON"), (b"[1]", "utf-8", "top")):
        document = read_body(body, codec)
        assert isinstance(document, Unreadable)
        assert why in document.why
        assert document.get("a", MISSING) is UNDEFINED
        assert value_at(document, BodyPath("a.b", ("a", "b"))) is UNDEFINED


@given(st.binary(max_size=40), st.sampled_from(["utf-8", "utf-16-le", "utf-32-le", None]))
def test_no_bytes_raise(body: bytes, codec: str | None) -> None:
    for whole in (body, b"{'a':" + body + b"}"):
        assert isinstance(read_body(whole, codec), dict)


@given(st.integers(1, 70), st.booleans())
def test_the_limit_of_nesting_is_one_for_both_readers(depth: int, strict: object) -> None:
    quote = b'"' if strict else b"'"
    body = b"{" + quote + b"a" + quote + b":" + b"[" * depth + b"]" * depth + b"}"
    assert isinstance(read_body(body, "utf-8"), Unreadable) is (depth > 63)


def test_codecs() -> None:
    assert codec_of("application/json", "UTF-16") == "utf-16-le"
    assert codec_of("application/json", "latin-1") is None
    assert codec_of(None, "utf-8") is None


def test_what_to_put_on_the_topic() -> None:
    assert "$.ct=application%2Fjson&$.ce=utf-8" in why_no_codec(None, None)
    assert "no contentEncoding" in why_no_codec("application/json", None)
    assert "without parameters" in why_no_codec("application/json; charset=utf-8", "utf-8")
    assert "'utf8'" in why_no_codec("application/json", "utf8")
