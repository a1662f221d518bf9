"""The table of the settings document holds together."""

from collections.abc import Iterator

from gateway.app.document_rows import Either, Elsewhere, Entries, Items, Number, Row, Section, Shape, Text, Whole
from gateway.app.document_schema import shape_of
from gateway.app.document_table import ROWS


def rows_of(shape: Shape, path: str) -> Iterator[tuple[str, Row]]:
    match shape:
        case Section():
            for row in shape.rows:
                yield f"{path}.{row.name}", row
                yield from rows_of(row.shape, f"{path}.{row.name}")
        case Entries() | Items():
            yield from rows_of(shape.shape, f"{path}.*")
        case Either():
            for one in shape.shapes:
                yield from rows_of(one, path)
        case Elsewhere():
            yield from rows_of(shape_of(shape), path)
        case _:
            return


ALL = list(rows_of(Section(ROWS), ""))


def test_every_member_says_what_it_is_in_one_line() -> None:
    assert len(ALL) > 80
    assert [path for path, row in ALL if not row.help or "\n" in row.help or row.help.endswith(".")] == []


def test_a_member_that_is_required_has_no_default() -> None:
    assert [path for path, row in ALL if row.required and row.default is not None] == []


def test_a_default_lies_within_its_range() -> None:
    ranged = [(path, row) for path, row in ALL if isinstance(row.shape, Whole | Number) and row.default is not None]
    assert len(ranged) >= 4
    for path, row in ranged:
        assert isinstance(row.shape, Whole | Number)
        assert row.shape.least <= row.default <= row.shape.most, path


def test_a_time_or_a_size_says_its_unit() -> None:
    numbers = [(path, row) for path, row in ALL if path.endswith(("Secs", "Bytes")) and not isinstance(row.shape, Text)]
    assert len(numbers) >= 10
    assert [path for path, row in numbers if row.unit not in ("seconds", "bytes")] == []
