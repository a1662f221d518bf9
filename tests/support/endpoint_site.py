"""A site whose gateway sends to an Event Hub too, and what arrived there in the words of `numbered_devices`."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from edgewire.codec.amqp.message import AmqpMessage, read_message
from standin.app import StandIn
from standin.events import Event
from standin.namespace import OwnEventHub
from support.gateway_site import GatewaySite, until
from support.numbered_devices import NumberedDevice
from support.whole_file import put

NAME: Final = "archive"
EVENT_HUB: Final = "telemetry"
BOTH: Final = {
    "archive": f'FROM /messages/* INTO Endpoint("{NAME}")',
    "cloud": "FROM /messages/* INTO $upstream",
}


def configure(
    site: GatewaySite, event_hub: StandIn, *, routes: dict[str, str] | None = None, **more: Any
) -> OwnEventHub:
    """Make the Event Hub, and give the gateway its settings and secrets."""
    made = event_hub.namespace.ensure(EVENT_HUB)
    secrets = site.folder / "secrets"
    secrets.mkdir(exist_ok=True)
    write_key(site, event_hub)
    (secrets / "ca.pem").write_text(site.hub.trust_bundle)
    endpoint = {"type": "eventhub", "host": f"{event_hub.address}:5671", "caFile": "ca.pem", **more}
    settings = site.write_settings(routes=BOTH if routes is None else routes, endpoints={NAME: endpoint})
    site.gateway.environment |= {"GATEWAY_SETTINGS_FILE": str(settings), "GATEWAY_SECRETS_DIR": str(secrets)}
    return made


def write_key(site: GatewaySite, event_hub: StandIn, policy: str = "send") -> None:
    """Write the connection string as it is now."""
    put(site.folder / "secrets" / NAME, event_hub.own_event_hub_string(EVENT_HUB, policy) + "\n")


def events_in(event_hub: OwnEventHub) -> list[Event]:
    """All that the Event Hub has, by partition, in order."""
    log = event_hub.log
    return [
        _event(int(kept.offset), kept.enqueued_at_ms / 1000, read_message(kept.payload))
        for partition in range(log.partitions)
        for kept in log.read_partition(partition, 0, 1_000_000)
    ]


async def all_kept(site: GatewaySite, event_hub: OwnEventHub, devices: Sequence[NumberedDevice]) -> list[Event]:
    """What the Event Hub has, once nothing waits for it any more and each acknowledged message is there."""

    def are_there() -> bool:
        ids = {(event.device, event.body) for event in events_in(event_hub)}
        return all((each.device, str(n).encode()) in ids for each in devices for n in each.acknowledged)

    await until(are_there, 60)
    await until(lambda: asyncio.ensure_future(_nothing_waits(site)), 60)
    return events_in(event_hub)


async def _nothing_waits(site: GatewaySite) -> bool:
    return not any(queue["messages"] for queue in (await site.status())["store"]["queues"])


def _event(offset: int, at: float, message: AmqpMessage) -> Event:
    said = message.application_properties or {}
    assert message.properties is not None
    assert isinstance(message.body, bytes)
    device = str(said["iothub-connection-device-id"])
    assert (message.message_annotations or {})["x-opt-partition-key"] == device
    return Event(
        sequence=offset,
        enqueued_at=at,
        device=device,
        module=None,
        properties={str(name): str(value) for name, value in said.items()},
        system={"messageId": str(message.properties.message_id)},
        body=message.body,
    )
