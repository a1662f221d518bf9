from gateway.identity.neighbours import Neighbours


def test_each_gateway_has_a_name_of_its_own() -> None:
    assert Neighbours().name != Neighbours().name


def test_nobody_is_above_at_first_but_a_gateway_knows_itself() -> None:
    here = Neighbours()
    assert not here.is_above("gateway-x")
    assert not here.is_above("board's AMQP library")
    assert here.is_above(here.name)


def test_who_is_above_may_not_come_from_below() -> None:
    here = Neighbours()
    assert here.joined("gateway-x")
    assert here.is_above("gateway-x")
    assert here.joined("gateway-y")
    assert not here.is_above("gateway-x"), "the way upstream leads elsewhere now"


def test_a_way_that_leads_here_is_none() -> None:
    here = Neighbours()
    assert not here.joined(here.name)


def test_whoever_came_before_ends_once_it_is_seen_to_be_above() -> None:
    here, ended = Neighbours(), []
    for number, name in enumerate(("gateway-x", "gateway-x", "gateway-y", "gateway-x")):
        here.came(number, name, lambda number=number: ended.append(number))  # type: ignore[misc] # bound at once
    here.left(3)
    here.left(3)
    here.joined("gateway-x")
    assert ended == [0, 1]
