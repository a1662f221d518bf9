from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity, module_input
from gateway.app.show import MAX_BODY_CHARS, shown
from gateway.observe.tap import Routed


def routed(body: bytes, routes: tuple[str, ...] = (), deliveries: tuple[Delivery, ...] = ()) -> Routed:
    return Routed(Message(Envelope(sender=identity("boiler"), properties={}, system={}), body), routes, deliveries)


def test_a_matched_message_names_its_routes_and_its_endpoints() -> None:
    line = shown(routed(b'{"t":1}', ("alerts", "all"), (Delivery(UPSTREAM), Delivery(module_input("m", "i")))))
    assert line == 'boiler       {"t":1}  → alerts + all → $upstream, /modules/m/inputs/i'


def test_a_message_that_no_route_wants_is_said_to_end_here() -> None:
    assert shown(routed(b"rpm=7")) == "boiler       rpm=7  → no route, ends here"


def test_a_long_body_is_cut_and_its_size_told() -> None:
    line = shown(routed(b"x" * 5000))
    assert f"{'x' * MAX_BODY_CHARS}… (5000 bytes)  →" in line


def test_a_body_cannot_forge_a_line() -> None:
    assert "\n" not in shown(routed(b"a\nb\x1b[31m"))
