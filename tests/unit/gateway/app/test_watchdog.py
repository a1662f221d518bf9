import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from gateway.app import watchdog as module
from gateway.app.watchdog import LOOKS, MAX_STACKS_BYTES, STUCK, Patience, Watchdog, Words, stacks
from gateway.observe.process import GatewayStuck, StuckPart


def test_no_progress_is_counted_and_any_progress_forgives() -> None:
    seen: list[object] = [1, 1, 1, 2, 2, None, None, None, 3]
    patience = Patience(StuckPart.STORE, lambda: seen.pop(0))
    looks = []
    while seen:
        patience.look()
        looks.append(patience.looks)
    assert looks == [0, 1, 2, 0, 1, 0, 0, 0, 0], "idle is no hang"


@pytest.fixture(autouse=True)
def second_watch(monkeypatch: pytest.MonkeyPatch) -> set[tuple[float, bool]]:
    """What the watch of `faulthandler` was set to.

    The true one would end this process, and all tests in it, as soon as a busy machine holds the watchdog's thread up
    for some tenths of a second; tests/crash has a process of its own for it.
    """
    told: set[tuple[float, bool]] = set()

    def watch(seconds: float, **how: Any) -> None:
        told.add((seconds, how["exit"]))

    monkeypatch.setattr("faulthandler.dump_traceback_later", watch)
    return told


class End:
    """The end of a process, without one."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.came = threading.Event()
        self.words: list[GatewayStuck] = []

    def __call__(self, code: int) -> None:
        self.code = code
        self.came.set()

    def line(self, stuck: GatewayStuck) -> str:
        self.words.append(stuck)
        return stuck.sentence()


def watch(end: End, *, loop: Callable[[], object], writer: Callable[[], object], seconds: float = 0.2) -> Watchdog:
    made = Watchdog(seconds, loop=loop, writer=writer, words=Words(line=end.line, end=end))
    made.start()
    return made


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (StuckPart.EVENT_LOOP, "its event loop has not turned for 0.2 s"),
        (StuckPart.STORE, "not come back from the disk"),
    ],
)
def test_what_makes_no_progress_ends_the_process_with_a_last_word(
    part: StuckPart,
    says: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    second_watch: set[tuple[float, bool]],
) -> None:
    monkeypatch.setattr(module, "WORDS_S", 10.0)  # whoever takes them may be slow
    end, beats, jobs = End(), count(), count()
    watched = watch(
        end,
        loop=lambda: 7 if part is StuckPart.EVENT_LOOP else next(beats),
        writer=lambda: 7 if part is StuckPart.STORE else next(jobs),
    )
    assert end.came.wait(60)
    watched.stop()
    assert end.code == STUCK
    assert [stuck.part for stuck in end.words] == [part]
    out, error = capfd.readouterr()
    assert says in out
    assert "test_watchdog.py" in error, "it says where each thread stood"
    assert second_watch == {(2 * 0.2, True)}


def test_who_makes_progress_is_left_alone() -> None:
    end, beats = End(), count()
    looked = threading.Event()

    def beat() -> int:
        number = next(beats)
        if number > 3 * LOOKS:
            looked.set()
        return number

    watched = watch(end, loop=beat, writer=lambda: None, seconds=0.1)
    assert looked.wait(20)
    assert watched.silent_s(StuckPart.EVENT_LOOP) == 0
    watched.stop()
    assert end.code is None


def test_last_words_that_nobody_takes_do_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_descriptor: int, _text: bytes) -> None:
        threading.Event().wait()

    monkeypatch.setattr(module, "_write", never)
    monkeypatch.setattr(module, "WORDS_S", 0.05)
    end = End()
    watched = watch(end, loop=lambda: 1, writer=lambda: None)
    assert end.came.wait(60)
    watched.stop()
    assert end.code == STUCK


def test_stacks_name_places_and_no_values() -> None:
    secret = "SharedAccessKey=" + "hidden" * 5
    text = stacks()
    assert b"test_stacks_name_places_and_no_values" in text
    assert secret.encode() not in text
    assert len(text) <= MAX_STACKS_BYTES
