"""A link to a Kafka topic over kafka-python: one lane, whose messages its idempotent producer keeps in order.

| of the device's message | in the record |
|---|---|
| body | value, the bytes as they came |
| device id | key, so that all records of a device are in one partition, in their order |
| when the gateway took it | timestamp |
| message id, or without one the store's entry id | header `message-id` |
| all else | headers, as the application properties of an Event Hub's event; AMQP's own fields by their names |

The producer asks for the acknowledgement of all replicas in sync, has one request under way, and tries again by itself
whatever a broker says that may pass, for as long as the caller waits: so nothing is given up inside of it, behind which
another message of the same device could be taken. It has threads of its own; calls of it that block are made in the
pool's.

Of kafka-python 3.0: a producer that was refused one message refuses all that come after it, so another takes its place;
`close` raises while anything is under way, and leaves the producer to send it later, so its sender is ended by force;
sockets of connections that failed are closed by the garbage collector alone, so it is called, or they were too many one
day of an outage; and a login that is refused is told as nothing but a time-out.
"""

import asyncio
import gc
import logging
import ssl
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from edgewire.message import DeviceId, Outcome
from gateway.observe.upstream import LinkFault
from gateway.upstream.carried import application_properties
from gateway.upstream.endpoint import AccessError, EndpointSettings, KafkaAccess, KafkaLogin
from gateway.upstream.endpoint_link import LinkDownError
from gateway.upstream.proxy import Entry, Sent

BOOTSTRAP_S: Final = 10.0
"""For the first broker to answer, and for the topic to be known."""
END_S: Final = 1.0
"""For a producer's thread to end; a link that takes longer to close is left to itself."""
GIVE_UP_S: Final = 3_600.0
"""The producer's own limit for a record, which must not come before the caller's for a link that stalls."""
MAX_REQUEST_BYTES: Final = 1_048_576
"""One request: a broker's own default. A message from a device has a quarter of it."""
API_VERSION: Final = (2, 1)
"""Of the calls: what brokers from 2.1 to 4 and Event Hubs take. Unless it is said, the producer asks for it while it is
made, and what it has opened by then stays open if nobody answers."""
_MECHANISMS: Final = {
    KafkaLogin.PLAIN: "PLAIN",
    KafkaLogin.SCRAM_256: "SCRAM-SHA-256",
    KafkaLogin.SCRAM_512: "SCRAM-SHA-512",
}
_FIELDS: Final = {
    "cid": "correlation-id",
    "userId": "user-id",
    "to": "to",
    "contentType": "content-type",
    "contentEncoding": "content-encoding",
    "absolute-expiry-time": "absolute-expiry-time",
}
_OF_THE_MESSAGE: Final = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidRecordError,
)
_ACCEPTED: Final = Sent(Outcome.ACCEPTED)
_ONE_LANE: Final = 0
_UNHEARD: Final = "the brokers are away, there is no such topic, the login is refused, or they want TLS or no TLS"


