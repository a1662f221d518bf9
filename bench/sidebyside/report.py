"""The table: medians, spread, and ratios to the anchor of the same round, as Markdown and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from sidebyside.figures import Row, Spread, ratios, spread, values_of


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in the table: its name in the rows, its title, its digits behind the point."""

    name: str
    title: str
    digits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a measure is shown. The first column has its spread; `anchor` is the target of ratio 1."""

    columns: tuple[Column, ...]
    anchor: str
    about: str


RATE: Final = Column("per_s", "msg/s")
CPU: Final = Column("server_cpu_us", "CPU us/msg", 1)
P50: Final = Column("p50_us", "p50 us")
P99: Final = Column("p99_us", "p99 us")
RESIDENT: Final = Column("resident_mb", "RSS MB", 1)
SERVER: Final = Column("server_cores", "server cores", 2)
GENERATOR: Final = Column("generator_cores", "load cores", 2)
OTHERS: Final = Column("other_cores", "others' cores", 2)
DISK: Final = (Column("disk_bytes", "disk B/msg"), Column("disk_ratio", "of PUBLISH", 2))
MOSQUITTO: Final = "mosquitto"
RABBITMQ: Final = "RabbitMQ, transient"

MEMORY: Final = (
    RESIDENT,
    Column("kb_per_connection", "kB/connection", 1),
    Column("connect_s", "connected in s", 2),
)
INGEST: Final = Layout(
    columns=(RATE, CPU, P50, P99, *DISK, RESIDENT, SERVER, GENERATOR, OTHERS),
    anchor=MOSQUITTO,
    about="QoS 1 publishes, closed loop: connections x in flight, body. The gateway answers after the disk's sync.",
)
LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        "generator": Layout(
            columns=(RATE, SERVER, GENERATOR, OTHERS),
            anchor="one generator",
            about="Is the load generator the limit? Mosquitto under one, and under two on the load's core.",
        ),
        "ingest": INGEST,
        "slow disk": INGEST,
        "ingest, TLS": INGEST,
        "latency": Layout(
            columns=(P50, Column("p90_us", "p90 us"), P99, Column("p999_us", "p99.9 us"), CPU, OTHERS),
            anchor=MOSQUITTO,
            about="PUBLISH to PUBACK at a steady rate that no server finds hard.",
        ),
        "handshakes": Layout(
            columns=(
                Column("per_s", "logins/s"),
                Column("server_cpu_us", "CPU us"),
                P50,
                P99,
                Column("resumed_share", "resumed", 2),
                SERVER,
                GENERATOR,
            ),
            anchor=MOSQUITTO,
            about="Connect, TLS, CONNECT with a token, CONNACK, DISCONNECT. Only the gateway checks the token.",
        ),
        "memory": Layout(
            columns=MEMORY,
            anchor=MOSQUITTO,
            about="Resident memory with connections that stay silent.",
        ),
        "start-up": Layout(
            columns=(Column("ready_s", "ready in s", 3), RESIDENT),
            anchor=MOSQUITTO,
            about="From the start of the process until it takes a connection; files are in the page cache.",
        ),
        "end to end": Layout(
            columns=(RATE, Column("acknowledged_per_s", "acknowledged/s"), CPU, RESIDENT),
            anchor="mosquitto's bridge to the stand-in",
            about="First PUBLISH until the last message is at the far end. The far end shares the load's core.",
        ),
        "drain": Layout(
            columns=(RATE, CPU), anchor="store alone", about="A backlog sent on after a start, until nothing is left."
        ),
        "AMQP ingest": Layout(
            columns=INGEST.columns,
            anchor=RABBITMQ,
            about="AMQP 1.0, unsettled transfers, closed loop: connections x transfers in flight, body; latency of a "
            "transfer. The gateway accepts after the disk's sync.",
        ),
        "AMQP memory": Layout(
            columns=MEMORY,
            anchor=RABBITMQ,
            about="Resident memory with connections over plain TCP that have a session and a sending link, silent.",
        ),
        "routes": Layout(
            columns=(Column("match_us", "us/message", 2),),
            anchor="1 routes",
            about="Matching one message, body parsed, without store or network, in one process each.",
        ),
    }
)


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry for each measure, case and target: the spread of every figure, and of the ratios to the anchor.

    `per_core` is the anchor's CPU per message over the target's: the ratio of rates if each had a core to itself.
    """
    entries = []
    for (measure, case), group in grouped(rows).items():
        layout = LAYOUTS[measure]
        for target in dict.fromkeys(row.target for row in group):
            names = dict.fromkeys(name for row in group if row.target == target for name in row.values)
            spreads = {name: spread(list(values_of(group, target, name).values())) for name in names}
            ratio = spread(ratios(group, target, layout.anchor, layout.columns[0].name))
            per_core = spread(ratios(group, layout.anchor, target, CPU.name))
            entries.append(
                {
                    "measure": measure,
                    "case": case,
                    "target": target,
                    "figures": {name: asdict(each) for name, each in spreads.items() if each is not None},
                    "ratio": None if ratio is None else asdict(ratio),
                    "per_core": None if per_core is None else asdict(per_core),
                }
            )
    return entries


