import gc
import json
import tracemalloc

import pytest

from edgewire.message import UPSTREAM, Delivery, Envelope, Message, identity, module_input
from gateway.routing import table as tables
from gateway.routing.compile import RouteSpec, compile_routes
from gateway.routing.table import Hits, Table, preferred

SYSTEM = {"contentType": "application/json", "contentEncoding": "utf-8"}


def table(**routes: RouteSpec | str) -> Table:
    specs = {name: spec if isinstance(spec, RouteSpec) else RouteSpec(text=spec) for name, spec in routes.items()}
    found = compile_routes(specs).table
    assert found is not None
    return found


def message(body: object = None, module: str | None = None, **properties: str) -> Message:
    envelope = Envelope(sender=identity("d", module), properties=properties, system=SYSTEM)
    return Message(envelope, json.dumps(body).encode())


def test_all_matching_routes_count_and_each_endpoint_gets_one_delivery() -> None:
    found = table(
        low=RouteSpec(text="FROM /messages/* INTO $upstream", priority=5, time_to_live_s=100),
        high=RouteSpec(text="FROM /messages/* WHERE $body.kind = 'alert' INTO $upstream", priority=0, time_to_live_s=5),
        ai="FROM /messages/* WHERE $body.kind = 'alert' INTO BrokeredEndpoint('/modules/ai/inputs/raw')",
    )
    alert = found.match(message({"kind": "alert"}))
    assert alert.routes == ("low", "high", "ai")
    assert alert.deliveries == (Delivery(UPSTREAM, 0, 5), Delivery(module_input("ai", "raw")))
    other = found.match(message({"kind": "x"}))
    assert other.routes == ("low",)
    assert other.deliveries == (Delivery(UPSTREAM, 5, 100),)


def test_of_equally_urgent_routes_to_one_endpoint_the_message_is_kept_longest() -> None:
    for first, second, best in ((5, 9, 9), (9, 5, 9), (5, None, None), (None, 5, None)):
        chosen = preferred(Delivery(UPSTREAM, 3, first), Delivery(UPSTREAM, 3, second))
        assert chosen.time_to_live_s == best


def test_equal_decisions_are_the_same_object() -> None:
    found = table(a="FROM /messages/* WHERE $body.n > 1 INTO $upstream", b="FROM /messages/* INTO $upstream")
    assert found.match(message({"n": 2})) is found.match(message({"n": 3}))
    assert found.match(message({"n": 0})) is not found.match(message({"n": 3}))


def test_no_route_no_delivery() -> None:
    assert table().match(message()).deliveries == ()
    assert table(a="FROM /messages/modules/* INTO $upstream").match(message()).routes == ()


def test_an_envelope_that_serves_many_messages_is_looked_at_once() -> None:
    found = table(a="FROM /messages/* WHERE level = 'high' AND $body.n > 1 INTO $upstream")
    envelope = Envelope(sender=identity("d"), properties={"level": "high"}, system=SYSTEM)
    matches = [found.match(Message(envelope, json.dumps({"n": n}).encode())).routes for n in (0, 1, 2, 3)]
    assert matches == [(), (), ("a",), ("a",)]


def test_what_one_table_has_noted_on_an_envelope_is_nothing_to_another() -> None:
    envelope = Envelope(sender=identity("d"), properties={"level": "high"}, system=SYSTEM)
    for level, routes in (("high", ("a",)), ("low", ()), ("high", ("a",))):
        found = table(a=f"FROM /messages/* WHERE level = '{level}' INTO $upstream")
        assert found.match(Message(envelope, b"{}")).routes == routes


def test_an_envelope_does_not_keep_the_table_that_has_looked_at_it() -> None:
    found = table(a="FROM /messages/* WHERE level = 'high' INTO $upstream")
    envelope = Envelope(sender=identity("d"), properties={}, system=SYSTEM)
    found.match(Message(envelope, b"{}"))
    assert found not in gc.get_referents(envelope.notes.routed)


def test_what_is_remembered_of_sources_is_bounded() -> None:
    found = table(
        a="FROM /messages/* WHERE level = 'high' INTO $upstream",
        **{f"b{n}": f"FROM /messages/modules/m{n} WHERE $body.bits[{n}] = 1 INTO $upstream" for n in range(3)},
    )
    for number in range(2 * tables.MAX_KNOWN_SOURCES):
        level = "high" if number % 2 else "low"
        expected = ("a",) if number % 2 else ()
        assert found.match(message({}, f"other{number}", level=level)).routes == expected
    assert len(found._sources) <= tables.MAX_KNOWN_SOURCES


def test_a_long_source_comes_out_right_and_is_not_kept() -> None:
    found = table(
        a="FROM /messages/* WHERE level = 'high' INTO $upstream",
        b="FROM /messages/modules/m1/outputs/* INTO $upstream",
    )
    long = "x" * (tables.MAX_SOURCE_CHARS + 1)
    sender = identity("d", "m1")
    system = {"outputName": long}
    envelope = Envelope(sender=sender, properties={}, system=system)
    assert found.match(Message(envelope, b"")).routes == ("b",)
    assert all(len(source) <= tables.MAX_SOURCE_CHARS for source in found._sources)


