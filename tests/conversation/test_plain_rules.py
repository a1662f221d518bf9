"""Who is let in at the plain listener, and what for: users, addresses, rules, and what is mapped to devices."""

from pathlib import Path

import pytest

from edgewire.codec.mqtt.packets import Connack, Disconnect, Puback, Will
from edgewire.codec.mqtt.reasons import ReasonCode
from gateway.identity.user_book import edit_users
from gateway.observe.broker import (
    PlainLoginRefused,
    PlainMessageRefused,
    PlainRefusal,
    PlainSubscriptionRefused,
    RefusedPlain,
    RefusedPlainFilter,
)
from gateway.observe.head import ProtocolBroken
from gateway.store.values import StoreLimits, WhenFull
from support.gateway_site import until
from support.plain_site import PlainSite, user, write_users


@pytest.mark.parametrize("level", [4, 5])
@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("ann", b"wrong", PlainRefusal.WRONG_PASSWORD),
        ("ann", b"", PlainRefusal.WRONG_PASSWORD),
        ("ann", None, PlainRefusal.WRONG_PASSWORD),
        ("nobody", b"tiger", PlainRefusal.UNKNOWN_USER),
        ("Ann", b"tiger", PlainRefusal.UNKNOWN_USER),
        ("far", b"tiger", PlainRefusal.FOREIGN_ADDRESS),
        ("meters", None, PlainRefusal.FOREIGN_ADDRESS),
        (None, None, PlainRefusal.NO_CREDENTIALS),
    ],
)
async def test_who_is_not_let_in_is_told_the_same_and_the_log_says_which(
    tmp_path: Path, level: int, name: str | None, password: bytes | None, reason: PlainRefusal
) -> None:
    users = (
        user("ann"),
        user("far", networks=["10.9.0.0/16"]),
        user("meters", networks=["10.7.0.0/16"], password=None),
    )
    async with PlainSite.open(tmp_path, *users) as site:
        client = site.connect(name, password=password, level=level)
        assert await site.code(client) == (5 if level == 4 else ReasonCode.NOT_AUTHORIZED)
        assert client.is_closed()
        assert [event.reason for event in site.of(PlainLoginRefused)] == [reason]
        assert site.broker.sessions == 0


async def test_an_address_may_stand_for_a_user_the_narrowest_network_first(tmp_path: Path) -> None:
    meters = user("meters", networks=["10.0.0.0/8", "fd00::/8"], password=None)
    one = user("one", networks=["10.0.0.7"], password=None)
    async with PlainSite.open(tmp_path, meters, one) as site:
        for address, name in (("10.1.2.3", "meters"), ("10.0.0.7", "one"), ("fd00::1", "meters")):
            client = await site.login(None, f"of {address}", address=address)
            assert client.owner.user == name


