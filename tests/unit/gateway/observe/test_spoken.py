import logging
from collections.abc import Iterator

import pytest

from gateway.observe.events import Event
from gateway.observe.spoken import TEXT_CHARS, LibrarySpoke, Listening


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def library(told: list[Event]) -> Iterator[logging.Logger]:
    logger = logging.getLogger("library.part")
    handler = Listening(told.append, lambda call, event: call(event))
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


def test_a_warning_of_a_library_is_an_event(library: logging.Logger, told: list[Event]) -> None:
    library.info("nothing")
    library.warning("trouble with %s", "it")
    assert told == [LibrarySpoke("library", "trouble with it")]
    assert told[0].sentence() == "library says: trouble with it"


def test_an_exception_is_told_with_where_it_came_from(library: logging.Logger, told: list[Event]) -> None:
    def fail() -> None:
        raise ValueError("x" * 2 * TEXT_CHARS + " the cause")

    try:
        fail()
    except ValueError:
        library.exception("it failed")
    (spoke,) = told
    assert isinstance(spoke, LibrarySpoke)
    assert len(spoke.text) == TEXT_CHARS
    assert spoke.text.endswith(" the cause")


def test_a_secret_at_the_cut_is_hidden_whole(library: logging.Logger, told: list[Event]) -> None:
    library.warning("SharedAccessKey=%s;%s", "not-for-you" * 4, "x" * (TEXT_CHARS - 20))
    (spoke,) = told
    assert isinstance(spoke, LibrarySpoke)
    assert "for-you" not in spoke.text


def test_after_the_end_of_the_loop_nothing_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    def closed(_call: object, _event: Event) -> None:
        raise RuntimeError("the loop is closed")

    record = logging.LogRecord("asyncio", logging.ERROR, "", 1, "late", (), None)
    Listening(lambda _: None, closed).emit(record)
    assert "late" in capsys.readouterr().err
