"""Node's unmodified azure-iot-device over HTTPS against the stand-in: telemetry, batches, messages from the cloud."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from edgewire.iothub import sas
from edgewire.iothub.bag import Bag
from edgewire.message import identity
from standin.app import Ports, StandIn
from standin.devicebound import C2dMessage
from support.amqp_peers import BODIES, NODE_HTTP, accepted, fail, peer, succeed
from support.clients import X509, Client
from support.compatibility import Table, works
from support.gateway_site import KEY

ADDRESS: Final = "127.0.81.7"
DEVICE: Final = identity("d1")
MESSAGES: Final = (
    {
        "body": '{"t":31}',
        "id": "m 1",
        "correlation": "c-1",
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "properties": {"Kind": "c/d&e"},
    },
    {"body": "and one more"},
)
"""Names of properties are names of headers with this transport: 'a b' breaks the client itself."""


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    """The only port that the SDK knows is 443."""
    async with StandIn(tmp_path / "hub", address=ADDRESS, ports=Ports(mqtt=0, amqp=None)) as running:
        running.add_device("d1", keys=(sas.encode_key(KEY),))
        yield running
        assert running.counters["faults of the stand-in"] == 0


def plan(standin: StandIn, device: str = "d1", *, key: bytes = KEY, **more: Any) -> dict[str, Any]:
    """What the program must know."""
    root = standin.directory / "trust-bundle.pem"
    return {"ca": str(root), "host": ADDRESS, "device": device, "key": sas.encode_key(key), **more}


@pytest.mark.parametrize("batch", [False, True])
async def test_telemetry_arrives_with_its_properties(standin: StandIn, *, batch: bool) -> None:
    said = await succeed(NODE_HTTP, plan(standin, messages=MESSAGES, batch=batch))
    assert accepted(said) == (1 if batch else 2)
    first, second = standin.events.read(after=0, limit=10)
    assert [first.body, second.body] == BODIES
    assert first.properties == {"Kind": "c/d&e"}
    if not batch:  # the SDK leaves system properties out of a batch
        assert first.system["messageId"] == "m 1"
        assert first.system["cid"] == "c-1"
        assert first.system["contentType"] == "application/json"
        assert first.system["contentEncoding"] == "utf-8"


async def test_a_large_body_comes_in_chunks(standin: StandIn) -> None:
    await succeed(NODE_HTTP, plan(standin, messages=[{"body": "x" * 200_000}]))
    (event,) = standin.events.read(after=0, limit=10)
    assert event.body == b"x" * 200_000


async def test_messages_from_the_cloud_are_abandoned_rejected_and_completed(standin: StandIn) -> None:
    bag = Bag({"Level": "5"}, {"messageId": "c2d-1", "cid": "c-2"})
    standin.hub.send_c2d(DEVICE, C2dMessage(bag, b"on"))
    async with peer(NODE_HTTP, plan(standin, settle=["abandon", "complete", "reject"])) as device:
        for _ in range(2):
            await device.until("settled")
        standin.hub.send_c2d(DEVICE, C2dMessage(Bag({}, {}), b"off"))
        said = await device.succeed()
    messages = [line for line in said if line["event"] == "message"]
    assert [each["body"] for each in messages] == ["on", "on", "off"]
    assert messages[0]["id"] == "c2d-1"
    assert messages[0]["to"] == "/devices/d1/messages/devicebound"
    assert [entry["key"] for entry in messages[0]["properties"]] == ["iothub-app-level"]
    assert len({each["lock"] for each in messages}) == 3
    assert standin.hub.c2d_waiting(DEVICE) == 0
    assert standin.counters["c2d abandoned"] == 1
    assert standin.counters["c2d rejected"] == 1
    assert standin.counters["c2d completed"] == 1


@works(Table.DEVICES, Client.NODE_DEVICE.over("http", X509), "telemetry")
async def test_a_certificate_is_proof_enough(standin: StandIn, tmp_path: Path) -> None:
    credential = self_signed_device("x1")
    standin.add_certificate_device("x1", [thumbprint_sha256(credential.certificate)])
    (tmp_path / "chain.pem").write_bytes(credential.chain_pem)
    (tmp_path / "key.pem").write_bytes(credential.key_pem)
    files: dict[str, Any] = {"certificate": str(tmp_path / "chain.pem"), "certificate_key": str(tmp_path / "key.pem")}
    assert accepted(await succeed(NODE_HTTP, plan(standin, "x1", messages=MESSAGES, **files))) == 2


@works(Table.DEVICES, Client.NODE_DEVICE.over("http"), "refusals")
async def test_what_is_refused_it_is_told(standin: StandIn) -> None:
    assert (await fail(NODE_HTTP, plan(standin, key=b"x" * 32, messages=MESSAGES)))["name"] == "UnauthorizedError"
    assert (await fail(NODE_HTTP, plan(standin, "d2", messages=MESSAGES)))["name"] == "UnauthorizedError"
    standin.throttle()
    assert "Too Many Requests" in (await fail(NODE_HTTP, plan(standin, messages=MESSAGES)))["message"]
    standin.refuse_connections()
    assert (await fail(NODE_HTTP, plan(standin, messages=MESSAGES)))["name"] == "ServiceUnavailableError"
    assert standin.events.count() == 0
