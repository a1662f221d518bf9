"""A link to an Event Hub over azure-eventhub: a lane for each partition, batches as large as the service takes.

A device's partition is worked out here, by the hash that the service itself uses for partition keys, and batches are
sent to partitions: so one batch holds events of many devices, where one with a partition key holds those of one. The
service's own buffered clients do the same. Each partition in use is a connection of its own; the SDK shares none.

Of azure-eventhub 5.15:
- it has no time-out of its own for a connection that is being made, nor for an outcome other than accepted or
  rejected, which it waits for for ever: every call has a deadline by its caller;
- it listens to a connection only while it sends: one that was cut, or closed for being idle, is noticed with the next
  send;
- whatever fails it tries once more by itself over a new connection, `retry_total` or not: in its lane, so in order, and
  with the same message ids.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from azure.core.credentials import AzureSasCredential
from azure.eventhub import EventDataBatch, TransportType
from azure.eventhub.aio import EventHubProducerClient, EventHubSharedKeyCredential
from azure.eventhub.exceptions import (
    AuthenticationError,
    ConnectError,
    ConnectionLostError,
    EventDataSendError,
    EventHubError,
    OperationTimeoutError,
)

from edgewire.codec.amqp import conditions
from edgewire.iothub.partitions import partition_of_key
from edgewire.message import DeviceId, Outcome
from gateway.observe.upstream import LinkFault
from gateway.upstream.endpoint import AccessError, EndpointSettings, EndpointTransport, EventHubAccess
from gateway.upstream.endpoint_link import LinkDownError
from gateway.upstream.eventhub_message import event_of
from gateway.upstream.proxy import Entry, Sent

MAX_PARTITIONS: Final = 32
"""Partitions that are written to, each over a connection of its own: all of a standard Event Hub's."""
MAX_BATCH_BYTES: Final = 262_144
"""What a batch is filled up to. The service takes 1 MB; a batch that fails is sent again whole."""
AUTHORIZATION_S: Final = 20.0
"""For the answer to a token: the SDK waits so long, too, for one that a cut line has lost."""
TURN: Final = 16
"""Messages that are encoded before others have their turn on the event loop: about 2 ms, on a Pi 10."""
_OF_THE_MESSAGE: Final = frozenset(
    str(condition).partition(":")[2]
    for condition in (
        conditions.MESSAGE_SIZE_EXCEEDED,
        conditions.ARGUMENT_ERROR,
        conditions.ARGUMENT_OUT_OF_RANGE,
        conditions.DECODE_ERROR,
        conditions.INVALID_FIELD,
        conditions.NOT_IMPLEMENTED,
    )
)
"""What is wrong with a message itself, as the SDK writes conditions: without what stands before the first colon."""
_UNAUTHORIZED: Final = str(conditions.UNAUTHORIZED_ACCESS).partition(":")[2]
_ACCEPTED: Final = Sent(Outcome.ACCEPTED)
_FAULTS: Final[tuple[tuple[type[EventHubError], LinkFault], ...]] = (
    (AuthenticationError, LinkFault.CREDENTIALS),
    (OperationTimeoutError, LinkFault.TIMED_OUT),
    (ConnectError, LinkFault.UNREACHABLE),
    (ConnectionLostError, LinkFault.DROPPED),
)


