from edgewire.message import Envelope, identity
from gateway.routing.body import Document, read_body
from gateway.routing.expression import Expression
from gateway.routing.interpret import Interpreter, truth_of
from gateway.routing.parser import parse_route
from gateway.routing.typecheck import check_condition
from gateway.routing.values import UNDEFINED, Value
from gateway.routing.view import view_of


def expression(condition: str) -> Expression:
    text = f"FROM /* WHERE {condition} INTO $upstream"
    syntax = parse_route(text)
    assert syntax.condition is not None
    checked, findings = check_condition(text, syntax.condition)
    assert not findings
    assert checked is not None
    return checked


def interpreter(reads: list[bytes], body: bytes = b'{"a":5,"s":"x"}') -> Interpreter:
    def read() -> Document:
        reads.append(body)
        return read_body(body, "utf-8")

    envelope = Envelope(sender=identity("d"), properties={"level": "high"}, system={"messageId": "m"})
    return Interpreter(view_of(envelope), read)


def test_parts_have_values() -> None:
    values: list[tuple[str, Value]] = [
        ("level", "high"),
        ("$messageId", "m"),
        ("$body.a", 5.0),
        ("$body.a + 1", 6.0),
        ("concat(level, $body.s)", "highx"),
        ("level = 'high' AND missing = 'x'", UNDEFINED),
        ("$body.s OR true", UNDEFINED),
    ]
    for condition, value in values:
        assert interpreter([]).value(expression(condition)) == value


def test_the_body_is_read_once_and_only_when_needed() -> None:
    reads: list[bytes] = []
    one = interpreter(reads)
    assert one.result(expression("level = 'high'")) is True
    assert reads == []
    assert one.result(expression("$body.a = 5 AND $body.s = 'x'")) is True
    assert one.result(expression("$body.a = 6")) is False
    assert len(reads) == 1


def test_a_whole_condition_comes_to_true_false_or_undefined() -> None:
    assert interpreter([]).result(None) is True
    for condition, truth in (("null", False), ("5", UNDEFINED), ("level", UNDEFINED), ("true", True)):
        tree = expression(condition)
        assert truth_of(tree, interpreter([]).value(tree)) is truth
