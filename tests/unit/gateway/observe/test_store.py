import pytest

from gateway.observe import store
from gateway.observe.events import Event, Level
from gateway.observe.store import (
    CheckpointFailed,
    MessagesDropped,
    MessagesExpired,
    MessagesRefused,
    RefusalReason,
    StoreDamageFound,
    StoreFailed,
    StoreFull,
    StoreOpened,
    StoreTailCut,
    StoreTakesAgain,
)

EVENTS = [
    (StoreOpened(messages=2, bytes=30, segments=1), Level.INFO, "2 deliveries wait, 30 bytes in 1 segments"),
    (StoreTailCut(file="1.segment", count=77), Level.WARNING, "77 bytes cut from the end of 1.segment"),
    (StoreFull(reason=RefusalReason.BYTE_CAP), Level.WARNING, "maxBytes is reached. New messages are refused"),
    (StoreFull(reason=RefusalReason.DISK_FULL, error="no space"), Level.WARNING, "the disk is full (no space)"),
    (StoreFailed(error="EIO"), Level.ERROR, "writing failed (EIO)"),
    (StoreTakesAgain(), Level.INFO, "takes messages again"),
    (MessagesRefused(reason=RefusalReason.FAILED, count=3), Level.DEBUG, "3 messages refused: the disk refuses"),
    (MessagesExpired(endpoint="$upstream", count=3), Level.INFO, "3 messages for $upstream expired"),
    (MessagesDropped(endpoint="$upstream", count=3), Level.ERROR, "3 oldest messages for $upstream were dropped"),
    (CheckpointFailed(error="EIO"), Level.WARNING, "checkpoint could not be written (EIO)"),
    (StoreDamageFound(what="it is damaged"), Level.ERROR, "it is damaged"),
]


@pytest.mark.parametrize(("event", "level", "text"), EVENTS)
def test_each_event_says_what_happened_at_its_level(event: Event, level: Level, text: str) -> None:
    assert text in event.sentence()
    assert event.LEVEL is level
    assert event.METRIC.startswith("gateway_store_")
    assert event.METRIC.endswith("_total")
    assert all(hasattr(event, label) for label in event.LABELS)


def test_every_event_of_the_room_is_in_the_table() -> None:
    mine = {each for each in vars(store).values() if isinstance(each, type) and issubclass(each, Event)}
    assert mine - {Event} == {type(event) for event, _, _ in EVENTS}
    assert set(store.REASONS) == set(RefusalReason)