async def test_guessing_is_slowed_and_the_right_password_is_not(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        for _ in range(10):
            assert await site.code(site.connect(password=b"guess")) == 5
        guesses = [site.connect(password=b"guess") for _ in range(5)]  # held for one second, two, ... five
        await until(lambda: len(site.of(PlainLoginRefused)) == 15)
        await guesses[-1].quiet()
        await site.login()
        await guesses[-1].quiet()
        assert {event.reason for event in site.of(PlainLoginRefused)[10:]} == {PlainRefusal.THROTTLED}
        for held in guesses:
            held.lose()


async def test_the_same_client_id_of_two_users_are_two_clients(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        mine = await site.login("ann", "same")
        await site.login("bob", "same")
        assert not mine.is_closed()
        await site.login("ann", "same")
        assert mine.is_closed()


async def test_a_wrong_password_ends_nobodys_connection(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        mine = await site.login("ann", "same")
        assert await site.code(site.connect("ann", "same", password=b"wrong")) == 5
        assert not mine.is_closed()


@pytest.mark.parametrize("level", [4, 5])
async def test_a_client_without_an_id_gets_one_if_nothing_is_to_be_kept(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path) as site:
        client = site.connect("ann", "", level=level)
        (answer,) = await client.next()
        assert isinstance(answer, Connack)
        assert answer.code == 0
        if level == 5:
            assert answer.properties is not None
            assert answer.properties.assigned_client_id


async def test_a_client_id_without_end_is_refused(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        assert await site.code(site.connect("ann", "x" * 257)) == 2
        assert [event.reason for event in site.of(PlainLoginRefused)] == [PlainRefusal.BAD_CLIENT_ID]


async def test_mqtt_5_hears_what_there_is(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        (answer,) = await site.connect(level=5).next()
        assert isinstance(answer, Connack)
        assert answer.properties is not None
        assert answer.properties.maximum_qos == 1
        assert answer.properties.shared_subscription_available is False
        assert answer.properties.retain_available is None
        assert answer.properties.subscription_identifiers_available is None


@pytest.mark.parametrize("level", [4, 5])
async def test_qos_2_ends_the_connection_with_advice_in_the_log(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path) as site:
        client = await site.login(level=level)
        client.pump.receive(b"\x34\x06\x00\x01a\x00\x01" + (b"\x00" if level == 5 else b"x"))
        assert client.is_closed()
        if level == 5:
            (answer,) = await client.next()
            assert isinstance(answer, Disconnect)
            assert answer.reason == ReasonCode.QOS_NOT_SUPPORTED
        (event,) = site.of(ProtocolBroken)
        assert "Set the client to QoS 1" in event.sentence()


async def test_rules_say_what_may_be_published_and_subscribed(tmp_path: Path) -> None:
    mine = user("ann", publish=["site/%c/#"], subscribe=["all/+", "for/%u/#"])
    async with PlainSite.open(tmp_path, mine, user("bob")) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        client = await site.login("ann", "c1", level=5)
        asked = ("all/x", "all/+", "all/#", "#", "for/ann/#", "for/bob/x", "$SYS/#", "$other")
        refused = ReasonCode.NOT_AUTHORIZED
        assert await client.subscribe(*asked) == [1, 1, refused, refused, 1, refused, 1, refused]
        reasons = {event.reason for event in site.of(PlainSubscriptionRefused)}
        assert reasons == {RefusedPlainFilter.FORBIDDEN}
        client.publish("site/c1/t", b"mine", qos=1, packet_id=1)
        client.publish("site/c2/t", b"other", qos=1, packet_id=2)
        client.publish("$SYS/broker/uptime", b"lie", qos=1, packet_id=3)
        client.publish("site/c2/t", b"zero", qos=0)
        answers = [packet for packet in await client.next(3) if isinstance(packet, Puback)]
        assert [(each.packet_id, each.reason) for each in answers] == [(1, 0), (2, refused), (3, refused)]
        assert [each.payload for each in await hearer.messages()] == [b"mine"]
        await hearer.quiet()
        assert [event.reason for event in site.of(PlainMessageRefused)] == [RefusedPlain.FORBIDDEN] * 3


async def test_mqtt_3_has_no_word_for_a_forbidden_message_so_it_is_acknowledged_and_said_in_the_log(
    tmp_path: Path,
) -> None:
    async with PlainSite.open(tmp_path, user("ann", publish=["a"]), user("bob")) as site:
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        client = await site.login("ann")
        client.publish("b", qos=1, packet_id=4)
        (answer,) = await client.next()
        assert answer == Puback(packet_id=4)
        await hearer.quiet()
        assert len(site.of(PlainMessageRefused)) == 1


async def test_an_id_with_wildcards_in_it_gets_no_rule_with_its_name(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path, user("ann", subscribe=["for/%c/#"])) as site:
        for client_id in ("+", "#", "a/b"):
            client = await site.login("ann", client_id)
            assert await client.subscribe(f"for/{client_id}/x" if client_id != "#" else "for/#") == [0x80]


@pytest.mark.parametrize("level", [4, 5])
async def test_a_will_must_be_allowed(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path, user("ann", publish=["a"])) as site:
        will = Will(topic="b", payload=b"", qos=0, retain=False)
        assert await site.code(site.connect(will=will, level=level)) == (5 if level == 4 else 0x87)
        assert [event.reason for event in site.of(PlainLoginRefused)] == [PlainRefusal.FORBIDDEN_WILL]


async def test_changed_rules_hold_at_once_and_for_sessions_that_were_kept(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        away = await site.login("ann", "away", clean=False)
        assert await away.subscribe("a", "b") == [1, 1]
        away.lose()
        here = await site.login("ann", "here")
        other = await site.login("bob", "other")
        edit_users(site.book._path, lambda users: users.with_user(user("ann", subscribe=["a"])))
        site.head.end_users(site.book.refresh())
        assert here.is_closed()
        assert not other.is_closed()
        _, present = await site.come("ann", "away", clean=False)
        assert present
        assert site.broker.subscriptions == 1


async def test_a_damaged_users_file_leaves_the_users_as_they_were(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        (tmp_path / "users.json").write_text("{")
        assert site.book.refresh() == set()
        await site.login("ann")
        (tmp_path / "users.json").unlink()
        write_users(tmp_path, user("bob"))
        assert "ann" in site.book.refresh()


# --- mapped to devices ----------------------------------------------------------------------------------------------


async def test_what_a_rule_maps_is_on_disk_before_it_is_acknowledged_and_heard(tmp_path: Path) -> None:
    async with PlainSite.open(tmp_path) as site:
        site.register("kitchen")
        site.map(("site/+room/#", "{room}"))
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        client = await site.login()
        client.publish("site/kitchen/t", b"21", qos=1, packet_id=1)
        client.publish("elsewhere", b"local", qos=1, packet_id=2)
        client.publish("site/kitchen/t", b"22", qos=0)
        answers = await client.next(2)
        assert answers == [Puback(packet_id=1), Puback(packet_id=2)]
        assert [each.payload for each in await hearer.messages(3)] == [b"21", b"local", b"22"]
        stored = site.stored()
        assert [(str(entry.message.envelope.sender), entry.message.body) for entry in stored] == [
            ("kitchen", b"21"),
            ("kitchen", b"22"),
        ]
        assert stored[0].message.envelope.properties["topic"] == "site/kitchen/t"


@pytest.mark.parametrize("level", [4, 5])
async def test_what_a_rule_refuses_is_told_to_mqtt_5_and_holds_up_nobody(tmp_path: Path, level: int) -> None:
    async with PlainSite.open(tmp_path) as site:
        site.register("kitchen")
        site.map(("site/+room/#", "{room}"))
        client = await site.login(level=level)
        client.publish("site/cellar/t", qos=1, packet_id=1)
        client.publish("site/a b/t", qos=1, packet_id=2)
        client.publish("site/kitchen/t", qos=1, packet_id=3)
        answers = [packet for packet in await client.next(3) if isinstance(packet, Puback)]
        codes = [ReasonCode.NOT_AUTHORIZED, ReasonCode.TOPIC_NAME_INVALID, 0] if level == 5 else [0, 0, 0]
        assert [(each.packet_id, each.reason) for each in answers] == list(enumerate(codes, 1))
        assert len(site.stored()) == 1
        assert len(site.mapped.status()["refused"]) == 2


@pytest.mark.parametrize("level", [4, 5])
async def test_what_a_full_store_does_not_take_is_not_acknowledged_and_not_heard(tmp_path: Path, level: int) -> None:
    limits = StoreLimits(max_bytes=1 << 20, when_full=WhenFull.REFUSE)
    async with PlainSite.open(tmp_path, store_limits=limits) as site:
        site.register("kitchen")
        site.map(("site/+room", "{room}"))
        hearer = await site.login("bob", "h")
        await hearer.subscribe("#")
        client = await site.login(level=level)
        taken = 0
        for number in range(1, 30):
            client.publish("site/kitchen", bytes(200_000), qos=1, packet_id=number)
            await until(lambda: bool(client.wire.written) or client.is_closed())
            if client.is_closed():
                break
            (answer,) = await client.next()
            assert isinstance(answer, Puback)
            if answer.reason:
                assert answer.reason == ReasonCode.QUOTA_EXCEEDED
                break
            taken += 1
        assert client.is_closed() == (level == 4)
        assert 0 < taken < 20
        assert len(await hearer.messages(taken)) == taken
        await hearer.quiet()
        assert [event.reason for event in site.of(PlainMessageRefused)] == [RefusedPlain.STORE_FULL]