class KafkaLink:
    """An `EndpointLink` over kafka-python's producer. `access` is None where the broker asks for nothing."""

    def __init__(self, settings: EndpointSettings, access: KafkaAccess | None, authorities: Path | None) -> None:
        self._topic = settings.topic
        self._where = ", ".join(settings.servers)
        self._options = _options(settings, access, authorities)
        self._producer: Any = None
        """A KafkaProducer; the package has no types."""

    async def open(self) -> None:
        """Connect, log in, and see that the topic is there."""
        await self._renew()
        try:
            partitions = await asyncio.to_thread(self._producer.partitions_for, self._topic)
        except kafka_errors.KafkaTimeoutError as error:
            what = f"nothing heard of the topic '{self._topic}' within {BOOTSTRAP_S:.0f} s: {_UNHEARD}"
            raise LinkDownError(LinkFault.TIMED_OUT, f"{self._where}: {what}") from error
        except kafka_errors.KafkaError as error:
            raise self._down(error) from error
        if not partitions:
            raise LinkDownError(LinkFault.OTHER, f"{self._where}: there is no topic '{self._topic}'")

    def lane_of(self, device: DeviceId) -> int:  # noqa: ARG002 — the producer keeps the order of all of them
        """There is one."""
        return _ONE_LANE

    async def send(self, lane: int, entries: Sequence[Entry]) -> Sequence[Sent]:  # noqa: ARG002 — as above
        """Send all of these, and wait until each has its answer."""
        answers = await asyncio.to_thread(self._send, entries)
        first = next((number for number, error in enumerate(answers) if error is not None), None)
        if first is None:
            return [_ACCEPTED] * len(answers)
        error = answers[first]
        assert error is not None
        if not isinstance(error, _OF_THE_MESSAGE):
            raise self._down(error) from error
        await self._renew()
        if first:
            return [_ACCEPTED] * first
        # Another may be at fault: by itself the message has its own answer.
        [alone] = await asyncio.to_thread(self._send, entries[:1])
        if alone is None:
            return [_ACCEPTED]
        if not isinstance(alone, _OF_THE_MESSAGE):
            raise self._down(alone) from alone
        await self._renew()
        return [Sent(Outcome.REJECTED, _words(alone))]

    async def close(self) -> None:
        """Give up what is under way, and end the producer's threads."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(_end, producer)

    async def _renew(self) -> None:
        """Have a producer that nothing was refused."""
        await self.close()
        try:
            self._producer = await asyncio.to_thread(KafkaProducer, **self._options)
        except (kafka_errors.KafkaError, OSError, ValueError) as error:
            raise self._down(error) from error

    def _send(self, entries: Sequence[Entry]) -> list[Exception | None]:
        """In a thread. What became of each: None if the broker has it."""
        producer = self._producer
        if producer is None:
            return [kafka_errors.KafkaConnectionError("the link was closed")]
        under_way: list[Any] = []
        for entry in entries:
            try:
                under_way.append(_put(producer, self._topic, entry))
            except (kafka_errors.KafkaError, ValueError) as error:
                under_way.append(error)
                break
        return [_answer(each) for each in under_way]

    def _down(self, error: Exception) -> LinkDownError:
        fault = LinkFault.OTHER
        if isinstance(error, kafka_errors.KafkaTimeoutError):
            fault = LinkFault.TIMED_OUT
        elif isinstance(error, kafka_errors.SaslAuthenticationFailedError | kafka_errors.TopicAuthorizationFailedError):
            fault = LinkFault.CREDENTIALS
        elif isinstance(error, kafka_errors.KafkaConnectionError | OSError):
            fault = LinkFault.UNREACHABLE
        return LinkDownError(fault, f"{self._where}: {_words(error)}")


def _end(producer: Any) -> None:
    """In a thread. End a producer, and with it whatever it has under way."""
    try:
        producer.close(timeout=0)
    except kafka_errors.KafkaTimeoutError:
        producer._sender.force_close()  # noqa: SLF001 — see this module's docstring
    producer._sender.join(END_S)  # noqa: SLF001 — as above
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _put(producer: Any, topic: str, entry: Entry) -> Any:
    """Hand a message to the producer. Returns the future of its answer."""
    return producer.send(
        topic,
        key=entry.message.envelope.sender.device.encode(),
        value=entry.message.body,
        headers=[(name, value.encode()) for name, value in _headers(entry)],
        timestamp_ms=entry.received_at_ms,
    )


def _headers(entry: Entry) -> Iterator[tuple[str, str]]:
    system = entry.message.envelope.system
    yield "message-id", system.get("messageId") or entry.entry_id
    for name, carried in _FIELDS.items():
        if name in system:
            yield carried, system[name]
    yield from application_properties(entry)


def _answer(under_way: Any) -> Exception | None:
    if isinstance(under_way, Exception):
        refused: Exception = under_way
        return refused
    try:
        under_way.get(timeout=GIVE_UP_S)
    except kafka_errors.KafkaError as error:
        failed: Exception = error
        return failed
    return None


def _options(settings: EndpointSettings, access: KafkaAccess | None, authorities: Path | None) -> dict[str, Any]:
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # it logs what its callers are told as well
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.servers),
        "client_id": "edge-gateway",
        "acks": "all",
        "enable_idempotence": True,
        "max_in_flight_requests_per_connection": 1,
        "delivery_timeout_ms": int(GIVE_UP_S * 1000),
        "max_block_ms": int(BOOTSTRAP_S * 1000),
        "bootstrap_timeout_ms": int(BOOTSTRAP_S * 1000),
        "max_request_size": MAX_REQUEST_BYTES,
        "api_version": API_VERSION,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
    encrypted = settings.login is not KafkaLogin.NONE or authorities is not None
    if encrypted:
        options["ssl_context"] = _context(authorities)
    if access is not None:
        options |= {
            "sasl_mechanism": _MECHANISMS[settings.login],
            "sasl_plain_username": access.user,
            "sasl_plain_password": access.password,
        }
    options["security_protocol"] = ("SASL_" if access else "") + ("SSL" if encrypted else "PLAINTEXT")
    return options


def _context(authorities: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    except (OSError, ssl.SSLError) as error:
        raise AccessError(f"the file of its CA certificates, {authorities}, cannot be used: {error}") from error


def _words(error: Exception) -> str:
    """What an error says, on one line and not endless."""
    said = " ".join((str(error) or type(error).__name__).split())[:200].rstrip(". ")
    return said if said.isprintable() else ascii(said)[1:-1]
