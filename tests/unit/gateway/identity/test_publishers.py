from pathlib import Path

import pytest

from edgewire.iothub import sas
from edgewire.iothub.http.publisher import PublisherRequest
from edgewire.message import Identity, identity
from gateway.identity.limiter import PAIR_BURST
from gateway.identity.locked_file import LockedFileError
from gateway.identity.publisher_hubs import Hub, Hubs, Rule
from gateway.identity.publishers import (
    PUBLISHERS_FILE,
    NotAPublisher,
    PublisherBook,
    PublisherDoor,
    edit_publishers,
    read_publishers,
)
from gateway.identity.registry import Registry
from gateway.observe.events import Event
from gateway.observe.publishers import PublisherRefusal, PublishersUnreadable

V10 = (
    "SharedAccessSignature sr=https%3A%2F%2Fcontoso-ns.servicebus.windows.net%2Ftelemetry%2Fpublishers%2Fleaf-01"
    "&sig=gr3iOnJPD9q1hIwAGGKVaI7omBiOa2bPXE%2BD4YumNog%3D&se=1900000000&skn=SendRule"
)
"""iothub_wire.md §7.2, cross-checked with both clients of Event Hubs."""
DECODED_KEY = V10.replace(
    "gr3iOnJPD9q1hIwAGGKVaI7omBiOa2bPXE%2BD4YumNog%3D", "NlTEUKzEdsneFFFXqGEBc3oxPW62291l1w/tvQnNVDc%3D"
)
"""The same, signed with what base64 makes of the key."""
K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
HOST = "contoso-ns.servicebus.windows.net"
LEAF = PublisherRequest("telemetry", "leaf-01")
SE = 1_900_000_000


class Door:
    def __init__(self, folder: Path, **options: float) -> None:
        self.events: list[Event] = []
        self.path = folder / PUBLISHERS_FILE
        self.registry = Registry(folder / "devices.json")
        floor = options.pop("floor", 0.0)
        self.door = PublisherDoor(
            folder, [HOST.upper()], self.registry, self.events.append, clock_floor=lambda: floor, **options
        )
        self.keep(Hub(name="telemetry", rules={"SendRule": Rule(K1, K1[::-1])}))

    def keep(self, *hubs: Hub) -> None:
        edit_publishers(self.path, lambda _: Hubs({hub.name: hub for hub in hubs}))

    def judge(self, token: str | None = V10, *, now: float = SE, address: str = "10.0.0.1") -> Identity | NotAPublisher:
        return self.door.judge(LEAF, f"{HOST}:443", token, address=address, now=now)


def test_the_vector_of_event_hubs_is_good_until_its_end_and_the_allowance(tmp_path: Path) -> None:
    door = Door(tmp_path)
    assert door.judge() == identity("leaf-01")
    assert door.judge(now=SE + 299.9) == identity("leaf-01")
    assert door.judge(now=SE + 300) == NotAPublisher(PublisherRefusal.EXPIRED)
    assert door.judge(DECODED_KEY) == NotAPublisher(PublisherRefusal.WRONG_KEY)
    assert Door(tmp_path, skew_s=0.0).judge() == NotAPublisher(PublisherRefusal.EXPIRED)


def test_a_clock_that_is_set_back_makes_no_token_good_again(tmp_path: Path) -> None:
    assert Door(tmp_path, floor=SE + 300).judge(now=0) == NotAPublisher(PublisherRefusal.EXPIRED)


def test_failures_of_one_address_are_held_back_ever_longer(tmp_path: Path) -> None:
    door = Door(tmp_path)
    verdicts = [door.judge(DECODED_KEY) for _ in range(PAIR_BURST + 2)]
    assert verdicts[PAIR_BURST:] == [NotAPublisher(PublisherRefusal.THROTTLED, hold_s) for hold_s in (1.0, 2.0)]
    assert door.judge(DECODED_KEY, address="10.0.0.2") == NotAPublisher(PublisherRefusal.WRONG_KEY)
    assert door.judge() == identity("leaf-01")
    assert door.judge(DECODED_KEY) == NotAPublisher(PublisherRefusal.WRONG_KEY)


def test_a_file_that_cannot_be_used_is_said_once_and_what_was_known_stays(tmp_path: Path) -> None:
    door = Door(tmp_path)
    edit_publishers(door.path, lambda hubs: hubs.with_revoked("telemetry", "leaf-01", 1))
    assert door.judge() == NotAPublisher(PublisherRefusal.REVOKED)
    door.path.write_text("{}")
    for _ in range(2):
        assert door.judge() == NotAPublisher(PublisherRefusal.REVOKED)
    door.path.unlink()
    for _ in range(2):
        assert door.judge() == NotAPublisher(PublisherRefusal.REVOKED)
    assert [type(event) for event in door.events] == [PublishersUnreadable] * 2
    assert "is gone" in door.events[1].sentence()
    door.keep(Hub(name="telemetry", rules={"SendRule": Rule(K1, K1)}))
    assert door.judge() == identity("leaf-01")


def test_no_file_is_no_hubs_and_nothing_to_say(tmp_path: Path) -> None:
    events: list[Event] = []
    book = PublisherBook(tmp_path / PUBLISHERS_FILE, events.append)
    book.reload()
    assert (book.hubs, events) == (Hubs(), [])
    assert read_publishers(tmp_path / PUBLISHERS_FILE) == (Hubs(), None)


def test_a_file_that_holds_no_hubs_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / PUBLISHERS_FILE
    path.write_text("[]")
    with pytest.raises(LockedFileError, match="put back an earlier copy"):
        edit_publishers(path, lambda hubs: hubs)
    assert path.read_text() == "[]"


def test_a_token_of_the_whole_host_is_good_for_each_of_its_hubs_with_that_rule(tmp_path: Path) -> None:
    door = Door(tmp_path)
    token = sas.make(f"https://{HOST}", K1.encode(), SE, "SendRule")
    assert door.judge(token) == identity("leaf-01")
    other = PublisherRequest("other", "leaf-01")
    assert isinstance(door.door.judge(other, HOST, token, address="a", now=SE), NotAPublisher)


def test_who_was_let_in_is_looked_at_again_without_its_token(tmp_path: Path) -> None:
    door = Door(tmp_path)
    assert door.door.judge_again(LEAF) == identity("leaf-01")
    edit_publishers(door.path, lambda hubs: hubs.with_revoked("telemetry", "leaf-01", 1))
    assert door.door.judge_again(LEAF) == NotAPublisher(PublisherRefusal.REVOKED)
    door.keep()
    assert door.door.judge_again(LEAF) == NotAPublisher(PublisherRefusal.UNKNOWN_RULE)
