from pathlib import Path

import pytest

from gateway.app.latest_time import BELIEVED_AHEAD_S, KEEP_EVERY_S, LatestTime

NOW = 1_900_000_000.0
YEAR_S = 365 * 86_400.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "latest-time"


def test_it_follows_a_clock_that_goes_on(file: Path) -> None:
    time = LatestTime(file)
    assert [time.follow(NOW + ahead) for ahead in (0, 1, 1000, YEAR_S)] == [NOW, NOW + 1, NOW + 1000, NOW + YEAR_S]


def test_a_clock_that_is_set_back_does_not_take_it_along(file: Path) -> None:
    time = LatestTime(file)
    time.follow(NOW)
    assert time.follow(NOW - 1800) == NOW
    assert time.follow(NOW - 10) == NOW
    assert time.follow(NOW + 10) == NOW + 10


def test_it_is_never_further_ahead_than_a_token_lives(file: Path) -> None:
    time = LatestTime(file)
    time.follow(NOW + 10 * YEAR_S)
    assert time.follow(NOW) == NOW + BELIEVED_AHEAD_S
    assert time.follow(NOW + BELIEVED_AHEAD_S + 1) == NOW + BELIEVED_AHEAD_S + 1, "and then it is forgotten"


def test_it_outlives_a_restart(file: Path) -> None:
    time = LatestTime(file)
    time.follow(NOW)
    assert time.keep() is None
    assert LatestTime(file).follow(NOW - 1800) == NOW
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_wrong_future_that_was_kept_locks_nobody_out_after_a_restart(file: Path) -> None:
    wrong = LatestTime(file)
    wrong.follow(NOW + 10 * YEAR_S)
    wrong.keep()
    right = LatestTime(file)
    assert right.follow(NOW) == NOW + BELIEVED_AHEAD_S
    assert right.is_due, "the wrong one must not come back"
    right.keep()
    assert LatestTime(file).follow(NOW) == NOW + BELIEVED_AHEAD_S


def test_a_clock_that_is_certainly_wrong_makes_nothing_forgotten(file: Path) -> None:
    time = LatestTime(file, least=NOW - YEAR_S)
    assert time.follow(1000.0) == NOW - YEAR_S, "nothing else is known yet"
    time.follow(NOW)
    time.keep()
    restarted = LatestTime(file, least=NOW - YEAR_S)
    assert restarted.follow(1000.0) == NOW, "a board without a clock chip starts in 1970"
    assert restarted.follow(NOW + 5) == NOW + 5


def test_it_is_kept_now_and_then_and_not_each_second(file: Path) -> None:
    time = LatestTime(file)
    time.follow(NOW)
    assert time.is_due
    time.keep()
    writes = 0
    for second in range(3600):
        time.follow(NOW + second)
        if time.is_due:
            time.keep()
            writes += 1
    assert writes == int(3599 // KEEP_EVERY_S)


@pytest.mark.parametrize("content", [b"", b"soon", b"-5", b"1e400", b"\xff", b"1900000000 1", b"9" * 1000])
def test_what_is_none_of_ours_is_no_knowledge_or_a_bounded_one(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert LatestTime(file).follow(NOW) in (NOW, NOW + BELIEVED_AHEAD_S)


def test_a_file_that_cannot_be_written_is_told_and_tried_again_later(tmp_path: Path) -> None:
    time = LatestTime(tmp_path / "gone" / "latest-time")
    time.follow(NOW)
    assert isinstance(time.keep(), FileNotFoundError)
    assert not time.is_due
    time.follow(NOW + KEEP_EVERY_S)
    assert time.is_due
