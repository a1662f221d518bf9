"""What was seen to work with which client in a run of tests/peers, and the page that says so: docs/compatibility.md.

A test names cells either by a mark, which counts when the test passes, or by the fixture `seen` as it sees it happen:

    @works(Table.SERVICE, Client.PYTHON_SERVICE.over("http"), "registry")
    def test_…(seen): seen(Table.GATEWAY, Client.PAHO.over("mqtt5"), "C2D", "method")
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest

PAGE: Final = Path(__file__).parents[2] / "docs/compatibility.md"
WRITE_VARIABLE: Final = "COMPATIBILITY_PAGE"
"""`write` in it has the page written from the run; anything else has it compared."""
_YES: Final = "yes"
_NO: Final = "\N{EN DASH}"
_HEAD: Final = """# Compatibility

Which unmodified clients were seen to work, and with what. Written from a run of `tests/peers` (`make compatibility`);
no cell is written by hand, and `make test` fails where a run sees anything else. Versions are those of
`requirements-dev.lock` and `tests/peers/node/package-lock.json`. A dash: no test saw it, for many because the client
has no such thing. "Refusals": the client is told that it is refused, and why as far as it can tell.
"""


class Table(Enum):
    """The tables of the page, in its order; the value is the heading."""

    GATEWAY = "Devices through the gateway, to the hub and back"
    DEVICES = "Devices and modules at the stand-in"
    SERVICE = "Service side, reading and provisioning at the stand-in"


_ABOUT: Final = {
    Table.GATEWAY: """The stand-in plays the hub. What comes back to a device comes by `GATEWAY_UPSTREAM_AMQP`;
telemetry goes upstream by it, too, or as messages of the gateway's module. A device that proves itself by a certificate
has telemetry alone ([upstream.md](upstream.md)). "Twin offline": read and reported while the hub is away. A device
answers a method, a module makes a method call.""",
    Table.DEVICES: "Without the gateway: what the stand-in does for who connects to it.",
    Table.SERVICE: """What else talks to a hub. Keys and certificates are those of enrolments: of one device, or of a
group, by a key to derive from or by the CA of its certificates. Who is provisioned connects to its hub and sends.""",
}

COLUMNS: Final = (
    *("telemetry", "C2D", "C2D reject", "C2D abandon", "twin get", "twin patch", "twin notify", "twin offline"),
    *("method", "method call", "input"),
    *("registry", "bulk", "modules", "twins", "query", "configurations", "statistics", "C2D send", "feedback"),
    *("read events", "offsets", "owner levels", "management"),
    *("individual key", "group key", "X.509", "X.509 CA", "refusals", "registers offline"),
)
"""In the order of the page; a table has those that some row of it was seen with."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing that one client can do."""

    table: Table
    row: str
    column: str

    def __post_init__(self) -> None:
        if self.column not in COLUMNS:
            raise ValueError(f"'{self.column}' is no column: {', '.join(COLUMNS)}")


Seen = Callable[..., None]
"""What the fixture `seen` is: a table, a row of it, and columns."""


def cells(table: Table, row: str, *columns: str) -> set[Cell]:
    """What a mark says, or a call of `seen`."""
    if not columns:
        raise ValueError(f"{row} was seen, but with what?")
    return {Cell(table, row, column) for column in columns}


def works(table: Table, row: str, *columns: str) -> pytest.MarkDecorator:
    """The mark of a test by which these are seen."""
    return pytest.mark.works.with_args(table, row, *columns)


def each_of(table: Table, rows: Mapping[Any, str], *columns: str) -> list[Any]:
    """The parameters of a test that shows the same of several rows: the keys of `rows`."""
    return [pytest.param(value, marks=works(table, row, *columns), id=row) for value, row in rows.items()]


@dataclass(slots=True)
class Run:
    """What a run has seen, and whether that is all there is to see."""

    seen: set[Cell] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    """Tests that name cells and did not pass: the page cannot be judged without them."""
    left_out: bool = False
    """Whether some test was not run."""

    def see(self, table: Table, row: str, *columns: str) -> None:
        """This was seen to work."""
        self.seen |= cells(table, row, *columns)

    def wrong(self, page: str, *, whole: bool) -> list[str]:
        """What the page says otherwise than this run, which is the whole of it or a part."""
        said = cells_of(page)
        found = dict.fromkeys(self.seen - said, "was seen, and the page does not say it")
        if whole:
            found |= dict.fromkeys(said - self.seen, "is on the page, and was not seen")
        return sorted(f"{cell.table.value}: {cell.row}: {cell.column} {what}" for cell, what in found.items())


def page_of(shown: Iterable[Cell]) -> str:
    """The page that says this."""
    seen = set(shown)
    tables = (f"\n## {table.value}\n\n{_ABOUT[table]}\n\n{_table_of(seen, table)}" for table in Table)
    return _HEAD + "".join(tables)


def cells_of(page: str) -> set[Cell]:
    """The cells of a page that say yes."""
    found: set[Cell] = set()
    table: Table | None = None
    columns: list[str] = []
    for line in page.splitlines():
        if line.startswith("## "):
            table, columns = Table(line.removeprefix("## ")), []
        elif table is not None and line.startswith("| "):
            row, *values = [part.strip() for part in line.strip("|").split("|")]
            columns = columns or values
            found |= {Cell(table, row, name) for name, value in zip(columns, values, strict=True) if value == _YES}
    return found


def _table_of(seen: set[Cell], table: Table) -> str:
    mine = {cell for cell in seen if cell.table is table}
    columns = [name for name in COLUMNS if any(cell.column == name for cell in mine)]
    rows = sorted({cell.row for cell in mine}, key=str.casefold)
    lines = [f"| client | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        values = [_YES if Cell(table, row, name) in mine else _NO for name in columns]
        lines.append(f"| {row} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"
