"""The WiPy's example: its token is Event Hubs' and its request arrives, in the order that the port insists on."""

import ast
import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.folder import Folder
from edgewire.codec.amqp.message import read_message
from standin.app import Ports, StandIn
from support.leaf_board import FIRMWARE
from support.on_micropython import run

NAMESPACE: Final = "contoso-ns.servicebus.windows.net"
KEY: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
TOKEN: Final = (
    "SharedAccessSignature sr=https%3A%2F%2Fcontoso-ns.servicebus.windows.net%2Ftelemetry%2Fpublishers%2Fleaf-01"
    "&sig=gr3iOnJPD9q1hIwAGGKVaI7omBiOa2bPXE%2BD4YumNog%3D&se=1900000000&skn=SendRule"
)
"""Cross-checked with the clients of Event Hubs."""
COLD, ROOM, WARM = 1_000, 2_091, 4_095
PLAIN_SOURCES: Final = (*sorted((FIRMWARE / "boards/wipy").glob("*.py")), FIRMWARE / "leaf/sas.py")


@dataclass(slots=True)
class EventHubs:
    """An HTTPS server that says what it is told to say, one answer for each connection."""

    answers: list[bytes]
    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request, give the next answer."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        self.requests.append((head[0], headers, await reader.readexactly(int(headers["Content-Length"]))))
        writer.write(self.answers.pop(0))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def event_hubs(folder: Path, *answers: bytes) -> AsyncIterator[EventHubs]:
    """A server of that name; its root stands in `folder`."""
    ca = Folder(folder)
    ca.init()
    entry = ca.server([NAMESPACE]).entry
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(entry.chain_path, entry.key_path)
    hubs = EventHubs(list(answers))
    server = await asyncio.start_server(hubs.serve, "127.0.0.1", 0, ssl=context)
    hubs.port = server.sockets[0].getsockname()[1]
    async with server:
        yield hubs


async def publish(root: Path, hubs: EventHubs, raw: Sequence[int]) -> Any:
    """What the publisher says to these values of its ADC."""
    given = {
        "root": root_of(root).hex(),
        "name": NAMESPACE,
        "address": "127.0.0.1",
        "port": hubs.port,
        "key": KEY,
        "raw": list(raw),
    }
    return await asyncio.to_thread(run, "wipy", given)


def root_of(folder: Path) -> bytes:
    """The root in a folder of an authority, as DER."""
    return Folder(folder).authority().root.certificate.public_bytes(Encoding.DER)


def answer(line: str) -> bytes:
    return f"HTTP/1.1 {line}\r\nContent-Type: application/xml\r\nContent-Length: 0\r\n\r\n".encode()


async def test_events_arrive_with_the_publishers_token_and_tenths_of_a_degree(tmp_path: Path) -> None:
    async with event_hubs(tmp_path, *[answer("201 Created")] * 3) as hubs:
        found = await publish(tmp_path, hubs, [COLD, ROOM, WARM])
    assert found == {"said": ["accepted"] * 3, "token": TOKEN}
    for line, headers, _ in hubs.requests:
        assert line == "POST /telemetry/publishers/leaf-01/messages?timeout=60&api-version=2014-01 HTTP/1.1"
        assert headers["Host"] == NAMESPACE
        assert headers["Authorization"] == TOKEN
        assert headers["Connection"] == "close"
    assert [json.loads(body) for _, _, body in hubs.requests] == [
        {"number": 0, "temperatureTenths": -159},
        {"number": 1, "temperatureTenths": 214},
        {"number": 2, "temperatureTenths": 899},
    ]


async def test_all_but_201_is_no_success(tmp_path: Path) -> None:
    answers = [
        *(answer(line) for line in ("401 Unauthorized", "200 OK", "503 Busy", "20 What", "2O1 Created")),
        b"",
        b"\xff" * 600,
        b"SMTP 201 x\r\n",
    ]
    async with event_hubs(tmp_path, *answers) as hubs:
        found = await publish(tmp_path, hubs, [ROOM] * len(answers))
    assert found["said"] == [401, 200, 503, *["answer"] * 5]


async def test_a_server_of_another_root_gets_no_token(tmp_path: Path) -> None:
    other = Folder(tmp_path / "other")
    other.init()
    async with event_hubs(tmp_path / "its", answer("201 Created")) as hubs:
        found = await publish(other.directory, hubs, [ROOM])
    assert found["said"] == ["OSError"]
    assert hubs.requests == []


async def test_the_stand_ins_event_hub_takes_its_events(tmp_path: Path) -> None:
    ports = Ports(mqtt=0, websocket=0, amqp=None)
    async with StandIn(tmp_path, address="127.0.0.1", hub_name=NAMESPACE, ports=ports) as hub:
        event_hub = hub.namespace.ensure("telemetry")
        given = {
            "root": x509.load_pem_x509_certificate(hub.trust_bundle.encode()).public_bytes(Encoding.DER).hex(),
            "name": NAMESPACE,
            "address": "127.0.0.1",
            "port": hub.websocket_port,
            "rule": "send",
            "key": event_hub.policies["send"].primary_key,
            "raw": [ROOM],
        }
        found = await asyncio.to_thread(run, "wipy", given)
        kept = [each for n in range(event_hub.log.partitions) for each in event_hub.log.read_partition(n, 0, 10)]
    assert found["said"] == ["accepted"]
    ((message),) = [read_message(each.payload) for each in kept]
    assert (message.message_annotations or {})["x-opt-publisher"] == "leaf-01"


@pytest.mark.parametrize("path", PLAIN_SOURCES, ids=lambda path: path.name)
def test_there_are_no_floats_and_no_true_division(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Div), path
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), path
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.AsyncFunctionDef), path
