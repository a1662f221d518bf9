"""One attempt after another to get past the gateway, and what each must leave behind: one line, one count, no more."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import CaSigned, Credential, Group, Registration, Roster, SymmetricKeys, Thumbprints
from issuing import CLIENT, DAY, SERVER, Issued, issue
from support import raw_mqtt
from support.gateway_site import GatewaySite, until
from support.raw_mqtt import Hello
from support.raw_peer import RawPeer

REAL: Final = "real"
MALLORY: Final = "mallory"
REAL_KEY: Final = b"the key of the real device......"
MALLORY_KEY: Final = b"the key of the other device....."
MODULE_KEY: Final = b"the key of the module..........."
GROUP_KEY: Final = b"the key of the enrolment group.."
SECOND_KEY: Final = b"the second key of everybody....."
ROOT: Final = "root of the site"
SETTLE_S: Final = 0.02
LOUD: Final = (" WARNING ", " ERROR ")

Answer = int | str | tuple[str, int] | None
"""A CONNACK code; a condition of AMQP; a kind of packet and its code; None for a connection closed without a word."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """`act` is given the stage and an address to come from; `answer` and `counter` are what must come of it."""

    what: str
    act: "Callable[[Stage, str], Awaitable[Answer]]"
    answer: Answer
    counter: str


class Stage:
    """A gateway with a real device that is connected all the time, and others who want to be it."""

    def __init__(self, site: GatewaySite, root: Issued) -> None:
        self.site = site
        self.root = root
        self.thumb = _issue("thumb", (-1, 1))
        self._sources = (f"127.96.{high}.{low}" for high in itertools.count(1) for low in range(1, 255))
        self._real: RawPeer
        self._sent = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, site: GatewaySite) -> "AsyncIterator[Stage]":
        """The gateway runs; at the end exactly the real device's messages have arrived upstream."""
        root = new_authority(ROOT)
        stage = cls(site, root)
        bundle = site.folder / "bundle.pem"
        bundle.write_bytes(root.pem)
        stage._register()
        registry = (site.data / FILE_NAME).read_bytes()
        await site.gateway.start(GATEWAY_TRUST_BUNDLE_FILE=str(bundle), GATEWAY_WEBSOCKET_PORT="8443")
        stage._real = await RawPeer.dial(site)
        stage._real.send(stage.hello().wire)
        assert await stage._real.connack() == 0
        yield stage
        arrived = await site.arrived(stage._sent)
        assert [event.body for event in arrived] == [b"real %d" % number for number in range(1, stage._sent + 1)]
        assert (site.data / FILE_NAME).read_bytes() == registry
        await stage._real.close()

    def _register(self) -> None:
        known: dict[str, Credential] = {
            REAL: SymmetricKeys(REAL_KEY, SECOND_KEY),
            MALLORY: SymmetricKeys(MALLORY_KEY, SECOND_KEY),
            "dev1": SymmetricKeys(MALLORY_KEY, SECOND_KEY),
            "dev10": SymmetricKeys(REAL_KEY, SECOND_KEY),
            "off": SymmetricKeys(MALLORY_KEY, SECOND_KEY),
            "thumb": Thumbprints(_thumbprint(self.thumb)),
            "issued": CaSigned(),
            "issued-2": CaSigned(),
        }
        entries = [Registration(identity(name), each, name != "off") for name, each in known.items()]
        entries.append(Registration(identity(REAL, "m1"), SymmetricKeys(MODULE_KEY, SECOND_KEY)))
        group = Group("fleet", SymmetricKeys(GROUP_KEY, SECOND_KEY), "fleet-")

        def all_of_them(roster: Roster) -> Roster:
            for entry in entries:
                roster = roster.with_registration(entry)
            return roster.with_group(group)

        Registry(self.site.data / FILE_NAME).edit(all_of_them)

    # What attackers may know or make.

    def resource(self, device: str, module: str | None = None) -> str:
        return sas.resource_of(self.site.hub.hub_name, identity(device, module))

    def signed(self, resource: str, key: bytes, *, life_s: float = 3600, policy: str | None = None) -> str:
        return sas.make(resource, key, int(time.time() + life_s), policy)

    def token(self, device: str = REAL, key: bytes = REAL_KEY, life_s: float = 3600) -> str:
        return self.signed(self.resource(device), key, life_s=life_s)

    def with_expiry(self, text: str) -> str:
        """A token of the real device, rightly signed over this text as its expiry."""
        resource = quote(self.resource(REAL), safe="")
        signature = base64.b64encode(_hmac(REAL_KEY, f"{resource}\n{text}")).decode()
        return f"SharedAccessSignature sr={resource}&sig={quote(signature, safe='')}&se={text}"

    def username(self, device: str = REAL) -> str:
        return self.site.username(device)

    def hello(self, **changes: object) -> Hello:
        """The real device's CONNECT, with changes."""
        fields: dict[str, object] = {
            "client_id": REAL,
            "username": self.username(),
            "password": self.token(),
            **changes,
        }
        return Hello(**fields)  # type: ignore[arg-type] # the rows of the tables give what CONNECT has

    def certificate(
        self, name: str, *, by: Issued | None = None, days: tuple[float, float] = (-1, 1), server: bool = False
    ) -> Issued:
        """A certificate with this common name; by the site's root unless another signs."""
        return _issue(name, days, by or self.root, usages=(SERVER,) if server else (CLIENT,))

    def tls_with(self, own: Issued, *chain: Issued) -> ssl.SSLContext:
        """A client's TLS that shows this certificate."""
        context = self.site.client_tls()
        path = self.site.folder / "client.pem"
        key = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + own.pem + b"".join(link.pem for link in chain))
        context.load_cert_chain(path)
        path.unlink()
        return context

    # Ways to try.

    async def connect(self, source: str, wire: bytes, *, tls: ssl.SSLContext | None = None, port: int = 8883) -> Answer:
        """Send this as the first bytes; gives CONNACK's code, None if it is closed without one."""
        peer = await RawPeer.dial(self.site, source=source, tls=tls, port=port)
        peer.send(wire)
        told = await peer.ended()
        assert len(told) <= 1, told
        return raw_mqtt.connack_code(told[0][1]) if told else None

    async def as_mallory(self, source: str, wire: bytes, *, level: int = 5) -> Answer:
        """Log in as a device that is known, and send this; gives the answer, None if the connection is closed."""
        peer = await RawPeer.dial(self.site, source=source)
        right = self.hello(
            client_id=MALLORY, username=self.username(MALLORY), password=self.token(MALLORY, MALLORY_KEY), level=level
        )
        peer.send(right.wire)
        assert await peer.connack() == 0
        peer.send(wire)
        found = await peer.packet()
        peer.abort()
        if found is None:
            return None
        kind, body = found
        return {raw_mqtt.PUBACK: ("PUBACK", body[-1]), raw_mqtt.SUBACK: ("SUBACK", body[-1])}.get(
            kind & 0xF0, ("DISCONNECT", body[0] if body else 0)
        )

    # What must have come of it.

    async def problems_with(self, attempt: Attempt) -> list[str]:
        """What is not as it must be after this attempt."""
        lines_before, counts_before = len(self.site.gateway.lines), await self._counts()
        try:
            answer = await attempt.act(self, next(self._sources))
        except Exception as error:
            error.add_note(attempt.what)
            raise
        problems = []
        if answer != attempt.answer:
            problems.append(f"answered {answer}, not {attempt.answer}")
        await until(lambda: bool(self._loud(lines_before)))
        await self._publish()
        await asyncio.sleep(SETTLE_S)
        lines, counts = self._loud(lines_before), await self._counts()
        if len(lines) != 1:
            problems.append(f"{len(lines)} lines: {lines}")
        grown = {series: count - counts_before.get(series, 0) for series, count in counts.items()}
        grown = {series: growth for series, growth in grown.items() if growth}
        if grown != {attempt.counter: 1}:
            problems.append(f"counted {grown}, not {attempt.counter}")
        problems += [f"a secret in the log: {line}" for line in lines if self._is_secret(line)]
        return [f"{attempt.what}: {problem}" for problem in problems]

    async def _publish(self) -> None:
        """The real device is where it was, and its message is taken."""
        self._sent += 1
        topic = f"devices/{REAL}/messages/events/"
        self._real.send(raw_mqtt.publish(topic, b"real %d" % self._sent, packet_id=self._sent))
        assert await self._real.expect(raw_mqtt.PUBACK) == self._sent.to_bytes(2, "big")

    def _loud(self, after: int) -> list[str]:
        return [line for line in self.site.gateway.lines[after:] if any(level in line for level in LOUD)]

    async def _counts(self) -> dict[str, int]:
        """The counters of what was refused or cut."""
        wanted = ("_refused_", "_broken_", "_cut_", "_crashed_")
        return {
            series: count
            for series, count in (await self.site.metrics()).items()
            if any(map(series.__contains__, wanted))
        }

    def _is_secret(self, line: str) -> bool:
        keys = [base64.b64encode(key).decode() for key in (REAL_KEY, MALLORY_KEY, MODULE_KEY, GROUP_KEY, SECOND_KEY)]
        signatures = [self.token().split("sig=")[1][:20], self.token(MALLORY, MALLORY_KEY).split("sig=")[1][:20]]
        told = line.replace("sig=(hidden)", "").replace("sig%3D(hidden)", "")
        return "sig=" in told.lower() or "sig%3d" in told.lower() or any(each in line for each in keys + signatures)


def new_authority(name: str) -> Issued:
    """An authority that is valid today."""
    return _issue(name, (-100, 100), is_authority=True)


def _issue(name: str, days: tuple[float, float], by: Issued | None = None, **options: Any) -> Issued:
    """A certificate that is valid from so many days from now to so many."""
    now = datetime.now(UTC).replace(microsecond=0)
    return issue(name, by=by, valid_from=now + days[0] * DAY, valid_until=now + days[1] * DAY, **options)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _thumbprint(issued: Issued) -> str:
    return hashlib.sha256(issued.der).hexdigest().upper()