class EventHubLink:
    """An `EndpointLink` over azure-eventhub's producer client."""

    def __init__(self, settings: EndpointSettings, access: EventHubAccess, authorities: Path | None) -> None:
        self._host = settings.host or access.host
        self._client = _make_client(settings, access, authorities)
        self._partitions: list[str] = []
        self._max_bytes = 0
        """What the service takes in one message."""

    async def open(self) -> None:
        """Ask for the partitions, and attach a link for sending, which tells the largest message."""
        try:
            self._partitions = (await self._client.get_partition_ids())[:MAX_PARTITIONS]
            self._max_bytes = (await self._client.create_batch()).max_size_in_bytes
        except (EventHubError, OSError) as error:
            raise self._down(error) from error
        if not self._partitions:
            raise LinkDownError(LinkFault.OTHER, f"the Event Hub at {self._host} names no partitions")

    def lane_of(self, device: DeviceId) -> int:
        """The partition that keeps this device's events."""
        return partition_of_key(device, len(self._partitions))

    async def send(self, lane: int, entries: Sequence[Entry]) -> Sequence[Sent]:
        """Send one batch of the first of these."""
        batch = self._new_batch(lane, MAX_BATCH_BYTES)
        taken = 0
        for entry in entries:
            if not _fits(batch, entry):
                break
            taken += 1
            if not taken % TURN:
                await asyncio.sleep(0)
        if not taken:
            return await self._send_alone(lane, entries[0])
        refused = await self._send_batch(batch)
        if refused is None:
            return [_ACCEPTED] * taken
        # One message may be what is refused; by itself each has its own answer.
        return (
            [refused] if taken == 1 or refused.outcome is Outcome.RELEASED else await self._send_alone(lane, entries[0])
        )

    async def close(self) -> None:
        """Close all connections."""
        with suppress(EventHubError, OSError):  # the peer was faster; the sockets are closed by now
            await self._client.close()

    async def _send_alone(self, lane: int, entry: Entry) -> Sequence[Sent]:
        """Send a message in a batch of its own, which may be larger than others."""
        batch = self._new_batch(lane, self._max_bytes)
        if not _fits(batch, entry):
            size = len(entry.message.body)
            what = (
                f"with its properties it is larger than the {self._max_bytes} bytes of a message there (body: {size})"
            )
            return [Sent(Outcome.REJECTED, what)]
        return [await self._send_batch(batch) or _ACCEPTED]

    async def _send_batch(self, batch: EventDataBatch) -> Sent | None:
        """Send it. Returns what became of all in it if it was refused, None if the service has it."""
        try:
            await self._client.send_batch(batch)
        except EventDataSendError as error:
            outcome = Outcome.REJECTED if error.error in _OF_THE_MESSAGE else Outcome.RELEASED
            return Sent(outcome, _words(error))
        except (EventHubError, OSError) as error:
            raise self._down(error) from error
        return None

    def _new_batch(self, lane: int, max_bytes: int) -> EventDataBatch:
        return EventDataBatch(max_size_in_bytes=min(max_bytes, self._max_bytes), partition_id=self._partitions[lane])

    def _down(self, error: Exception) -> LinkDownError:
        fault = next((fault for kind, fault in _FAULTS if isinstance(error, kind)), LinkFault.OTHER)
        if isinstance(error, EventHubError) and error.error == _UNAUTHORIZED:  # a link that is refused counts as lost
            fault = LinkFault.CREDENTIALS
        return LinkDownError(fault, f"{self._host}: {_words(error)}")


def _make_client(
    settings: EndpointSettings, access: EventHubAccess, authorities: Path | None
) -> EventHubProducerClient:
    websocket = settings.transport is EndpointTransport.WEBSOCKET
    credential = (
        AzureSasCredential(access.token) if access.token else EventHubSharedKeyCredential(access.policy, access.key)
    )
    logging.getLogger("azure.eventhub").setLevel(logging.CRITICAL)  # it logs what its callers are told as well
    # Our own context: the SDK's would take certifi's authorities, not the system's that an operator can add to.
    try:
        context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    except (OSError, ssl.SSLError) as error:
        raise AccessError(f"the file of its CA certificates, {authorities}, cannot be used: {error}") from error
    return EventHubProducerClient(
        fully_qualified_namespace=access.host,
        eventhub_name=access.event_hub,
        credential=credential,
        transport_type=TransportType.AmqpOverWebsocket if websocket else TransportType.Amqp,
        custom_endpoint_address=f"sb://{settings.host}" if settings.host else None,
        ssl_context=context,
        retry_total=0,
        retry_backoff_factor=0,
        auth_timeout=AUTHORIZATION_S,
        user_agent="edge-gateway",
    )


def _fits(batch: EventDataBatch, entry: Entry) -> bool:
    """Add a message to a batch, if there is room for it."""
    try:
        batch.add(event_of(entry))
    except ValueError:
        return False
    return True


def _words(error: Exception) -> str:
    """What an error says, on one line and not endless; the SDK says most of it twice."""
    first = str(error).strip().partition("\n")[0]
    said = (first or type(error).__name__)[:200].rstrip(". ")
    return said if said.isprintable() else ascii(said)[1:-1]