def grouped(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows of each measure and case, in the order they came."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.measure, row.case), []).append(row)
    return groups


def markdown(machine: Mapping[str, str], rows: Sequence[Row], failures: Sequence[str]) -> str:
    """The whole report."""
    return "\n".join([*_head(machine), *_tables(rows), *_failures(failures)]) + "\n"


def _head(machine: Mapping[str, str]) -> Iterator[str]:
    yield "# Benchmark"
    yield ""
    yield "Written by `make bench`; docs/performance.md says how to read it. Medians over rounds; in brackets the least"
    yield "and the most. `ratio`: to the anchor in the same round, of the first column. `per core`: the anchor's CPU"
    yield "for a message over the target's, which other programs on the machine disturb less."
    yield ""
    yield from (f"- {name}: {value}" for name, value in machine.items())


def _tables(rows: Sequence[Row]) -> Iterator[str]:
    shown = ""
    for (measure, case), group in grouped(rows).items():
        layout = LAYOUTS[measure]
        if measure != shown:
            yield from ("", f"## {measure[0].upper()}{measure[1:]}", "", f"{layout.about} Anchor: {layout.anchor}.")
            shown = measure
        yield from ("", f"### {case}", "")
        columns = [column for column in layout.columns if any(column.name in row.values for row in group)]
        yield f"| target | {' | '.join(column.title for column in columns)} | ratio | per core |"
        yield f"|---|{'---|' * (len(columns) + 2)}"
        for target in dict.fromkeys(row.target for row in group):
            yield _line(group, target, columns, layout)


def _line(group: Sequence[Row], target: str, columns: Sequence[Column], layout: Layout) -> str:
    cells = []
    for number, column in enumerate(columns):
        figures = spread(list(values_of(group, target, column.name).values()))
        cells.append("" if figures is None else _cell(figures, column.digits, in_full=number == 0))
    found = ratios(group, target, layout.anchor, layout.columns[0].name), ratios(group, layout.anchor, target, CPU.name)
    cells += ["" if ratio is None else _cell(ratio, 2, in_full=True) for ratio in map(spread, found)]
    return f"| {target} | {' | '.join(cells)} |"


def _cell(found: Spread, digits: int, *, in_full: bool) -> str:
    text = f"{found.median:,.{digits}f}"
    if not in_full or found.count < 2:
        return text
    return f"{text} [{found.least:,.{digits}f} .. {found.most:,.{digits}f}]"


def _failures(failures: Sequence[str]) -> Iterator[str]:
    if failures:
        yield from ("", "## What failed", "")
        yield from (f"- {failure}" for failure in failures)
