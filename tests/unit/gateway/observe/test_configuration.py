import pytest

from gateway.observe import configuration
from gateway.observe.configuration import (
    LastGoodNotSaved,
    LastGoodUnreadable,
    SettingsApplied,
    SettingsFileUnreadable,
    SettingsRefused,
    SettingsSource,
    TwinTryFailed,
)
from gateway.observe.events import Event, Level

TWIN = SettingsSource.TWIN
EVENTS = [
    (SettingsApplied(TWIN, 4, 3, 0), Level.INFO, "settings version 4 from twin in force: 3 routes"),
    (SettingsApplied(SettingsSource.DEFAULT, None, 1, 2), Level.INFO, "settings from default in force: 1 routes; 2 w"),
    (SettingsRefused(TWIN, 5, ("a", "b")), Level.ERROR, "version 5 from twin refused, those in force stay: a (and 1"),
    (LastGoodUnreadable("/data/settings.json", "torn"), Level.ERROR, "cannot be used: torn"),
    (LastGoodNotSaved("/data/settings.json", "disk full"), Level.ERROR, "could not be kept in /data/settings.json"),
    (SettingsFileUnreadable("/etc/s.json", "gone"), Level.WARNING, "/etc/s.json cannot be read: gone"),
    (TwinTryFailed("silence", 4.0), Level.WARNING, "silence. Next try in 4 s"),
]


@pytest.mark.parametrize(("event", "level", "text"), EVENTS)
def test_each_event_says_what_happened_at_its_level(event: Event, level: Level, text: str) -> None:
    assert text in event.sentence()
    assert event.LEVEL is level


def test_every_event_of_the_room_is_in_the_table() -> None:
    mine = {each for each in vars(configuration).values() if isinstance(each, type) and issubclass(each, Event)}
    assert mine - {Event} == {type(event) for event, _, _ in EVENTS}
