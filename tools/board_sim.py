"""`make board-sim`: many boards at once against a gateway that runs, as numbers of what it does with them.

    python tools/board_sim.py --boards 50 --seconds 60     → a line a second, and a summary

All boards are in one process, on one thread, over TLS and MQTT 3.1.1. They are members of an enrolment group that is
made for the run. Each sends telemetry, takes the messages `on` and `off`, answers the methods `status`, `blink` and
`update`, and reports its property `firmware`. After `update` it goes, and comes back with the version it was told: it
loads nothing, for that is what the firmware's own tests are for.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from edgewire.codec.mqtt.connect import write_connect
from edgewire.codec.mqtt.frames import Bounds, FrameReader
from edgewire.codec.mqtt.packets import (
    Connack,
    Connect,
    Packet,
    PacketType,
    Puback,
    Publish,
    Subscribe,
    SubscribeFilter,
)
from edgewire.codec.mqtt.v3 import read, write
from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.message import identity
from standin.client import Control, ControlError

ROOT: Final = Path(__file__).parents[1]
GATEWAY: Final = Path(sys.executable).parent / "gateway"
LEVEL: Final = 4
PING: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"
METHOD: Final = "$iothub/methods/POST/"
REPORT: Final = "$iothub/twin/PATCH/properties/reported/?$rid={}"
REPORTED: Final = "$iothub/twin/res/"
KEEP_ALIVE_S: Final = 60
TOKEN_LIFE_S: Final = 86_400
MAX_BOARDS: Final = 2_000
MAX_SECONDS: Final = 86_400.0
MOST_WAITING: Final = 20
"""Messages that a board has sent and not heard of; it sends no new one above that, as a real one would not."""
AT_ONCE: Final = 20
"""Boards that connect at the same time."""
CONNECT_S: Final = 30.0
RETRY_S: Final = (0.5, 15.0)
"""Before another attempt: at first, and at most. Each board waits half as long to half as long again."""
UPDATE_S: Final = 1.0
DRAIN_S: Final = 10.0
GOODBYE_S: Final = 5.0
SAMPLES: Final = 100_000


class SimulationError(Exception):
    """The boards cannot be let loose; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the boards connect, and how often they send."""

    address: str
    port: int
    hub: str
    tls: ssl.SSLContext
    interval_s: float


@dataclass(slots=True)
class Tally:
    """What all boards have done."""

    sent: int = 0
    acknowledged: int = 0
    messages: int = 0
    calls: int = 0
    reports: int = 0
    losses: int = 0
    refusals: int = 0
    delays_s: list[float] = field(default_factory=list)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while all that was sent is acknowledged."""

    def send(self) -> None:
        """One more message."""
        self.sent += 1
        self.settled.clear()

    def acknowledge(self, delay_s: float) -> None:
        """One more; of very many only the first delays are kept."""
        self.acknowledged += 1
        if self.acknowledged == self.sent:
            self.settled.set()
        if len(self.delays_s) < SAMPLES:
            self.delays_s.append(delay_s)


