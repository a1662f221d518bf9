"""AMQP 1.0: who is measured, how a load logs in there, and what is measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from edgewire.iothub.amqp.sasl import hub_label
from sidebyside import measures, rabbitmq
from sidebyside.load import Load
from sidebyside.measures import Context, Figures
from sidebyside.site import HUB
from sidebyside.targets import Target, gateway_amqp

TRANSIENT: Final = "RabbitMQ, transient"
DURABLE: Final = "RabbitMQ, durable"
BATCH: Final = 100
LOADS: Final = (
    Load(connections=1, window=500),
    Load(connections=10, window=50),
    Load(connections=100, window=8),
)
"""One talker with half the credit of a link in flight, a cell, a site."""
BATCHES: Final = Load(connections=10, window=4, batch=BATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A server, and how its clients log in and where they send."""

    target: Target
    fit: Callable[[Load], Load] = field(repr=False)


def to_gateway(load: Load) -> Load:
    """Each device by SASL PLAIN with its token, to its own telemetry link."""
    return replace(load, user=f"{{device}}@sas.{hub_label(HUB)}")


def to_rabbitmq(load: Load) -> Load:
    """Each connection to a queue of its own, from which nobody takes."""
    login = replace(load, host=rabbitmq.ADDRESS, user=rabbitmq.GUEST, password=rabbitmq.GUEST)
    return replace(login, topic="/queue/{device}")


def to_durable_rabbitmq(load: Load) -> Load:
    """The same with durable queues and durable messages."""
    return replace(to_rabbitmq(load), durable=True)


GATEWAYS: Final = (
    Speaker(target=gateway_amqp(), fit=to_gateway),
    Speaker(target=gateway_amqp("gateway, compiled", compiled=True), fit=to_gateway),
)
SPEAKERS: Final = (
    Speaker(target=rabbitmq.rabbitmq(TRANSIENT), fit=to_rabbitmq),
    Speaker(target=rabbitmq.rabbitmq(DURABLE), fit=to_durable_rabbitmq),
    *GATEWAYS,
)


def speakers_of(load: Load) -> tuple[Speaker, ...]:
    """Who understands such a load: RabbitMQ takes a batch for one message."""
    return SPEAKERS if load.batch is None else GATEWAYS


def ingest(context: Context, speaker: Speaker, load: Load) -> Figures:
    """Unsettled transfers until they are settled as accepted."""
    return measures.ingest(context.over_amqp(), speaker.target, speaker.fit(load))


def memory(context: Context, speaker: Speaker, connections: int) -> Figures:
    """Connections with a session and a sending link each, silent."""
    load = speaker.fit(Load(connections=1))
    return measures.memory(context.over_amqp(), speaker.target, connections, load)


def idle_speakers() -> Iterator[Speaker]:
    """Whose memory is measured: what a link costs does not depend on what is durable, or compiled."""
    yield from (SPEAKERS[0], GATEWAYS[0])
