"""The generated code and the interpreter are two readings of one tree: they must agree on everything."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from edgewire.message import Envelope, Message, identity
from gateway.routing.compile import Compiled, RouteSpec, compile_routes
from gateway.routing.generate import can_be_true, generate, reads_body
from gateway.routing.parser import parse_route
from gateway.routing.typecheck import check_condition
from gateway.routing.values import BODY_NAN
from gateway.routing.view import view_of

SYSTEM = {
    "contentType": "application/json",
    "contentEncoding": "utf-8",
    "connectionDeviceId": "d",
    "messageId": "m",
}
BODY = {
    "n": 5,
    "zero": 0,
    "one": 1,
    "f": 2.5,
    "t": True,
    "o": False,
    "s": "abc",
    "five": "5",
    "nul": None,
    "obj": {"in": 1, "s": "abc"},
    "deep": {"a": {"b": 1.5}},
    "list": [1, "a", None],
    "when": "2024-05-06T07:08:09Z",
}

INSIDE = (
    "obj.in",
    "obj.gone",
    "deep.a.b",
    "deep.a.gone",
    "deep.gone.b",
    "n.in",
    "list[0]",
    "list[9]",
    "obj.*",
    "*",
    "$.n",
)

names = st.sampled_from(
    ["level", "LEVEL", "missing", "novalue", "num", "$messageId", "$nothing", "{$messageId}"]
    + [f"$body.{name}" for name in (*BODY, "gone", *INSIDE)]
)
literals = st.sampled_from(
    [
        "'abc'",
        "'5'",
        "''",
        "'\\ue000'",
        "'a\\ud83d\\ude00'",
        "5",
        "0",
        "1",
        "2.5",
        "-1",
        "0xff",
        "true",
        "false",
        "null",
    ]
)
atoms = names | literals


def _binary(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = ["=", "!=", "<>", "<", "<=", ">", ">=", "AND", "OR", "+", "-", "*", "/", "%", "||", "??"]
    return st.builds("({} {} {})".format, inner, st.sampled_from(operators), inner)


def _unary(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    functions = ["is_defined", "is_null", "is_bool", "is_number", "is_string", "as_number", "length", "upper", "abs"]
    return st.builds("{}({})".format, st.sampled_from(["NOT ", "- ", *functions]), inner)


conditions = st.recursive(atoms, lambda inner: _binary(inner) | _unary(inner), max_leaves=6)
comparisons = st.builds("{} {} {}".format, names, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), atoms)
logic = st.recursive(
    comparisons,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR"]), inner)
        | st.builds("NOT ({})".format, inner)
    ),
    max_leaves=6,
)


def compiled(*wheres: str) -> Compiled:
    return compile_routes(
        {f"r{n}": RouteSpec(text=f"FROM /messages/* WHERE {where} INTO $upstream") for n, where in enumerate(wheres)}
    )


def message(body: bytes, properties: dict[str, str | None] | None = None) -> Message:
    standard = {"Level": "abc", "num": "5", "novalue": None}
    return Message(Envelope(sender=identity("d"), properties=properties or standard, system=SYSTEM), body)


SUBJECTS = ["$body.n", "$body.s", "level", "as_number(level)"]
BODIES = [json.dumps(BODY).encode(), b"{}", b"not json", b"{n: NaN, s: 'abc', 'n': NaN, f: 1, zero: -0.0}"]


@settings(max_examples=600, deadline=None)
@given(st.lists(conditions | logic, min_size=1, max_size=4))
def test_the_generated_code_matches_exactly_what_the_interpreter_calls_true(wheres: list[str]) -> None:
    good = [where for where in wheres if compiled(where).table is not None]
    table = compiled(*good).table
    assert table is not None
    for body in BODIES:
        matched = set(table.match(message(body)).routes)
        for explanation in table.explain(message(body)):
            assert (explanation.route in matched) == (explanation.result == "true"), (good, body)


questions = st.builds(
    "{} {} {}".format, st.sampled_from(SUBJECTS), st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="]), literals
) | st.builds(
    "{}({})".format,
    st.sampled_from(["is_defined", "is_null", "is_bool", "is_number", "is_string", "NOT "]),
    st.sampled_from(SUBJECTS),
)
crowds = st.recursive(
    questions | st.builds("{1} {0} {2}".format, st.sampled_from(["<", ">=", "="]), literals, st.sampled_from(SUBJECTS)),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3).map(" AND ".join)
        | st.builds("({} OR {})".format, inner, inner)
        | st.builds("NOT ({})".format, inner)
    ),
    max_leaves=4,
)
json_values = st.sampled_from(
    [5, 0, 1, 2.5, -1, -0.0, 1e308, "abc", "5", "", "\ue000", "a\U0001f600", True, False, None]
)
other_values = st.sampled_from([{}, [5], "2024-05-06T07:08:09Z", float("inf"), float("-inf"), float("nan")])
texts = st.sampled_from([None, "abc", "5", "1", "0", "", "Infinity", "\ue000", "a\U0001f600", "ABC"])
documents = st.fixed_dictionaries({}, optional=dict.fromkeys(("n", "s"), json_values | other_values))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(questions, min_size=8, max_size=16),
    st.lists(crowds, min_size=2, max_size=8),
    documents.map(json.dumps).map(str.encode) | st.sampled_from([b"no json", b"[]"]),
    st.fixed_dictionaries({}, optional={"level": texts, "$body.n": texts}),
)
def test_many_conditions_on_few_values_come_out_as_one_by_one(
    plain: list[str], joined: list[str], body: bytes, properties: dict[str, str | None]
) -> None:
    good = [where for where in (*plain, *joined) if compiled(where).table is not None]
    table = compiled(*good).table
    assert table is not None
    sent = message(body, {"other": "x", **properties})
    expected = tuple(found.route for found in table.explain(sent) if found.result == "true")
    assert table.match(sent).routes == expected, (good, body, properties)


KEYS = [f"k{n}" for n in range(24)]
keys = st.sampled_from(KEYS)
key_values = st.builds(
    "$body.{}{}".format, keys, st.sampled_from(["", "", "", "", ".in", "[1]", ".*", "[4294967296]"])
) | st.sampled_from(["$body.*", "$body.$", "level", "$messageId"])
key_terms = st.one_of(
    key_values,
    literals,
    st.builds("{}({})".format, st.sampled_from(["as_number", "length", "upper", "-"]), key_values),
    st.builds("({} {} {})".format, key_values, st.sampled_from(["??", "+", "||"]), key_values | literals),
)
key_questions = st.builds(
    "({} {} {})".format, key_terms, st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="]), key_terms
) | st.builds("{}({})".format, st.sampled_from(["is_defined", "is_null", "is_number", "NOT "]), key_values)
key_conditions = st.recursive(
    key_questions,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR"]), inner | key_values)
        | st.builds("NOT ({})".format, inner)
    ),
    max_leaves=4,
)
key_documents = st.dictionaries(keys, json_values | other_values | st.just({"in": 5}) | st.just([1, "abc"]), max_size=6)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(key_conditions, min_size=12, max_size=20),
    st.lists(key_documents.map(json.dumps).map(str.encode), min_size=1, max_size=4),
    st.fixed_dictionaries({}, optional={"level": texts, "$body.k1": texts, "$messageId": texts}),
)
def test_conditions_on_many_keys_come_out_as_one_by_one(
    wheres: list[str], bodies: list[bytes], properties: dict[str, str | None]
) -> None:
    good = [where for where in wheres if compiled(where).table is not None]
    sources = ("/messages/*", "/messages/*", "/messages/*", "/*")
    table = compile_routes(
        {f"r{n}": RouteSpec(text=f"FROM {sources[n % 4]} WHERE {where} INTO $upstream") for n, where in enumerate(good)}
    ).table
    assert table is not None
    for body in (*bodies, b"{}", b"[]", b"no json"):
        sent = message(body, {"other": "x", **properties})
        expected = tuple(found.route for found in table.explain(sent) if found.result == "true")
        assert table.match(sent).routes == expected, (good, body, properties)


def test_a_thousand_routes_on_a_thousand_keys_are_met_exactly() -> None:
    table = compiled(
        *[f"$body.k{n} < 5" for n in range(500)],
        *[f"$body.k{n} != 4 AND $body.kind = 'x'" for n in range(500)],
    ).table
    assert table is not None
    assert table.match(message(b'{"k7":4,"k8":5,"k499":3,"k500":1}')).routes == ("r7", "r499")
    absent = table.match(message(b'{"kind":"x","k7":4}')).routes
    assert len(absent) == 500
    assert (absent[0], "r507" in absent, "r508" in absent) == ("r7", False, True)
    nulls = compiled(*[f"$body.k{n} > 5" for n in range(500)]).table
    assert nulls is not None
    assert len(nulls.match(message(b'{"k7":4,"k8":6}')).routes) == 499  # the missing value is greater than any number
    assert table.match(message(b"no json")).routes == ()


def test_a_thousand_thresholds_are_met_exactly() -> None:
    table = compiled(*[f"$body.n >= {n} AND level = 'l{n % 2}'" for n in range(1500)]).table
    assert table is not None
    for value, count in ((0, 1), (0.5, 1), (1499, 750), (700, 351), (-1, 0)):
        sent = message(json.dumps({"n": value}).encode(), {"level": "l0"})
        assert len(table.match(sent).routes) == count


def test_a_value_that_nothing_left_asks_about_is_not_read() -> None:
    table = compiled(*[f"level = 'x{n}' AND $body.n > {n}" for n in range(9)]).table
    assert table is not None
    view = view_of(message(b"").envelope)
    assert table._match_body(1, view, None) == 0  # type: ignore[arg-type] # reading this would raise


@settings(max_examples=200, deadline=None)
@given(conditions)
def test_a_condition_alone_and_among_others_gives_the_same(where: str) -> None:
    alone, among = compiled(where).table, compiled("$body.s = 'abc'", where, "$body.n > 1").table
    if alone is None or among is None:
        return
    for body in BODIES:
        assert ("r0" in alone.match(message(body)).routes) == ("r1" in among.match(message(body)).routes)


def test_a_body_is_parsed_only_if_a_condition_that_needs_it_is_reached() -> None:
    table = compiled("level = 'no' AND $body.n > 1").table
    assert table is not None
    assert table.match(message(b"\xff" * 3)).routes == ()  # what the body holds is never looked at
    (explanation,) = table.explain(message(b"{}"))
    assert explanation.because is not None
    assert explanation.because.text == "level = 'no'"


def test_a_route_that_can_never_be_true_takes_no_part() -> None:
    for where, possible in (("'text'", False), ("5", False), ("null", False), ("true", True), ("$body.n", True)):
        text = f"FROM /* WHERE {where} INTO $upstream"
        syntax = parse_route(text)
        assert syntax.condition is not None
        condition, _ = check_condition(text, syntax.condition)
        assert condition is not None
        assert can_be_true(condition) is possible
        assert reads_body(condition) is (where == "$body.n")


def test_a_table_without_conditions_still_generates_a_function() -> None:
    assert generate([[], []])(3, view_of(message(b"").envelope), b"") == 0


def test_the_deepest_allowed_nesting_compiles() -> None:
    deep = "1"
    for _ in range(24):
        deep = f"abs({deep} + 1)"
    table = compiled(f"{deep} > 0", "NOT " * 40 + "(level = 'x')", "(" * 40 + "true" + ")" * 40).table
    assert table is not None
    assert table.match(message(b"{}")).routes == ("r0", "r2")


def test_a_condition_nested_deeper_than_that_is_refused_with_its_place() -> None:
    (problem,) = compiled("(" * 60 + "true" + ")" * 60).problems
    assert "nests deeper than 50" in problem.message


def test_a_chain_of_a_thousand_alternatives_compiles() -> None:
    table = compiled(" OR ".join(f"$body.s = 'x{n}'" for n in range(1000)) + " OR $body.s = 'abc'").table
    assert table is not None
    assert table.match(message(b'{"s":"abc"}')).routes == ("r0",)


def test_many_equal_tests_of_one_value_hit_the_right_routes() -> None:
    table = compiled(*[f"$body.s = 't{n % 7}'" for n in range(20)]).table
    assert table is not None
    assert table.match(message(b'{"s":"t3"}')).routes == ("r3", "r10", "r17")
    assert table.match(message(b'{"s":3}')).routes == ()


def test_not_a_number_in_a_body_is_a_value_below_all_numbers() -> None:
    assert repr(BODY_NAN) == "NaN"
    table = compiled("$body.n < 0", "$body.n > 0", "$body.n != 0", "$body.n = $body.n", "is_number($body.n)").table
    assert table is not None
    assert table.match(message(b"{n:NaN}")).routes == ("r0", "r2", "r3")


def test_no_text_of_a_route_reaches_the_generated_code() -> None:
    hostile = "'); import os; ('"
    table = compiled(f'$body.s = "{hostile}" OR $body.__import__ = "x"').table
    assert table is not None
    assert table.match(message(json.dumps({"s": hostile}).encode())).routes == ("r0",)
