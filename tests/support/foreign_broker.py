"""Debian's mosquitto as the broker that a site has: plain or TLS, with a password or a client certificate."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from support.certificates import Credential, authority, signed
from support.gateway_site import until

PLAIN: Final = 1883
TLS: Final = 8883
USER: Final = "gateway"
PASSWORD: Final = "open, please"


class ForeignBroker:
    """One broker on an address of its own, which may be ended and started again with what it has kept."""

    def __init__(self, folder: Path, address: str, lines: Sequence[str] = ()) -> None:
        folder.mkdir()
        self.folder = folder
        self.address = address
        self.lines = list(lines)
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, address: str, *lines: str) -> AsyncIterator[Self]:
        """A broker that runs, without TLS, and lets everybody in; `lines` are added to its file."""
        broker = cls(folder, address, [f"listener {PLAIN} {address}", "allow_anonymous true", *lines])
        await broker.start()
        try:
            yield broker
        finally:
            await broker.end(signal.SIGKILL)

    async def start(self) -> None:
        """Start, and wait until it listens."""
        log = self.folder / "log"
        log.write_text("")
        kept = [
            *("persistence true", f"persistence_location {self.folder}/", "max_queued_messages 100000"),
            *("user root", f"log_dest file {log}", "log_type all"),
        ]
        conf = self.folder / "mosquitto.conf"
        conf.write_text("\n".join([*kept, *self.lines, ""]))
        self._process = await asyncio.create_subprocess_exec("mosquitto", "-c", str(conf))
        await until(lambda: "running" in self.log)

    @property
    def log(self) -> str:
        """What it has said since its last start."""
        return (self.folder / "log").read_text(errors="replace")

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM lets it write what it keeps; SIGKILL does not."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            await process.wait()

    async def publish(self, topic: str, *more: str, port: int = PLAIN) -> None:
        """Run mosquitto_pub with QoS 1."""
        arguments = ["-h", self.address, "-p", str(port), "-q", "1", "-t", topic, *more]
        process = await asyncio.create_subprocess_exec("mosquitto_pub", *arguments)
        assert await process.wait() == 0

    def use_password(self) -> Path:
        """Ask for a password from now on. Returns a file with it."""
        users = self.folder / "users"
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(users), USER, PASSWORD], check=True)
        self.lines = [line for line in self.lines if "anonymous" not in line]
        self.lines += ["allow_anonymous false", f"password_file {users}"]
        password = self.folder / "password"
        password.write_text(f"{PASSWORD}\n")
        return password

    def use_tls(self) -> Credential:
        """Speak TLS beside, and ask for a certificate there. Returns the authority of both sides."""
        root = authority("root of the broker")
        own = signed(self.address, root, addresses=(self.address,))
        for name, pem in (("root.pem", root.pem), ("own.pem", own.pem), ("own.key", own.key_pem)):
            (self.folder / name).write_bytes(pem)
        self.lines += [
            f"listener {TLS} {self.address}",
            f"cafile {self.folder}/root.pem",
            f"certfile {self.folder}/own.pem",
            f"keyfile {self.folder}/own.key",
            "require_certificate true",
        ]
        return root
