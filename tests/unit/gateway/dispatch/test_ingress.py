from pathlib import Path

from edgewire.message import UPSTREAM, Envelope, Message, identity
from gateway.dispatch.ingress import AppendResult
from gateway.observe.dispatch import MessagesReceived, MessagesUnrouted
from gateway.observe.ledger import Ledger
from gateway.observe.tap import Routed
from gateway.routing.compile import RouteSpec, compile_routes
from support.mqtt_site import Site

HIGH_ONLY = {"high": "FROM /messages/* WHERE level = 'high' INTO $upstream"}


def message(level: str) -> Message:
    return Message(Envelope(sender=identity("d1"), properties={"level": level}, system={}), level.encode())


async def test_a_batch_is_answered_once_when_the_disk_has_it(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        answers: list[AppendResult] = []
        site.ingress.accept([message("high"), message("low")], answers.append)
        assert answers == []
        await site.store.flush()
        assert answers == [AppendResult.STORED]
        assert len(site.stored()) == 2


async def test_what_no_route_wants_is_answered_counted_and_not_stored(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=HIGH_ONLY) as site:
        answers: list[AppendResult] = []
        site.ingress.accept([message("low"), message("high"), message("low")], answers.append)
        await site.store.flush()
        site.ingress.report()
        assert answers == [AppendResult.STORED]
        assert [entry.message.body for entry in site.stored()] == [b"high"]
        assert MessagesReceived(3) in site.events
        assert MessagesUnrouted(2) in site.events


async def test_a_report_tells_only_what_is_new(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        site.ingress.accept([message("high")], lambda _: None)
        site.ingress.report()
        site.events.clear()
        site.ingress.report()
        assert site.events == []


async def test_new_routes_hold_from_the_next_message_on(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        site.ingress.accept([message("low")], lambda _: None)
        table = compile_routes({name: RouteSpec(text=text) for name, text in HIGH_ONLY.items()}).table
        assert table is not None
        site.ingress.use(table)
        site.ingress.accept([message("low")], lambda _: None)
        await site.store.flush()
        assert len(site.stored()) == 1


async def test_who_watches_sees_each_message_with_its_routes(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=HIGH_ONLY) as site:
        seen: list[Routed] = []
        site.tap.watch(seen.append)
        site.ingress.accept([message("low"), message("high")], lambda _: None)
        assert [each.routes for each in seen] == [(), ("high",)]
        assert [delivery.endpoint for delivery in seen[1].deliveries] == [UPSTREAM]


async def test_batches_are_answered_in_their_order_also_those_of_nothing(tmp_path: Path) -> None:
    async with Site.open(tmp_path) as site:
        order: list[str] = []
        site.ingress.accept([message("high")], lambda _: order.append("first"))
        site.ingress.accept([], lambda _: order.append("second"))
        site.ingress.accept([message("high")], lambda _: order.append("third"))
        await site.store.flush()
        assert order == ["first", "second", "third"]


async def test_the_ledger_hears_who_sent_and_which_routes_matched_once_a_second(tmp_path: Path) -> None:
    async with Site.open(tmp_path, routes=HIGH_ONLY) as site:
        ledger = Ledger(lambda: 1_800_000_000.0, lambda _: True)
        site.ingress.follow(ledger)
        site.ingress.accept([message("high"), message("low"), message("high")], lambda _: None)
        assert (site.ingress.received, ledger.received) == (3, 0)
        site.ingress.report()
        site.ingress.accept([message("high")], lambda _: None)
        assert (site.ingress.received, ledger.received) == (4, 3)
        table = compile_routes({"other": RouteSpec(text="FROM /messages/* INTO $upstream")}).table
        assert table is not None
        site.ingress.use(table)  # what was counted by the old one is not lost
        site.ingress.accept([message("high")], lambda _: None)
        site.ingress.report()
        assert (ledger.route("high").hits, ledger.route("other").hits, ledger.unrouted) == (3, 1, 1)
        record = ledger.device("d1")
        assert record is not None
        assert record.messages == 5
