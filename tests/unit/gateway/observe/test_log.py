import json
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import pytest

from gateway.observe.configuration import SettingsRefused, SettingsSource
from gateway.observe.dispatch import MessagesReceived
from gateway.observe.events import Event, Level
from gateway.observe.head import MessageRefused, RefusedMessage
from gateway.observe.log import (
    FIELD_CHARS,
    FIELD_ITEMS,
    HIDDEN,
    LINES_PER_PERIOD,
    PERIOD_S,
    SENTENCE_CHARS,
    Log,
    without_secrets,
)


class Why(Enum):
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Dropped(Event):
    LEVEL: ClassVar[Level] = Level.WARNING

    reason: Why
    count: int

    def sentence(self) -> str:
        return f"{self.count} dropped"


class Clock:
    now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_line_for_people_says_when_how_loud_and_what() -> None:
    lines: list[str] = []
    Log(lines.append, Clock(), level=Level.INFO).write_event(Dropped(Why.FULL, 2))
    assert lines[0].startswith("2030-03-17T17:46:40.000Z WARNING 2 dropped")


def test_a_line_for_programs_is_json_with_the_fields() -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.INFO, as_json=True)
    log.write_event(Dropped(Why.FULL, 2))
    row = json.loads(lines[0])
    assert (row["level"], row["event"], row["reason"], row["count"]) == ("warning", "Dropped", "full", 2)


def test_events_below_the_level_are_not_written() -> None:
    lines: list[str] = []
    Log(lines.append, Clock(), level=Level.INFO).write_event(MessagesReceived(1))
    assert lines == []


def test_a_flood_of_one_kind_is_counted_instead_of_written() -> None:
    lines: list[str] = []
    clock = Clock()
    log = Log(lines.append, clock, level=Level.INFO)
    for _ in range(LINES_PER_PERIOD + 30):
        log.write_event(Dropped(Why.FULL, 1))
    assert len(lines) == LINES_PER_PERIOD
    clock.now += PERIOD_S
    log.write_event(Dropped(Why.FULL, 1))
    assert "30 more of the same kind (Dropped)" in lines[-2]
    assert len(lines) == LINES_PER_PERIOD + 2


def test_a_clock_that_jumps_back_does_not_silence_the_log() -> None:
    lines: list[str] = []
    clock = Clock()
    log = Log(lines.append, clock, level=Level.INFO)
    log.write_event(Dropped(Why.FULL, 1))
    clock.now -= 3600
    log.write_event(Dropped(Why.FULL, 1))
    assert len(lines) == 2


def test_a_peer_cannot_forge_a_line_or_colour_the_terminal() -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.INFO)
    log.write_event(MessageRefused("dev", RefusedMessage.UNKNOWN_TOPIC, "topic 'a\r\nERROR forged \x1b[31m'"))
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert "\x1b" not in lines[0]
    assert r"a\r\nERROR forged \x1b[31m" in lines[0]


KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SECRETS = ["nyljIWuuprtNJJ8uRi7R9ivnXtac2QQ2Kynh4ojAMcM", KEY.strip("=")]


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "SharedAccessSignature sr=hub%2Fdevices%2Fd&sig=nyljIWuuprtNJJ8uRi7R9ivnXtac2QQ2Kynh4ojAMcM%3D&se=1900000000",
        "sr%3Dhub%26SIG%3DnyljIWuuprtNJJ8uRi7R9ivnXtac2QQ2Kynh4ojAMcM%253D",
        f"HostName=hub;DeviceId=d;SharedAccessKey={KEY}",
        f"'{KEY}'",
        KEY.replace("=", "%3D"),
    ],
)
def test_a_secret_in_a_peers_text_is_not_written(text: str, *, as_json: bool) -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.INFO, as_json=as_json)
    log.write_event(MessageRefused(text, RefusedMessage.UNKNOWN_TOPIC, f"topic '{text}'"))
    assert [secret for secret in SECRETS if secret in lines[0]] == []
    assert HIDDEN in lines[0]


@pytest.mark.parametrize(
    "text",
    [
        "devices/a3f0c2b4d5e6f7a8b9c0d1e2f3a4b5c6d7e8f901/messages/events/%24.mid=0123456789abcdef0123456789abcdef",
        "devices/Pump7/messages/events/temperature=1&significant=yes",
        "$iothub/twin/PATCH/properties/reported/?$rid=0123456789abcdef0123456789abcdef",
    ],
)
def test_ordinary_ids_and_topics_are_written_as_they_are(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.timeout(20)  # it took a minute where the search went back in a run of letters, for each of its letters
@pytest.mark.parametrize("text", ["x" * 65_535, "x/" * 32_767, "sig=" * 16_383, "aA0" * 21_845 + "%3"], ids=len)
def test_a_sentence_without_end_is_cut_in_a_moment(text: str) -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.INFO)
    log.write_event(MessageRefused(text, RefusedMessage.UNKNOWN_TOPIC, ""))
    assert len(lines[0]) < SENTENCE_CHARS + 100


def test_a_secret_at_the_cut_is_hidden_whole() -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.INFO, as_json=True)
    secret = "0123456789abcdefABCDEF0123456789abcdefABCDE="
    log.write_event(MessageRefused("x" * (FIELD_CHARS - 20) + " " + secret, RefusedMessage.UNKNOWN_TOPIC, ""))
    assert secret[:12] not in lines[0]


def test_a_field_without_end_is_cut() -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.INFO, as_json=True)
    log.write_event(MessageRefused("x" * 65_535, RefusedMessage.UNKNOWN_TOPIC, ""))
    assert len(json.loads(lines[0])["identity"]) == FIELD_CHARS


def test_a_field_of_many_texts_is_cut_and_holds_no_secret() -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.INFO, as_json=True)
    log.write_event(SettingsRefused(SettingsSource.FILE, None, (f"'{KEY}' " + "x" * 65_535,) * 1_000))
    problems = json.loads(lines[0])["problems"]
    assert [len(each) for each in problems] == [FIELD_CHARS] * FIELD_ITEMS
    assert KEY not in lines[0]


def test_what_was_held_back_is_told_when_nothing_else_comes() -> None:
    lines: list[str] = []
    clock = Clock()
    log = Log(lines.append, clock, level=Level.INFO)
    for _ in range(LINES_PER_PERIOD + 30):
        log.write_event(Dropped(Why.FULL, 1))
    log.tell_held_back()
    assert len(lines) == LINES_PER_PERIOD, "the flood may go on"
    clock.now += PERIOD_S
    log.tell_held_back()
    log.tell_held_back()
    assert len(lines) == LINES_PER_PERIOD + 1
    assert "30 more of the same kind (Dropped)" in lines[-1]


def test_the_last_call_tells_all_of_it() -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.INFO, as_json=True)
    for _ in range(LINES_PER_PERIOD + 3):
        log.write_event(Dropped(Why.FULL, 1))
    log.tell_all_held_back()
    log.tell_all_held_back()
    assert len(lines) == LINES_PER_PERIOD + 1
    assert json.loads(lines[-1])["message"].startswith("3 more of the same kind")


def test_a_text_and_a_line_have_the_form_of_all_lines() -> None:
    lines: list[str] = []
    log = Log(lines.append, Clock(), level=Level.ERROR, as_json=True)
    log.write_text(Level.INFO, "READY here")
    assert json.loads(lines[0])["message"] == "READY here"
    assert json.loads(log.line(Dropped(Why.FULL, 2)))["event"] == "Dropped"
    assert len(lines) == 1