class Board(asyncio.Protocol):
    """One board. What was not acknowledged when its connection ended is sent again, in order and with DUP."""

    def __init__(self, device: str, key: bytes, place: Place, tally: Tally) -> None:
        self.device = device
        self.ready = False
        self.sending = True
        self._key = key
        self._place = place
        self._tally = tally
        self._chance = random.Random(device)  # noqa: S311 — readings, no secrets
        self._celsius = 21.0
        self._led = False
        self._count = 0
        self._version, self._serial, self._next = "1.0.0", 1, ""
        self._waiting: dict[int, tuple[Publish, float]] = {}
        self._transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()
        """Set while it has no connection, not even one that is being closed."""
        self.gone.set()
        self._turn = asyncio.Event()
        """Something has happened that `run` should see: the end of a connection, the first answer."""

    @property
    def waiting(self) -> int:
        """Messages that nobody has acknowledged yet."""
        return len(self._waiting)

    async def run(self, doors: asyncio.Semaphore) -> None:
        """Connect, and again after each loss, until cancelled."""
        pause_s = RETRY_S[0]
        try:
            while True:
                if await self._connect(doors):
                    pause_s = RETRY_S[0]
                    await self._live()
                if self._next:
                    await asyncio.sleep(UPDATE_S)
                    self._version, self._serial, self._next = self._next, self._serial + 1, ""
                    continue
                self._tally.losses += 1
                await asyncio.sleep(pause_s * self._chance.uniform(0.5, 1.5))
                pause_s = min(2 * pause_s, RETRY_S[1])
        finally:
            self._leave()

    async def _connect(self, doors: asyncio.Semaphore) -> bool:
        await self.gone.wait()
        self._turn.clear()
        loop = asyncio.get_running_loop()
        async with doors:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(CONNECT_S):
                    await loop.create_connection(
                        lambda: self, self._place.address, self._place.port, ssl=self._place.tls
                    )
                    await self._turn.wait()
        if not self.ready:
            self._leave()
        return self.ready

    async def _live(self) -> None:
        """Send in its rhythm while the connection lasts; the first time at a random moment of it."""
        due = time.monotonic() + self._chance.uniform(0, self._place.interval_s)
        while True:
            self._turn.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(due - time.monotonic(), 0), KEEP_ALIVE_S / 2)):
                    await self._turn.wait()
            if not self.ready:
                return
            if self.sending and time.monotonic() >= due and len(self._waiting) < MOST_WAITING:
                self._send_telemetry()
                due = time.monotonic() + self._place.interval_s
            elif self.sending and time.monotonic() >= due:
                due = time.monotonic() + self._place.interval_s
            elif not self.sending:
                due = time.monotonic() + KEEP_ALIVE_S
            else:
                self._write(PING)

    def _send_telemetry(self) -> None:
        self._celsius += self._chance.uniform(-0.2, 0.2)
        self._count += 1
        body = {"temperature": round(self._celsius, 1), "battery": 80, "led": self._led, "number": self._count}
        topic = f"devices/{self.device}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8"
        packet = Publish(topic, json.dumps(body).encode(), 1, False, False, self._count % 65_535 + 1)
        self._waiting[packet.packet_id] = (packet, time.monotonic())
        self._tally.send()
        self._write(write(packet))

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _leave(self) -> None:
        self.ready = False
        if self._transport is not None:
            self._transport.write(DISCONNECT)
            self._transport.close()
            self._transport = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        self.gone.clear()
        self._transport = cast(asyncio.Transport, transport)
        kinds = [kind for kind in PacketType if kind is not PacketType.AUTH]
        self._frames = FrameReader(Bounds(kinds, level=LEVEL, max_packet_bytes=300_000))
        resource = sas.resource_of(self._place.hub, identity(self.device))
        connect = Connect(
            client_id=self.device,
            level=LEVEL,
            clean_start=True,
            keep_alive_s=KEEP_ALIVE_S,
            username=f"{self._place.hub}/{self.device}/?api-version=2021-04-12",
            password=sas.make(resource, self._key, int(time.time()) + TOKEN_LIFE_S).encode(),
        )
        self._write(write_connect(connect))

    def data_received(self, data: bytes) -> None:
        """Take whatever comes."""
        self._frames.push(data)
        try:
            while (frame := self._frames.next()) is not None:
                self._take(read(*frame, level=LEVEL))
        except (ProtocolError, ValueError) as error:
            print(f"{self.device}: the gateway sent what a board does not understand: {error}", file=sys.stderr)
            self._leave()
            self._turn.set()

    def connection_lost(self, _: Exception | None) -> None:
        """Let `run` try again."""
        self.ready = False
        self._transport = None
        self.gone.set()
        self._turn.set()

    def _take(self, packet: Packet) -> None:
        match packet:
            case Connack():
                self._on_connack(packet.code)
            case Puback() if packet.packet_id in self._waiting:
                self._tally.acknowledge(time.monotonic() - self._waiting.pop(packet.packet_id)[1])
            case Publish() if packet.topic.startswith(METHOD):
                self._on_call(packet)
            case Publish() if packet.topic.startswith(REPORTED):
                self._tally.reports += packet.topic.removeprefix(REPORTED).startswith("2")
            case Publish():
                self._on_message(packet)

    def _on_connack(self, code: int) -> None:
        self.ready = code == 0
        self._turn.set()
        if code:
            self._tally.refusals += 1
            return
        topics = (f"devices/{self.device}/messages/devicebound/#", METHOD + "#", REPORTED + "#")
        filters = tuple(SubscribeFilter(filter=topic, qos=1) for topic in topics)
        self._write(write(Subscribe(packet_id=65_535, filters=filters)))
        self._report()
        for packet, _ in self._waiting.values():
            again = Publish(packet.topic, packet.payload, 1, False, True, packet.packet_id)
            self._write(write(again))

    def _report(self) -> None:
        said = {"version": self._version, "serial": self._serial, "state": "running", "failed": None}
        self._publish(REPORT.format(self._serial), {"model": "simulated", "firmware": said})

    def _publish(self, topic: str, body: Any) -> None:
        self._write(write(Publish(topic, json.dumps(body).encode(), 0, False, False, 0)))

    def _on_message(self, packet: Publish) -> None:
        """A message from the cloud."""
        self._tally.messages += 1
        if packet.payload in (b"on", b"off"):
            self._led = packet.payload == b"on"
        if packet.qos:
            self._write(write(Puback(packet_id=packet.packet_id)))

    def _on_call(self, packet: Publish) -> None:
        self._tally.calls += 1
        name, _, rid = packet.topic.removeprefix(METHOD).partition("/?$rid=")
        status, answer = self._answer(name, packet.payload)
        self._publish(f"$iothub/methods/res/{status}/?$rid={rid}", answer)
        if packet.qos:
            self._write(write(Puback(packet_id=packet.packet_id)))
        if self._next:
            self._leave()
            self._turn.set()

    def _answer(self, name: str, payload: bytes) -> tuple[int, Any]:
        if name == "status":
            return 200, {"led": self._led, "sent": self._count, "version": self._version}
        if name == "blink":
            return 200, {"blinked": True}
        if name != "update":
            return 404, {"message": f"no method {name}"}
        with contextlib.suppress(ValueError, TypeError, KeyError):
            version = json.loads(payload)["version"]
            if isinstance(version, str) and version:
                self._next = version
                return 200, {"accepted": True}
        return 400, {"accepted": False}