def test_more_outcomes_than_are_kept_still_come_out_right() -> None:
    found = table(**{f"r{n}": f"FROM /messages/* WHERE $body.bits[{n}] = 1 INTO $upstream" for n in range(13)})
    for number in range(tables.MAX_KNOWN_DECISIONS + 10):
        bits = [number >> bit & 1 for bit in range(13)]
        expected = tuple(f"r{bit}" for bit, value in enumerate(bits) if value)
        assert found.match(message({"bits": bits})).routes == expected
    assert len(found._decisions) <= tables.MAX_KNOWN_DECISIONS


def test_routes_of_several_sources_are_told_apart() -> None:
    found = table(
        all="FROM /messages/* WHERE $body.n = 1 INTO $upstream",
        modules="FROM /messages/modules/* WHERE $body.n = 1 INTO $upstream",
        one="FROM /messages/modules/m1/* WHERE $body.n = 1 INTO $upstream",
        twins="FROM /twinChangeNotifications INTO $upstream",
    )
    assert found.match(message({"n": 1})).routes == ("all",)
    assert found.match(message({"n": 1}, "m2")).routes == ("all", "modules")
    assert found.match(message({"n": 1}, "m1")).routes == ("all", "modules", "one")
    assert found.match(message({"n": 2}, "m1")).routes == ()


def test_a_shadowing_property_is_seen_by_match_and_explain_alike() -> None:
    found = table(
        a="FROM /messages/* WHERE $messageId = 'own' INTO $upstream",
        b="FROM /messages/* INTO $upstream",
        c="FROM /messages/modules/* INTO $upstream",
    )
    envelope = Envelope(sender=identity("d"), properties={"$MessageId": "own"}, system=SYSTEM)
    shadowed = Message(envelope, b"")
    assert found.match(shadowed).routes == ("a", "b")
    assert [explanation.matched for explanation in found.explain(shadowed)] == [True, True, False]


def test_what_was_counted_is_taken_once() -> None:
    found = table(
        all="FROM /messages/* WHERE kind = 'a' INTO $upstream", hot="FROM /messages/* WHERE hot = 'x' INTO $upstream"
    )
    for properties in ({"kind": "a"}, {"kind": "a", "hot": "x"}, {"kind": "b"}, {"kind": "b"}):
        found.match(message(None, **properties))
    found.match(message(None, "m1"))
    hits = found.take_hits()
    assert (hits.routes, hits.unrouted) == ({"all": 2, "hot": 1}, 3)
    assert hits.senders == {identity("d"): 4, identity("d", "m1"): 1}
    assert found.take_hits() == Hits()


@pytest.mark.plain
def test_every_message_is_counted_once_whether_envelopes_repeat_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_TALLIES", 3)
    first, second = (table(all="FROM /messages/* INTO $upstream") for _ in range(2))
    shared = message(None)
    for _ in range(5):
        for each in (shared, message(None), shared):
            first.match(each)
        second.match(shared)  # other routes in force meanwhile
    assert first.take_hits().senders == {identity("d"): 15}
    assert second.take_hits().senders == {identity("d"): 5}
    first.match(shared)
    assert first.take_hits().senders == {identity("d"): 1}


def test_counting_keeps_nothing_of_the_messages_themselves() -> None:
    found = table(all="FROM /messages/* WHERE kind = 'a' INTO $upstream")
    tracemalloc.start()
    try:
        for number in range(200):
            found.match(message(None, kind=f"{number}" * 10_000))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 200 * 1_000
    assert found.take_hits().senders == {identity("d"): 200}


def test_of_a_large_body_routes_see_the_same() -> None:
    padding = [{"n": number, "text": "x"} for number in range(1_000)]
    texts = {
        "a": "FROM /messages/* WHERE $body.kind = 'alert' INTO $upstream",
        "b": "FROM /messages/* WHERE $body.machine.temperature > 70 INTO $upstream",
        "c": "FROM /messages/* WHERE is_defined($body.none) INTO $upstream",
        "d": "FROM /messages/* WHERE NOT is_defined($body.kind) INTO $upstream",
        "e": "FROM /messages/* WHERE $body.kind < 'b' INTO $upstream",
    }
    every = {"every": "FROM /messages/* WHERE $body.*.temperature = 71 INTO $upstream"}
    bodies: list[object] = [
        {"kind": "alert", "machine": {"temperature": 71}},
        {"kind": "2020-01-01T00:00:00", "machine": 5},
        {"machine": None},
        {},
        [],
        {"kind": 7, "machine": {"temperature": "x" * 80}},
    ]
    for specs in (texts, texts | every):
        found = table(**specs)
        for body in bodies:
            large = {**body, "padding": padding} if isinstance(body, dict) else [*padding]
            strict = message(large)
            leniently = Message(strict.envelope, strict.body + b"/**/")
            assert found.match(strict).routes == found.match(leniently).routes
            if isinstance(body, dict):
                assert found.match(message(large)).routes == found.match(message(body)).routes
