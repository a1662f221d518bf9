"""Runs the load generator."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidebyside.machine import LOAD_CORE, BenchError, Busy, pinned
from sidebyside.site import Site

SOURCE = Path(__file__).parents[1] / "load" / "mqload.c"
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
    first: int = 0
    """The number of its first device: two generators at once must not share any."""


def build(binary: Path) -> None:
    """Compile the load generator. Raises BenchError."""
    command = ["gcc", "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", str(SOURCE), "-o", str(binary)]
    done = subprocess.run([*command, "-lssl", "-lcrypto"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"mqload does not compile; tools/bench_peers installs gcc and libssl-dev:\n{done.stderr}")


class Generator:
    """The load generator, built for this machine, with the devices of a site."""

    def __init__(self, binary: Path, site: Site) -> None:
        self._binary = binary
        self._site = site

    def command(self, mode: str, port: int, load: Load, tls: str | None, *more: str) -> list[str]:
        """The command line of one load."""
        words = {
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
        }
        options = [text for name, value in words.items() if value is not None for text in (name, str(value))]
        return pinned(LOAD_CORE, str(self._binary), mode, *options, *more)

    def run(
        self, mode: str, *, port: int, pid: int, load: Load, tls: str | None, seconds: float, warm: float
    ) -> dict[str, float]:
        """Load a server for some seconds. Returns mqload's figures, and how busy the rest of the machine was.

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
            raise BenchError(f"mqload {mode} ended with code {done.returncode}: {done.stderr.strip()} {done.stdout}")
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
                raise BenchError(f"mqload idle did not connect {load.connections}: code {process.wait()}")
            yield read_figures(line)
        finally:
            process.communicate("")


def read_figures(text: str) -> dict[str, float]:
    """The numbers of mqload's JSON."""
    document: dict[str, Any] = json.loads(text or "{}")
    return {name: float(value) for name, value in document.items() if isinstance(value, int | float)}


def limited_by(figures: Mapping[str, float]) -> str:
    """Who had no time left: the server, the generator, or neither (waiting, or others took the cores)."""
    if figures["server_cores"] >= FULL_CORE:
        return "server"
    return "generator" if figures["generator_cores"] >= FULL_CORE else "neither"
