"""What is measured, in which order, on which targets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from sidebyside import amqp, measures, upstream
from sidebyside.load import Load
from sidebyside.measures import Context, Figures
from sidebyside.targets import Target, amqtt, gateway, gateway_plain, mosquitto

LOADS: Final = (
    Load(connections=1),
    Load(connections=10, window=8),
    Load(connections=100, window=8),
    Load(connections=1_000),
)
"""One talker; a cell; many with pipelining, where parsing counts; a site with one in flight each, where sockets do."""
KILOBYTE: Final = 1_024
COMPILED: Final = "gateway, compiled"
PLAIN: Final = (mosquitto(), amqtt(), gateway_plain(), gateway_plain(COMPILED, compiled=True))
TLS: Final = (
    mosquitto(certificate="ec"),
    gateway(),
    gateway("gateway, tokens only", client_certificates=False),
    gateway(COMPILED, compiled=True),
)
SLOW_DISK_MS: Final = 20
GATEWAY: Final = "gateway"
MODULE: Final = "gateway as a module to the stand-in"
BEHALF: Final = "gateway on behalf of devices to the stand-in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One measurement."""

    measure: str
    case: str
    target: str
    take: Callable[[Context], Figures] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of it: `make bench` takes everything, `--quick` a piece of each measure."""

    seconds: float
    warm: float
    loads: tuple[Load, ...]
    sizes: tuple[int, ...]
    rates: tuple[int, ...]
    idle: tuple[int, ...]
    amqp_loads: tuple[Load, ...]
    amqp_idle: int
    backlog_bytes: int
    drain_bytes: int
    through: int
    resumption: bool


FULL: Final = Extent(
    seconds=4,
    warm=1,
    loads=LOADS,
    sizes=(256, KILOBYTE),
    rates=(100, 5_000),
    idle=(0, 1_000, 5_000),
    amqp_loads=(*amqp.LOADS, amqp.BATCHES),
    amqp_idle=1_000,
    backlog_bytes=1_000_000_000,
    drain_bytes=10_000_000,
    through=30_000,
    resumption=True,
)
QUICK: Final = Extent(
    seconds=1.5,
    warm=0.5,
    loads=LOADS[2:],
    sizes=(256,),
    rates=(1_000,),
    idle=(0, 1_000),
    amqp_loads=(amqp.LOADS[2], amqp.BATCHES),
    amqp_idle=200,
    backlog_bytes=200_000_000,
    drain_bytes=3_000_000,
    through=8_000,
    resumption=False,
)


def plan(extent: Extent, backlog: Path) -> Iterator[Step]:
    """All steps of one round; `backlog` is a data folder with `extent.backlog_bytes` of messages."""
    for count, name in ((1, "one generator"), (2, "two generators")):
        yield Step(
            measure="generator",
            case=f"mosquitto, {load_name(LOADS[2])}",
            target=name,
            take=partial(measures.generators, target=mosquitto(), load=LOADS[2], count=count),
        )
    yield from _ingest("ingest", PLAIN, extent)
    yield from _slow_disk(extent)
    yield from _ingest("ingest, TLS", TLS, replace(extent, loads=LOADS[2:]))
    yield from _latency(extent)
    yield from _handshakes(extent)
    for connections in extent.idle:
        for target in TLS:
            yield _step("memory", f"{connections:,} idle TLS connections", target, measures.memory, connections)
    yield from _start_up(extent, backlog)
    yield from _through(extent)
    yield from _amqp(extent)
    for case, kind in (("match", "site"), ("match, each route reads a key of its own", "fields")):
        for count in (1, 10, 100, 1_000):
            take = partial(measures.routes, count=count, kind=kind)
            yield Step(measure="routes", case=case, target=f"{count:,} routes", take=take)


def _step(measure: str, case: str, target: Target, take: Callable[..., Figures], *arguments: object) -> Step:
    return Step(measure=measure, case=case, target=target.name, take=lambda context: take(context, target, *arguments))


def load_name(load: Load) -> str:
    """A load as the report calls it."""
    batches = "" if load.batch is None else f"batches of {load.batch:,} x "
    return f"{load.connections:,} x {load.window}, {batches}{load.size:,} B"


def _ingest(measure: str, targets: tuple[Target, ...], extent: Extent) -> Iterator[Step]:
    for size in extent.sizes:
        for load in extent.loads:
            sized = replace(load, size=size)
            for target in targets:
                yield _step(measure, load_name(sized), target, measures.ingest, sized)


def _slow_disk(extent: Extent) -> Iterator[Step]:
    """Many in flight, as the sync decides: what is in flight divided by its time is the most there can be."""
    load = Load(connections=1_000, window=4)
    targets = (mosquitto(), gateway_plain(f"gateway, sync takes {SLOW_DISK_MS} ms", sync_ms=SLOW_DISK_MS))
    for target in targets if extent.resumption else targets[1:]:
        yield _step("slow disk", load_name(load), target, measures.ingest, load)


def _latency(extent: Extent) -> Iterator[Step]:
    for rate in extent.rates:
        load = Load(connections=100, window=64, rate=rate)
        for target in PLAIN:
            yield _step("latency", f"{rate:,} messages/s from 100 connections", target, measures.ingest, load)


def _handshakes(extent: Extent) -> Iterator[Step]:
    for certificate, name in (("ec", "P-256"), ("rsa", "RSA-2048")):
        for resume in (False, True) if extent.resumption else (False,):
            load = Load(connections=1_000, window=32, resume=resume)
            case = f"TLS 1.3, {name}{', resumed' if resume else ''}"
            for target in (
                mosquitto(certificate=certificate),
                gateway(certificate=certificate),
                gateway("gateway, tokens only", certificate=certificate, client_certificates=False),
            ):
                yield _step("handshakes", case, target, measures.handshakes, load)


def _start_up(extent: Extent, backlog: Path) -> Iterator[Step]:
    for target in (mosquitto(), gateway()):
        yield _step("start-up", "nothing stored", target, measures.start_up)
    case = f"{extent.backlog_bytes / 1e9:g} GB backlog"
    yield Step(measure="start-up", case=case, target=GATEWAY, take=lambda c: measures.start_up_with_backlog(c, backlog))


def _through(extent: Extent) -> Iterator[Step]:
    """End to end and drain. The bridge has one topic: mosquitto's bridge speaks as one device."""
    load = Load(connections=upstream.SENDERS, window=8, count=extent.through)
    bridged = replace(load, topic=f"{upstream.BRIDGE_TOPIC}$.ct=application%2Fjson&$.ce=utf-8")
    case = f"{extent.through:,} messages, {load_name(load)}"
    ways: tuple[tuple[str, Callable[[Context], Figures]], ...] = (
        ("mosquitto's bridge to the stand-in", lambda c: upstream.bridge_to_cloud(c, bridged)),
        (MODULE, lambda c: upstream.gateway_to_cloud(c, load, upstream.as_module)),
        (BEHALF, lambda c: upstream.gateway_to_cloud(c, load, upstream.on_behalf)),
        ("mosquitto's bridge to mosquitto", lambda c: upstream.bridge_to_mosquitto(c, bridged)),
    )
    for name, take in ways:
        yield Step(measure="end to end", case=case, target=name, take=take)
    size = extent.drain_bytes
    case = f"{size / 1e6:g} MB backlog"
    for name, way in ((MODULE, upstream.as_module), (BEHALF, upstream.on_behalf)):
        take = partial(upstream.drain_to_cloud, size=size, way=way)
        yield Step(measure="drain", case=case, target=name, take=take)
    yield Step(measure="drain", case=case, target="store alone", take=lambda c: measures.drain_store(c, size))


def _amqp(extent: Extent) -> Iterator[Step]:
    for size in extent.sizes:
        for load in extent.amqp_loads:
            sized = replace(load, size=size)
            for speaker in amqp.speakers_of(load):
                yield _spoken("AMQP ingest", load_name(sized), speaker, partial(amqp.ingest, load=sized))
    for speaker in amqp.idle_speakers():
        case = f"{extent.amqp_idle:,} idle connections, a link each"
        yield _spoken("AMQP memory", case, speaker, partial(amqp.memory, connections=extent.amqp_idle))


def _spoken(measure: str, case: str, speaker: amqp.Speaker, take: Callable[..., Figures]) -> Step:
    return Step(measure=measure, case=case, target=speaker.target.name, take=lambda c: take(c, speaker))
