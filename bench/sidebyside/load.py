"""Runs the load generators: mqload for MQTT, amqpload for AMQP."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidebyside.machine import LOAD_CORE, BenchError, Busy, pinned
from sidebyside.site import Site

SOURCES = Path(__file__).parents[1] / "load"
PATIENCE_S = 300.0
FULL_CORE = 0.93
"""A program that used so much of its core had no time left: what others took explains the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One way to load a server."""

    connections: int
    window: int = 1
    size: int = 256
    rate: float = 0
    count: int = 0
    resume: bool = False
    topic: str | None = None
    """MQTT's topic, or the address of AMQP's link."""
    first: int = 0
    """The number of its first device: two generators at once must not share any."""
    host: str | None = None
    batch: int | None = None
    """AMQP: messages in one transfer."""
    durable: bool | None = None
    """AMQP: whether the messages say that they are, and where the link leads to is."""
    user: str | None = None
    password: str | None = None
    """AMQP: instead of each device's token."""


def build(binary: Path) -> None:
    """Compile the load generator that is called as `binary` is. Raises BenchError."""
    source = SOURCES / f"{binary.name}.c"
    command = ["gcc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(binary)]
    done = subprocess.run([*command, "-lssl", "-lcrypto"], capture_output=True, text=True, check=False)
    if done.returncode:
        hint = "tools/bench_peers installs gcc and libssl-dev"
        raise BenchError(f"{source.name} does not compile; {hint}:\n{done.stderr}")


class Generator:
    """A load generator, built for this machine, with the devices of a site."""

    def __init__(self, binary: Path, site: Site) -> None:
        self._binary = binary
        self._site = site

    def command(self, mode: str, port: int, load: Load, tls: str | None, *more: str) -> list[str]:
        """The command line of one load."""
        words = {
            "--host": load.host,
            "--port": port,
            "--credentials": self._site.credentials,
            "--connections": load.connections,
            "--first": load.first,
            "--window": load.window,
            "--size": load.size,
            "--rate": load.rate,
            "--count": load.count,
            "--resume": int(load.resume),
            "--tls": tls,
            "--topic": load.topic,
            "--batch": load.batch,
            "--durable": None if load.durable is None else int(load.durable),
            "--user": load.user,
            "--password": load.password,
        }
        options = [text for name, value in words.items() if value is not None for text in (name, str(value))]
        return pinned(LOAD_CORE, str(self._binary), mode, *options, *more)

    def run(
        self, mode: str, *, port: int, pid: int, load: Load, tls: str | None, seconds: float, warm: float
    ) -> dict[str, float]:
        """Load a server for some seconds. Returns the generator's figures, and how busy the rest of the machine was.

        Raises BenchError if connections failed.
        """
        timing = ("--seconds", str(seconds), "--warm", str(warm), "--pid", str(pid))
        busy = Busy()
        done = subprocess.run(
            self.command(mode, port, load, tls, *timing),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        figures = read_figures(done.stdout)
        if done.returncode:
            raise BenchError(
                f"{self._binary.name} {mode} ended with code {done.returncode}: {done.stderr.strip()} {done.stdout}"
            )
        figures["other_cores"] = max(busy.cores() - figures["server_cores"] - figures["generator_cores"], 0.0)
        return figures

    @contextmanager
    def idle(self, *, port: int, load: Load, tls: str | None) -> Iterator[dict[str, float]]:
        """Connections that say nothing, for as long as the context lasts."""
        command = self.command("idle", port, load, tls)
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise BenchError(f"{self._binary.name} idle did not connect {load.connections}: code {process.wait()}")
            yield read_figures(line)
        finally:
            process.communicate("")


def read_figures(text: str) -> dict[str, float]:
    """The numbers of a generator's JSON."""
    document: dict[str, Any] = json.loads(text or "{}")
    return {name: float(value) for name, value in document.items() if isinstance(value, int | float)}


def limited_by(figures: Mapping[str, float]) -> str:
    """Who had no time left: the server, the generator, or neither (waiting, or others took the cores)."""
    if figures["server_cores"] >= FULL_CORE:
        return "server"
    return "generator" if figures["generator_cores"] >= FULL_CORE else "neither"
