"""What is done with one server: each function starts it, measures one thing, and gives the figures."""

import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson

from sidebyside.load import Generator, Load
from sidebyside.machine import SERVER_CORE, BenchError, pinned, usage_of
from sidebyside.programs import Running
from sidebyside.targets import ROOT, Bench, Target, gateway_data, run_gateway

Figures = dict[str, float]
ONE: Final = Load(connections=1)
SETTLE_S: Final = 0.5
"""For a server to finish what it does after the last connection, before its memory is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all measurements of a run share."""

    bench: Bench
    generator: Generator
    amqp_generator: Generator
    seconds: float
    warm: float

    def over_amqp(self) -> "Context":
        """The same, with the load generator for AMQP."""
        return replace(self, generator=self.amqp_generator)

    def run(self, mode: str, target: Target, server: Running, load: Load, *, seconds: float | None = None) -> Figures:
        """Load a running server."""
        return self.generator.run(
            mode,
            port=server.port,
            pid=server.pid,
            load=load,
            tls=target.tls,
            seconds=self.seconds if seconds is None else seconds,
            warm=self.warm,
        )


def ingest(context: Context, target: Target, load: Load) -> Figures:
    """Messages, each acknowledged: rate, latency, CPU, and what went to the disk for each of them."""
    with target.start(context.bench) as server:
        before = usage_of(server.pid)
        figures = context.run("publish", target, server, load)
        after = usage_of(server.pid)
    written = (after.written_bytes - before.written_bytes) / figures["acknowledged"]
    figures["disk_bytes"] = written
    figures["disk_ratio"] = written / figures["publish_bytes"]
    figures["resident_mb"] = after.resident_kb / 1024
    return figures


def generators(context: Context, target: Target, load: Load, count: int) -> Figures:
    """The same load from so many generators on one core: if a second one raises nothing, one is enough."""
    part = replace(load, connections=load.connections // count)
    with target.start(context.bench) as server, ThreadPoolExecutor(count) as pool:
        parts = [replace(part, first=part.connections * number) for number in range(count)]
        taken = list(pool.map(lambda each: context.run("publish", target, server, each), parts))
    return {
        "per_s": sum(each["per_s"] for each in taken),
        "server_cores": max(each["server_cores"] for each in taken),
        "generator_cores": sum(each["generator_cores"] for each in taken),
        "other_cores": min(each["other_cores"] for each in taken),
    }


def handshakes(context: Context, target: Target, load: Load) -> Figures:
    """Connect, TLS, CONNECT, CONNACK, DISCONNECT: how many in a second."""
    with target.start(context.bench) as server:
        figures = context.run("handshake", target, server, load)
    figures["resumed_share"] = figures["resumed"] / max(figures["done"], 1)
    return figures


def memory(context: Context, target: Target, connections: int, load: Load = ONE) -> Figures:
    """Resident memory without connections, and with some that are silent."""
    with target.start(context.bench) as server:
        time.sleep(SETTLE_S)
        empty_kb = usage_of(server.pid).resident_kb
        if not connections:
            return {"resident_mb": empty_kb / 1024}
        silent = replace(load, connections=connections)
        with context.generator.idle(port=server.port, load=silent, tls=target.tls) as figures:
            time.sleep(SETTLE_S)
            resident_kb = usage_of(server.pid).resident_kb
    return {
        "resident_mb": resident_kb / 1024,
        "kb_per_connection": (resident_kb - empty_kb) / connections,
        "connect_s": figures["connect_s"],
    }


def start_up(context: Context, target: Target) -> Figures:
    """From the start of the process until it takes connections."""
    with target.start(context.bench) as server:
        return {"ready_s": server.ready_s, "resident_mb": usage_of(server.pid).resident_kb / 1024}


def start_up_with_backlog(context: Context, backlog: Path) -> Figures:
    """The same for the gateway, over a store that holds a backlog."""
    with run_gateway(context.bench, backlog) as server:
        return {"ready_s": server.ready_s, "resident_mb": usage_of(server.pid).resident_kb / 1024}


def make_backlog(context: Context, size: int, name: str = "backlog") -> tuple[Path, Figures]:
    """A data folder whose store holds so many bytes of 256 B messages, through the store's own calls."""
    data = gateway_data(context.bench)
    kept = context.bench.fresh(name)
    data.rename(kept)
    return kept, run_tool("fill_store.py", "--store", str(kept / "store"), "--bytes", str(size))


def drain_store(context: Context, size: int) -> Figures:
    """The store's reader alone: take, settle, nothing behind it."""
    backlog, figures = make_backlog(context, size, "drain")
    return figures | run_tool("drain_store.py", "--store", str(backlog / "store"))


def routes(_: Context, count: int, kind: str) -> Figures:
    """Matching one message against a table of so many routes of a kind, in a process of its own."""
    return run_tool("time_routes.py", "--routes", str(count), "--kind", kind)


def run_tool(name: str, *arguments: str) -> Figures:
    """Run one of our own scripts on the server's core. Returns the JSON it prints. Raises BenchError."""
    command = pinned(SERVER_CORE, sys.executable, str(ROOT / "bench" / "tools" / name), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{name} ended with code {done.returncode}: {done.stderr.strip()}")
    document: Mapping[str, float] = orjson.loads(done.stdout)
    return dict(document)