class Simulation:
    """All boards, and what is printed of them."""

    def __init__(self, boards: list[Board], tally: Tally, *, quiet: bool) -> None:
        self._boards = boards
        self._tally = tally
        self._quiet = quiet

    async def run(self, seconds: float) -> dict[str, Any]:
        """Let them live so long, or until a signal. Returns the summary."""
        enough = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, enough.set)
        doors = asyncio.Semaphore(AT_ONCE)
        tasks = [asyncio.create_task(board.run(doors), name=board.device) for board in self._boards]
        began = time.monotonic()
        try:
            await self._watch(enough, began + seconds)
            lived_s = time.monotonic() - began
            connected = self._connected()
            await self._drain()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await asyncio.gather(*(board.gone.wait() for board in self._boards))
        return self._summary(lived_s, connected)

    async def _watch(self, enough: asyncio.Event, until: float) -> None:
        sent = acknowledged = 0
        while not enough.is_set() and (left_s := until - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, left_s)):
                    await enough.wait()
            tally = self._tally
            if not self._quiet:
                print(
                    f"{self._connected()} of {len(self._boards)} connected, {tally.sent - sent} sent, "
                    f"{tally.acknowledged - acknowledged} acknowledged, {self._waiting()} waiting, "
                    f"{tally.messages} messages, {tally.calls} calls, {tally.losses} losses",
                    flush=True,
                )
            sent, acknowledged = tally.sent, tally.acknowledged

    async def _drain(self) -> None:
        """No new messages; those under way get some seconds."""
        for board in self._boards:
            board.sending = False
        if self._waiting():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._tally.settled.wait()

    def _connected(self) -> int:
        return sum(board.ready for board in self._boards)

    def _waiting(self) -> int:
        return sum(board.waiting for board in self._boards)

    def _summary(self, lived_s: float, connected: int) -> dict[str, Any]:
        tally, delays = self._tally, sorted(self._tally.delays_s) or [0.0]
        return {
            "boards": len(self._boards),
            "connected": connected,
            "seconds": round(lived_s, 1),
            "sent": tally.sent,
            "acknowledged": tally.acknowledged,
            "waiting": self._waiting(),
            "messages": tally.messages,
            "calls": tally.calls,
            "reports": tally.reports,
            "losses": tally.losses,
            "refusals": tally.refusals,
            "medianMs": round(statistics.median(delays) * 1000, 1),
            "slowestMs": round(delays[-1] * 1000, 1),
        }


