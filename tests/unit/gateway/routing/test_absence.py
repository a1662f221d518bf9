import pytest

from gateway.routing.absence import (
    COMMON_PART,
    MIN_KEYED,
    Evaluate,
    Keyed,
    Residue,
    Split,
    by_keys,
    keys_of,
    look_up,
    residue_unreadable,
    residue_without,
)
from gateway.routing.body import Document, Unreadable
from gateway.routing.expression import Expression
from gateway.routing.parser import parse_route
from gateway.routing.sharing import key_of
from gateway.routing.typecheck import check_condition
from gateway.routing.view import View

VIEW = View({}, {}, "", None, shadows=False)


def condition(where: str) -> Expression:
    text = f"FROM /* WHERE {where} INTO $upstream"
    syntax = parse_route(text)
    assert syntax.condition is not None
    found, _ = check_condition(text, syntax.condition)
    assert found is not None
    return found


def asked(residue: Residue) -> bool | str:
    """A residue that is no answer as the text it has in `where`."""
    if isinstance(residue, bool):
        return residue
    return str(key_of(residue))


A = "$body.a = 5"
P = "p = 'x'"


@pytest.mark.parametrize(
    ("where", "absent", "unreadable"),
    [
        (A, False, False),
        ("$body.a > 5", True, False),  # edgeHub orders the missing value above texts and numbers
        ("$body.a < 5", False, False),
        ("$body.a != 5", True, False),
        ("$body.a = null", True, False),
        (f"NOT ({A})", True, False),
        ("NOT ($body.a > 5)", False, False),
        ("is_defined($body.a)", True, False),  # and defined
        ("NOT is_defined($body.a)", False, True),
        ("is_null($body.a)", False, False),
        ("$body.a", False, False),
        ("$body.a.b[3] > 5", True, False),
        ("$body.a[4294967296] != 5", False, False),
        (f"{A} AND {P}", False, False),
        (f"$body.a != 5 AND {P}", P, False),
        (f"$body.a != 5 OR {P}", True, P),
        (f"{A} OR {P}", P, P),
        (f"NOT ({A} OR {P})", f"NOT ({P})", False),
        (f"NOT ($body.a != 5 OR {P})", False, False),
        (f"NOT ($body.a != 5 AND {P})", f"NOT ({P})", f"NOT ({P})"),
        (f"{A} OR {P} OR q = 'y'", f"{P} OR q = 'y'", f"{P} OR q = 'y'"),
        (f"NOT ({A} OR {P} OR q = 'y')", f"NOT ({P}) AND NOT (q = 'y')", False),
        ("$body.a > $body.b", "$body.a > $body.b", False),
        (f"{A} OR $body.b = 5", "$body.b = 5", False),
        ("$body.b > 5", "$body.b > 5", False),
        ("$body.* > 5", "$body.* > 5", False),
        (P, P, P),
    ],
)
def test_what_is_left_to_ask(where: str, absent: str | bool, unreadable: str | bool) -> None:  # noqa: FBT001 - expected
    for residue, expected in (
        (residue_without({"a"}, condition(where)), absent),
        (residue_unreadable(condition(where)), unreadable),
    ):
        assert asked(residue) == (asked(condition(expected)) if isinstance(expected, str) else expected)


def test_the_keys_are_where_paths_begin() -> None:
    found = list(
        keys_of(condition("$body.a.b > 1 AND NOT ($body.$.c[2] = $body.* OR length($body.d) > 3) AND p = 'x'"))
    )
    assert found == ["a", "c", "d"]


def group(*wheres: str) -> list[tuple[int, Expression]]:
    return [(bit, condition(where)) for bit, where in enumerate(wheres)]


def waiting(split: Split) -> dict[tuple[str, ...], list[int]]:
    return {tuple(sorted(part.keys)): [bit for bit, _ in part.conditions] for part in split.keyed}


RARE = [f"$body.k{n} = 5" for n in range(40)]
"""So many that two more users leave a key rare."""


def test_few_conditions_are_not_looked_up() -> None:
    conditions = group(*RARE[: MIN_KEYED - 1])
    assert by_keys(conditions) == Split(0, conditions, [])


def test_a_condition_waits_for_its_key() -> None:
    split = by_keys(group(*RARE, "p = 'x'"))
    assert waiting(split) == {(f"k{n}",): [n] for n in range(40)}
    assert ([bit for bit, _ in split.first], split.true) == ([40], 0)


def test_what_is_true_without_its_key_is_true_first() -> None:
    split = by_keys(group(*RARE, "$body.q != 1", "NOT ($body.q = 1)"))
    assert split.true == 0b11 << 40
    assert waiting(split)[("q",)] == [40, 41]


@pytest.mark.parametrize(
    ("where", "keys", "first"),
    [
        ("$body.k0 = 1 AND $body.q = 1", ("q",), ""),  # the rarer of two that both decide it
        ("$body.k0 = 1 OR $body.q = 1", ("k0", "q"), ""),
        ("$body.q = 1 OR p = 'x'", ("q",), "p = 'x'"),
        ("$body.q != 1 AND p = 'x'", ("q",), "p = 'x'"),
        ("$body.q = 1 OR p = $body.k1", ("k1", "q"), "p = $body.k1"),
        ("$body.* = 1", (), "$body.* = 1"),
    ],
)
def test_the_fewest_keys_that_decide_are_waited_for(where: str, keys: tuple[str, ...], first: str) -> None:
    split = by_keys(group(*RARE, where))
    found = [names for names, bits in waiting(split).items() if 40 in bits]
    assert found == ([keys] if keys and "k1" not in keys else [])
    assert [asked(residue) for bit, residue in split.first if bit == 40] == (
        [asked(condition(where if "k1" in keys else first))] if first else []
    )


def test_what_many_ask_about_stays_in_one_piece() -> None:
    many = int(2 / COMMON_PART)
    split = by_keys(group(*["$body.kind = 'x'"] * many, *[f"$body.k{n} = 5 OR $body.kind = 'y'" for n in range(many)]))
    assert [bit for bit, _ in split.first] == list(range(2 * many))
    assert len({asked(residue) for _, residue in split.first}) == 2
    assert len(split.keyed) == many


def test_a_part_is_evaluated_only_if_the_body_has_its_key() -> None:
    called: list[str] = []

    def part(keys: str, bit: int, *, unreadable: bool = False) -> tuple[Keyed, Evaluate]:
        def evaluate(_document: Document, _view: View) -> int:
            called.append(keys)
            return 1 << bit

        conditions = [(bit, condition("true")), (bit + 1, condition("true"))]
        return Keyed(keys=frozenset(keys), conditions=conditions, unreadable=unreadable), evaluate

    matched = look_up([part("a", 0), part("b", 2), part("cd", 4), part("e", 6, unreadable=True)])
    assert (matched({}, VIEW, 0b1_0000_0010), called) == (0b1_0000_0010, [])
    assert (matched({"b": 1, "x": 1}, VIEW, 0b1010), called) == (0b0110, ["b"])
    called.clear()
    assert (matched({"c": 1, "d": 1}, VIEW, 0b11_0010), called) == (0b01_0010, ["cd"])
    called.clear()
    assert (matched(Unreadable("torn"), VIEW, 0b1_1111_1111), called) == (0b1_0100_0000, ["e"])
