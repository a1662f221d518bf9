from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.iothub.bag import Bag
from edgewire.iothub.limits import MAX_C2D_MESSAGE_BYTES
from edgewire.message import Identity, identity
from standin.devicebound import C2dMessage, C2dSettings, Devicebound
from standin.errors import HubError
from standin.locked import Settlement
from support.hub_line import Clock

LEAF = identity("le@f")
OTHER = identity("other")
NOW = 1_800_000_000.0


class Desk:
    """The queues of all devices, a clock the test sets, and who was told."""

    def __init__(self, path: Path, settings: C2dSettings) -> None:
        self.clock = Clock(NOW)
        self.ready: list[Identity] = []
        self._path = path
        self._settings = settings
        self.open()

    def open(self) -> None:
        self.queues = Devicebound(
            self._path, self._settings, clock=self.clock, generation=lambda _: "g1", ready=self.ready.append
        )

    def send(self, ack: str | None = None, **system: str) -> int:
        properties = {} if ack is None else {"iothub-ack": ack}
        return self.queues.send(LEAF, C2dMessage(Bag(properties, system), b"on"))

    def settle(self, settlement: Settlement) -> None:
        locked = self.queues.lock(LEAF)
        assert locked is not None
        self.queues.settle(LEAF, locked.lock_token, settlement)

    def feedback(self) -> list[tuple[str, str]]:
        self.queues.feedback.flush()
        batch = self.queues.feedback.lock()
        return [] if batch is None else [(each["originalMessageId"], each["statusCode"]) for each in batch.records()]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "state.db", C2dSettings(max_deliveries=2))
    yield desk
    desk.queues.close()


async def test_a_message_says_where_it_goes_and_when_it_came(desk: Desk) -> None:
    assert desk.send(messageId="m1") == 1
    locked = desk.queues.lock(LEAF)
    assert locked is not None
    assert (locked.sequence_number, locked.enqueued_at, locked.delivery_count, locked.body) == (1, NOW, 0, b"on")
    assert locked.system == {"messageId": "m1", "to": "/devices/le%40f/messages/devicebound"}
    assert locked.expires_at == NOW + 3_600
    assert desk.queues.lock(OTHER) is None


async def test_an_expiry_is_kept_and_ends_after_48_hours_at_most(desk: Desk) -> None:
    desk.send(**{"absolute-expiry-time": "2027-01-15T08:00:10Z"})
    locked = desk.queues.lock(LEAF)
    assert locked is not None
    assert locked.expires_at == NOW + 10
    for text in ("2027-01-17T08:00:01Z", "tomorrow"):
        with pytest.raises(HubError) as raised:
            desk.send(**{"absolute-expiry-time": text})
        assert raised.value.code == 400004


async def test_a_module_gets_no_messages_from_the_cloud(desk: Desk) -> None:
    with pytest.raises(HubError) as raised:
        desk.queues.send(identity("edge", "m1"), C2dMessage(Bag({}, {}), b""))
    assert raised.value.code == 400004


async def test_64_kib_with_properties_are_the_most(desk: Desk) -> None:
    room = MAX_C2D_MESSAGE_BYTES - len("ab")
    desk.queues.send(LEAF, C2dMessage(Bag({"a": "b"}, {}), bytes(room)))
    with pytest.raises(HubError) as raised:
        desk.queues.send(LEAF, C2dMessage(Bag({"a": "b"}, {}), bytes(room + 1)))
    assert raised.value.code == 413001
    with pytest.raises(HubError):
        desk.queues.send(LEAF, C2dMessage(Bag({f"p{number}": None for number in range(257)}, {}), b""))


async def test_the_51st_message_is_refused(desk: Desk) -> None:
    for _ in range(50):
        desk.send()
    with pytest.raises(HubError) as raised:
        desk.send()
    assert (raised.value.code, desk.queues.waiting(LEAF), desk.queues.waiting(OTHER)) == (403004, 50, 0)
    assert desk.queues.purge(LEAF) == 50
    assert desk.queues.purge(OTHER) == 0


@pytest.mark.parametrize(
    ("ack", "told"),
    [
        (None, []),
        ("none", []),
        ("positive", [("done", "Success")]),
        ("negative", [("refused", "Rejected"), ("tried", "DeliveryCountExceeded"), ("late", "Expired")]),
        (
            "Full",
            [("done", "Success"), ("refused", "Rejected"), ("tried", "DeliveryCountExceeded"), ("late", "Expired")],
        ),
    ],
)
async def test_the_sender_hears_of_the_ends_it_asked_for(
    desk: Desk, ack: str | None, told: list[tuple[str, str]]
) -> None:
    for name in ("done", "refused", "tried", "late"):
        desk.send(ack, messageId=name)
    for settlement in (Settlement.COMPLETED, Settlement.REJECTED, Settlement.ABANDONED, Settlement.ABANDONED):
        desk.settle(settlement)
    desk.clock.now += 3_600
    assert desk.queues.lock(LEAF) is None
    assert desk.feedback() == told


async def test_what_is_purged_is_a_negative_end(desk: Desk) -> None:
    desk.send("negative", messageId="m1")
    desk.queues.purge(LEAF)
    assert desk.feedback() == [("m1", "Purged")]


async def test_an_unknown_ack_is_refused(desk: Desk) -> None:
    with pytest.raises(HubError) as raised:
        desk.send("maybe")
    assert raised.value.code == 400004


async def test_a_restart_keeps_all_queues_and_the_feedback(desk: Desk) -> None:
    desk.send("full", messageId="m1")
    desk.send(messageId="m2")
    desk.settle(Settlement.COMPLETED)
    desk.queues.close()
    desk.open()
    assert desk.queues.waiting(LEAF) == 1
    assert desk.feedback() == [("m1", "Success")]


async def test_a_device_that_is_no_more_leaves_nothing(desk: Desk) -> None:
    desk.send("full")
    desk.queues.drop(LEAF)
    desk.queues.drop(OTHER)
    assert (desk.queues.waiting(LEAF), desk.feedback(), desk.send()) == (0, [], 1)


async def test_who_leaves_loses_its_locks(desk: Desk) -> None:
    desk.send()
    holder = object()
    locked = desk.queues.lock(LEAF, holder)
    assert locked is not None
    desk.queues.put_back(LEAF, locked.lock_token)
    assert desk.queues.lock(LEAF, holder) is not None
    desk.queues.release(LEAF, holder)
    desk.queues.release(OTHER, holder)
    again = desk.queues.lock(LEAF)
    assert again is not None
    assert again.delivery_count == 1


async def test_who_leaves_after_the_end_has_nothing_to_lose(desk: Desk) -> None:
    desk.send()
    holder = object()
    locked = desk.queues.lock(LEAF, holder)
    assert locked is not None
    desk.queues.close()
    desk.queues.release(LEAF, holder)
    desk.queues.put_back(LEAF, locked.lock_token)
    with pytest.raises(HubError) as raised:
        desk.queues.settle(LEAF, locked.lock_token, Settlement.COMPLETED)
    assert (raised.value.code, desk.queues.lock(LEAF)) == (412002, None)


@pytest.mark.parametrize(
    "settings", [C2dSettings(max_deliveries=0), C2dSettings(max_deliveries=101), C2dSettings(life_s=172_801)]
)
async def test_settings_have_the_bounds_of_the_cloud(tmp_path: Path, settings: C2dSettings) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        Desk(tmp_path / "state.db", settings)
