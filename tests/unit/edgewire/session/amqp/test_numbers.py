"""The lowest free number is taken."""

from edgewire.session.amqp.numbers import Numbers


def test_numbers_come_from_the_bottom_and_come_back() -> None:
    numbers = Numbers(2)
    assert [numbers.take(), numbers.take(), numbers.take(), numbers.take()] == [0, 1, 2, None]
    numbers.give_back(1)
    numbers.give_back(0)
    assert [numbers.take(), numbers.take(), numbers.take()] == [0, 1, None]


def test_a_highest_that_is_lowered_holds_for_numbers_that_come_back() -> None:
    numbers = Numbers(9)
    taken = [numbers.take() for _ in range(4)]
    numbers.highest = 2
    assert numbers.take() is None
    numbers.give_back(3)
    assert numbers.take() is None
    numbers.give_back(2)
    assert numbers.left == 1
    assert numbers.take() == taken[2]
    assert numbers.left == 0
