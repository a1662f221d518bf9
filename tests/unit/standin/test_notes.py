"""The stand-in's last lines."""

import asyncio

from standin.notes import MAX_NOTES, NOTE_CHARS, Notes


async def test_a_line_has_a_number_and_its_time() -> None:
    notes = Notes(lambda: 7.5)
    notes.add("connected board-1")
    notes.add("refused board-2")
    assert notes.after(1) == [{"number": 2, "at": 7.5, "text": "refused board-2"}]


async def test_the_oldest_lines_go_and_numbers_go_on() -> None:
    notes = Notes()
    for number in range(MAX_NOTES + 3):
        notes.add(str(number))
    kept = notes.after(0)
    assert len(kept) == MAX_NOTES
    assert [kept[0]["text"], kept[-1]["number"]] == ["3", MAX_NOTES + 3]


async def test_a_long_line_is_cut() -> None:
    notes = Notes()
    notes.add("x" * (NOTE_CHARS + 1))
    assert notes.after(0)[0]["text"] == "x" * NOTE_CHARS


async def test_who_waits_hears_the_next_line() -> None:
    notes = Notes()
    waiting = asyncio.ensure_future(notes.wait(0, 30))
    await asyncio.sleep(0)
    notes.add("now")
    await asyncio.wait_for(waiting, 10)
    assert notes.after(0)[0]["text"] == "now"


async def test_who_waits_for_a_line_of_an_earlier_run_hears_at_once_that_numbers_begin_anew() -> None:
    notes = Notes()
    notes.add("one")
    await asyncio.wait_for(notes.wait(400, 30), 10)
    assert (notes.last, notes.after(400)) == (1, [])


async def test_who_waits_for_what_is_there_does_not_wait() -> None:
    notes = Notes()
    notes.add("already")
    await asyncio.wait_for(notes.wait(0, 30), 10)


async def test_waiting_ends_without_a_line() -> None:
    notes = Notes()
    await asyncio.wait_for(notes.wait(0, 0.01), 10)
    assert notes.after(0) == []
