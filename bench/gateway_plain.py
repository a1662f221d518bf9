"""The gateway's rooms behind listeners without TLS, for the benchmark only: the product has no such door yet.

Registry, routes, store (synced before every PUBACK or acceptance), sessions, heads, counters and log are the real ones,
wired as `gateway.app.gateway` does it. It serves MQTT, or AMQP, or both. `--sync-ms` makes each sync of the disk take
that much longer, as an SD card does.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path

import uvloop

from edgewire.session.amqp.limits import AmqpLimits
from edgewire.session.mqtt.limits import ServerLimits
from edgewire.transport.limits import TransportLimits
from edgewire.transport.listener import Listener, listen
from edgewire.transport.pump import Accept
from edgewire.transport.reports import Report
from gateway.app.document import read_settings
from gateway.cli.run import settle_collector
from gateway.dispatch.delivery import Delivery
from gateway.dispatch.ingress import Ingress
from gateway.dispatch.methods import Methods
from gateway.dispatch.presence import Presence
from gateway.dispatch.twin_desk import NoTwins
from gateway.head.amqp import AmqpHead
from gateway.head.mqtt import MqttHead
from gateway.head.sessions import SessionStore
from gateway.identity.authenticator import Authenticator
from gateway.identity.registry import FILE_NAME, Registry
from gateway.observe.events import Level
from gateway.observe.log import Log
from gateway.observe.metrics import Metrics
from gateway.observe.observer import Observer
from gateway.observe.tap import Tap
from gateway.store.files import DiskFile, DiskFiles, File
from gateway.store.store import Store
from gateway.store.values import StoreLimits


class SlowFile(DiskFile):
    """A file whose sync takes longer."""

    __slots__ = ("_sync_s",)

    def __init__(self, descriptor: int, sync_s: float) -> None:
        super().__init__(descriptor)
        self._sync_s = sync_s

    def sync(self) -> None:
        """See File."""
        super().sync()
        time.sleep(self._sync_s)


class SlowFiles(DiskFiles):
    """A directory on a disk whose sync takes longer."""

    def __init__(self, directory: Path, sync_s: float) -> None:
        super().__init__(directory)
        self._sync_s = sync_s

    def create(self, name: str) -> File:
        """See Files."""
        return self._slowed(super().create(name))

    def open(self, name: str) -> File:
        """See Files."""
        return self._slowed(super().open(name))

    def _slowed(self, file: File) -> File:
        assert isinstance(file, DiskFile)
        return SlowFile(file._descriptor, self._sync_s)  # noqa: SLF001 - the same descriptor, another sync


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    observer, metrics = Observer(), Metrics()
    observer.listen(metrics.count)
    observer.listen(Log(print, time.time, level=Level.INFO).write_event)
    data: Path = arguments.data
    reading = read_settings(json.loads(arguments.settings.read_text()))
    if reading.settings is None or reading.table is None:
        raise SystemExit(f"settings refused: {reading.problems}")
    limits = StoreLimits(max_bytes=reading.settings.max_bytes)
    files = SlowFiles(data / "store", arguments.sync_ms / 1000) if arguments.sync_ms else None
    store = Store.open(data / "store", limits, observer.emit, files=files)
    sessions = SessionStore(data / "sessions.db", observer.emit)
    ingress = Ingress(reading.table, store, Tap(), observer.emit)
    authenticator = Authenticator(Registry(data / FILE_NAME, observer.emit), [arguments.hub], None)
    presence = Presence()
    delivery, methods = Delivery(observer.emit, time.time), Methods(observer.emit)
    twins = NoTwins()
    listeners = []
    if arguments.port is not None:
        mqtt = MqttHead(
            authenticator=authenticator,
            ingress=ingress,
            presence=presence,
            delivery=delivery,
            methods=methods,
            twins=twins,
            sessions=sessions,
            emit=observer.emit,
            clock=time.time,
            limits=ServerLimits(),
        )
        listeners.append(await open_door(arguments.port, mqtt.accept))
    if arguments.amqp_port is not None:
        amqp = AmqpHead(
            authenticator=authenticator,
            ingress=ingress,
            presence=presence,
            delivery=delivery,
            methods=methods,
            twins=twins,
            emit=observer.emit,
            clock=time.time,
            hub_names=[arguments.hub],
            limits=AmqpLimits(),
        )
        listeners.append(await open_door(arguments.amqp_port, amqp.accept))
    settle_collector()
    print("READY", flush=True)
    reporting = asyncio.create_task(report_each_second(ingress))
    await stop.wait()
    reporting.cancel()
    for listener in listeners:
        await listener.close(1.0)
    await store.flush()
    await store.close()
    sessions.close()


async def open_door(port: int, accept: Accept) -> Listener:
    """A listener for plain TCP."""
    return await listen(
        "127.0.0.1",
        port,
        serve=accept,
        security=None,
        limits=TransportLimits(),
        report=ignore,
        on_crash=complain,
    )


async def report_each_second(ingress: Ingress) -> None:
    """As housekeeping does."""
    while True:
        await asyncio.sleep(1.0)
        ingress.report()


def ignore(_: Report) -> None:
    """What the listener reports is counted elsewhere."""


def complain(error: Exception, address: str) -> None:
    """A fault of ours makes the figures worthless."""
    print(f"FAULT {address} {error!r}", file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, help="MQTT's; at least one of both")
    parser.add_argument("--amqp-port", type=int)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--hub", required=True)
    parser.add_argument("--sync-ms", type=float, default=0)
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
