"""The page of what was seen with which client: written by a run of tests/peers, and nothing else stands in it."""

import pytest

from support.compatibility import COLUMNS, PAGE, Cell, Table, cells_of, page_of

CELLS = {
    Cell(Table.GATEWAY, "a client, MQTT", "telemetry"),
    Cell(Table.GATEWAY, "a client, MQTT", "C2D"),
    Cell(Table.GATEWAY, "another", "method"),
    Cell(Table.SERVICE, "a service", "query"),
}


def test_a_page_says_what_was_seen_and_nothing_more() -> None:
    assert cells_of(page_of(CELLS)) == CELLS


def test_a_row_has_a_dash_where_others_of_its_table_have_something() -> None:
    assert "| a client, MQTT | yes | yes | \N{EN DASH} |" in page_of(CELLS)
    assert "| client | query |" in page_of(CELLS)


def test_a_column_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match=COLUMNS[0]):
        Cell(Table.GATEWAY, "a client", "tele")


def test_the_page_is_as_a_run_writes_it() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_of(cells_of(page))
