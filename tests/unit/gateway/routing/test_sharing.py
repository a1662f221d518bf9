from gateway.routing.expression import Expression
from gateway.routing.generate import reads_body
from gateway.routing.parser import parse_route
from gateway.routing.sharing import CHUNK, MIN_SHARED, Shared, key_of, share
from gateway.routing.typecheck import check_condition


def condition(where: str) -> Expression:
    text = f"FROM /* WHERE {where} INTO $upstream"
    syntax = parse_route(text)
    assert syntax.condition is not None
    found, _ = check_condition(text, syntax.condition)
    assert found is not None
    return found


def shared(*wheres: str) -> tuple[list[Shared], list[int]]:
    parts, alone = share([(bit, condition(where)) for bit, where in enumerate(wheres)], reads_body)
    return parts, [bit for bit, _ in alone]


def test_the_key_forgets_the_place_and_nothing_else() -> None:
    same = ("$body.a > 5", "  $body.a   > 5.0")
    assert len({key_of(condition(where)) for where in same}) == 1
    others = ("$body.a < 5", "$body.b > 5", "a > '5'", "$body.a > '5'", "NOT ($body.a > 5)", "is_null($body.a)")
    assert len({key_of(condition(where)) for where in (*same, *others)}) == 1 + len(others)
    assert key_of(condition("$body.a = true")) != key_of(condition("$body.a = 1"))
    assert key_of(condition("true AND a = 'x'")) != key_of(condition("true OR a = 'x'"))


def test_comparisons_of_one_value_are_shared_and_few_are_not() -> None:
    wheres = [f"$body.a > {n}" for n in range(MIN_SHARED)]
    (part,), alone = shared(*wheres)
    assert (part.base, part.members, len(part.subjects), alone) == (0, 2**MIN_SHARED - 1, 1, [])
    assert shared(*wheres[1:]) == ([], list(range(MIN_SHARED - 1)))


def test_a_conjunction_is_shared_if_each_part_asks_about_one_thing() -> None:
    wheres = [f"$body.a > {n} AND (b = 'x{n}' OR b = 'y') AND is_number($body.a)" for n in range(MIN_SHARED)]
    (part,), alone = shared(*wheres)
    assert ([reads_body(subject.expression) for subject in part.subjects], alone) == ([False, True], [])
    assert all(subject.needs == part.members for subject in part.subjects)


def test_what_asks_about_two_things_at_once_is_left_alone() -> None:
    for where in ("$body.a > 1 OR b = 'x'", "$body.a > $body.b", "$body.a AND ($body.b > 1 OR $body.c > 1)", "true"):
        assert shared(*[where] * MIN_SHARED) == ([], list(range(MIN_SHARED)))


def test_a_part_that_few_others_ask_about_keeps_its_condition_out() -> None:
    wheres = [f"$body.a > {n}" for n in range(MIN_SHARED)]
    (part,), alone = shared(*wheres, "$body.a > 1 AND $body.rare = 1")
    assert (part.members.bit_count(), alone) == (MIN_SHARED, [MIN_SHARED])


def test_functions_of_one_value_are_evaluated_once() -> None:
    (part,), alone = shared(*[f"as_number(level) >= {n}" for n in range(20)])
    assert ([subject.needs for subject in part.subjects], alone) == ([2**20 - 1], [])


def test_masks_are_no_longer_than_a_chunk() -> None:
    count = 2 * CHUNK + MIN_SHARED
    parts, alone = shared(*["$body.a = 1"] * count)
    assert [part.base for part in parts] == [0, CHUNK, 2 * CHUNK]
    assert [part.members.bit_count() for part in parts] == [CHUNK, CHUNK, MIN_SHARED]
    assert alone == []
