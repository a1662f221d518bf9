"""Rows of the settings document: their names, and choices made of enumerations."""

from enum import Enum

from gateway.app.document_rows import Row, Switch, names, words


class Colour(Enum):
    RED = "red"
    GREEN = "green"


def test_the_names_of_rows_come_in_their_order() -> None:
    rows = [Row(name=name, shape=Switch(), help="?") for name in ("b", "a")]
    assert names(rows) == ("b", "a")


def test_a_choice_is_of_the_values_of_an_enumeration() -> None:
    assert words(Colour).words == ("red", "green")
