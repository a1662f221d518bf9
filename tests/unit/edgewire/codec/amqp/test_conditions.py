import pytest

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol

CONDITIONS = [value for name, value in vars(conditions).items() if name.isupper()]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_is_a_symbol_of_a_known_domain(condition: object) -> None:
    assert type(condition) is Symbol
    assert condition.startswith(("amqp:", "com.microsoft:"))


def test_no_condition_stands_there_twice() -> None:
    assert len(set(CONDITIONS)) == len(CONDITIONS)