@contextlib.contextmanager
def group(name: str, prefix: str, data: Path) -> Iterator[Callable[[str], bytes]]:
    """An enrolment group in the gateway's registry while the block runs. Gives what makes a board's key."""
    key = secrets.token_bytes(32)
    with contextlib.suppress(SimulationError):
        command("devices", "remove", name, "--group", "--data", str(data))  # of a run that was killed
    words = ("devices", "add-group", name, "--id-prefix", prefix, "--key", "env:BOARD_SIM_KEY", "--data", str(data))
    command(*words, key=sas.encode_key(key))
    try:
        yield lambda device: sas.derive_device_key(key, device)
    finally:
        command("devices", "remove", name, "--group", "--data", str(data))


def command(*words: str, key: str = "") -> None:
    """Run a command of the gateway. Raises SimulationError."""
    environment = {**os.environ, "BOARD_SIM_KEY": key}
    done = subprocess.run([GATEWAY, *words], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SimulationError(done.stderr.strip())


def tell_cloud(folder: Path, keys: dict[str, bytes]) -> None:
    """The stand-in knows the boards by the same keys, so that what is for them comes down. Raises SimulationError."""
    control = Control(folder)
    try:
        known = {entry["deviceId"] for entry in control.ask("GET", "/devices")["devices"]}
        for device in known & set(keys):
            control.ask("DELETE", "/devices", identity=device)
        for device, key in keys.items():
            control.ask("POST", "/devices", {"identity": device, "keys": [sas.encode_key(key)]})
    except ControlError as error:
        raise SimulationError(error.what) from error


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Simulated boards against a gateway that runs.")
    parser.add_argument("--boards", type=int, default=50, help="how many (default: 50)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (default: 60)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between a board's messages (default: 1)")
    parser.add_argument("--data", type=Path, default=ROOT / "run/gateway", help="the gateway's data folder")
    parser.add_argument("--address", default="127.0.0.8", help="the gateway's name or address")
    parser.add_argument("--port", type=int, default=8883)
    parser.add_argument("--hub", default="standin-hub.test", help="the hub's name, for tokens")
    parser.add_argument("--root", type=Path, default=ROOT / "run/cloud/trust-bundle.pem", help="roots to trust, PEM")
    parser.add_argument("--cloud", type=Path, help="folder of a stand-in that is to know the boards")
    parser.add_argument("--prefix", default="sim-", help="how the boards' ids begin (default: sim-)")
    parser.add_argument("--json", action="store_true", help="the summary alone, for programs")
    return parser.parse_args()


def simulate(given: argparse.Namespace) -> dict[str, Any]:
    """Do what is asked. Returns the summary. Raises SimulationError."""
    if not 1 <= given.boards <= MAX_BOARDS:
        raise SimulationError(f"--boards is 1 to {MAX_BOARDS}: all are in one process")
    if not 0 < given.seconds <= MAX_SECONDS or not 0.01 <= given.interval <= MAX_SECONDS:
        raise SimulationError("--seconds is up to a day, --interval 0.01 s up to a day")
    try:
        tls = ssl.create_default_context(cafile=str(given.root))
    except OSError as error:
        raise SimulationError(f"{given.root}: {error}; does `make run` run?") from error
    place = Place(address=given.address, port=given.port, hub=given.hub, tls=tls, interval_s=given.interval)
    names = [f"{given.prefix}{number:04}" for number in range(given.boards)]
    tally = Tally()
    with group(f"board-sim-{given.prefix}", given.prefix, given.data) as key_of:
        keys = {name: key_of(name) for name in names}
        if given.cloud:
            tell_cloud(given.cloud, keys)
        boards = [Board(name, key, place, tally) for name, key in keys.items()]
        return asyncio.run(Simulation(boards, tally, quiet=given.json).run(given.seconds))


def main() -> int:
    """Returns 0 if at the end all boards were connected and all they sent was acknowledged."""
    given = _arguments()
    try:
        found = simulate(given)
    except SimulationError as error:
        print(f"board-sim: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found) if given.json else "\n".join(f"{name:14}{value}" for name, value in found.items()))
    return int(found["connected"] < found["boards"] or found["waiting"] > 0)


if __name__ == "__main__":
    sys.exit(main())
