"""Commands of `standin` against one that runs in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgewire.message import Envelope, Message, identity
from standin import cli
from standin.app import Ports, StandIn

PORTS = Ports(mqtt=0, websocket=None, amqp=0)


@asynccontextmanager
async def running(folder: Path, address: str) -> AsyncIterator[StandIn]:
    """A stand-in with the module `m1`; nobody connects to it, it is only asked."""
    async with StandIn(folder / "run", address=address, modules=("m1",), ports=PORTS) as standin:
        yield standin


class Said:
    """What a command printed, and how it ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


async def run(standin: StandIn, capsys: pytest.CaptureFixture[str], *arguments: str) -> Said:
    """Run a command against the stand-in; `--dir` goes where the command takes it, behind its last word."""
    code = await asyncio.to_thread(cli.main, [*arguments, "--dir", str(standin.directory)])
    captured = capsys.readouterr()
    return Said(code, captured.out, captured.err)


async def event(standin: StandIn, body: bytes, device: str = "edge-1", module: str | None = "m1") -> None:
    """A message that arrived."""
    system = {"connectionDeviceId": device, "outputName": "o1"}
    message = Message(Envelope(sender=identity(device, module), properties={"p": "v"}, system=system), body)
    last = standin.events.last_sequence
    standin.hub.receive(message, lambda _: None)
    assert await standin.events.wait(last, timeout_s=30)
