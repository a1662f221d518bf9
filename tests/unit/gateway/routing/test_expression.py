from gateway.routing.expression import Apply, Compare, Constant, Logic, Not, Type, children
from gateway.routing.tree import Span
from gateway.routing.values import Value

HERE = Span(0, 1)
LEAF = Constant(HERE, Type.BOOL, value=True)
OTHER = Constant(HERE, Type.BOOL, value=False)


def first(*values: Value) -> Value:
    return values[0]


def test_children_are_the_operands_as_written() -> None:
    assert children(LEAF) == ()
    assert children(Not(HERE, Type.BOOL, LEAF)) == (LEAF,)
    assert children(Apply(span=HERE, type=Type.BOOL, operation=first, arguments=(LEAF, OTHER))) == (LEAF, OTHER)
    compare = Compare(span=HERE, type=Type.BOOL, symbol="=", dynamic=False, left=LEAF, right=OTHER)
    assert children(compare) == (LEAF, OTHER)
    logic = Logic(span=HERE, type=Type.BOOL, is_and=True, dynamic=False, operands=(LEAF, OTHER, LEAF))
    assert children(logic) == (LEAF, OTHER, LEAF)
