import pytest

from standin.events import Event
from standin.show import event_line


def event(body: bytes, properties: dict[str, str | None] | None = None, **system: str) -> Event:
    return Event(
        sequence=3,
        enqueued_at=0.0,
        device="edge-1",
        module="gateway",
        properties=properties or {},
        system={"connectionDeviceId": "edge-1", **system},
        body=body,
    )


def after_time(line: str) -> str:
    return line.split(" ", 1)[1]


def test_a_line_says_sender_output_properties_and_body() -> None:
    line = event_line(event(b'{"t":31}', {"a": "1", "b": None}, outputName="alerts", contentType="application/json"))
    assert after_time(line) == '#3 edge-1/gateway output=alerts [$contentType=application/json a=1 b=] {"t":31}'


def test_without_properties_there_are_no_brackets() -> None:
    assert after_time(event_line(event(b""))) == "#3 edge-1/gateway "


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"x" * 121, "x" * 120 + "… (121 bytes)"),
        (b"\xff\x00", "(2 bytes, no text)"),
        (b"\x1b[2J", "(4 bytes, no text)"),
        (b"a\nb", "(3 bytes, no text)"),
    ],
)
def test_no_body_floods_the_terminal_or_moves_its_cursor(body: bytes, shown: str) -> None:
    assert event_line(event(body)).endswith(shown)


def test_no_property_moves_the_cursor() -> None:
    assert "a=%1B%5B2J" in event_line(event(b"", {"a": "\x1b[2J"}))
