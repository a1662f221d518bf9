"""The Event Hub-compatible endpoint: what arrived in the cloud, read by partition (iothub_wire.md §4.4)."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol, UShort
from edgewire.codec.amqp.message import AmqpMessage
from edgewire.codec.amqp.performatives import SETTLED, Source
from edgewire.errors import ProtocolError
from edgewire.session.amqp.link import Link, Role
from standin.admission import Realm
from standin.amqp_nodes import AmqpLine, Need
from standin.eventhub_addresses import (
    DEFAULT_GROUP,
    MANAGEMENT,
    OLD_ENTITY,
    PartitionAddress,
    is_management,
    is_old_management,
    parse_partition,
)
from standin.eventhub_desk import Desk
from standin.eventhub_management import Management, partition_number
from standin.eventhub_readers import Reader, Readers
from standin.eventhub_selector import Selector, read_filter, start_of
from standin.eventhub_senders import Sender, SenderAddress, parse_sender
from standin.events import EventLog
from standin.hub import Hub
from standin.namespace import Namespace, OwnEventHub
from standin.namespace_log import NamespaceLog
from standin.policies import Policy, Right

AMQP_PORT: Final = 5671
"""Where the endpoint of the cloud is; redirects name it unless another is given."""
EPOCH: Final = "com.microsoft:epoch"
RUNTIME_METRIC: Final = "com.microsoft:enable-receiver-runtime-metric"
_HUB_READER: Final = Need(right=Right.SERVICE_CONNECT)
"""What a reader of the first years shows, whose token is for the hub itself."""


def entity_of(hub_name: str) -> str:
    """What the endpoint calls a hub: its first label."""
    return hub_name.partition(".")[0]


def connection_string(policy: Policy, host: str, entity: str) -> str:
    """What a reader of the Event Hub-compatible endpoint is configured with."""
    return (
        f"Endpoint=sb://{host}/;SharedAccessKeyName={policy.name};SharedAccessKey={policy.primary_key};"
        f"EntityPath={entity}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entity:
    """What can be read: the hub's own events, or an Event Hub of the namespace (`own`)."""

    name: str
    log: EventLog | NamespaceLog
    groups: Mapping[str, str]
    readers: Readers
    own: OwnEventHub | None = None

    def need(self, *path: str) -> Need:
        """What a reader of this must have proven."""
        if self.own is None:
            return Need(right=Right.SERVICE_CONNECT, realm=Realm.EVENTS, path=(self.name, *path))
        return Need(right=Right.LISTEN, realm=Realm.NAMESPACE, path=(self.name, *path))


class EventHub:
    """The endpoint of one hub, and the namespace beside it. Implements `amqp_nodes.Node`. `groups`: consumer groups."""

    def __init__(
        self,
        hub: Hub,
        *,
        hub_name: str,
        groups: Collection[str] = (DEFAULT_GROUP,),
        port: int = AMQP_PORT,
        namespace: Namespace | None = None,
    ) -> None:
        self.entity = entity_of(hub_name)
        self._hub = hub
        self._hub_name = hub_name
        self.port = port
        """Where redirects lead."""
        self._namespace = namespace
        by_name = {group.lower(): group for group in groups}
        self._compatible = _Entity(name=self.entity, log=hub.events, groups=by_name, readers=Readers())
        self._desks: dict[AmqpLine, Desk] = {}

    def claims(self, address: str) -> bool:
        """Whether this is a partition of any entity, the node that tells what there is, or an Event Hub to send to."""
        known = is_management(address) or is_old_management(address) or parse_partition(address) is not None
        return known or self._sent_to(address) is not None

    def attach(self, line: AmqpLine, link: Link) -> None:
        """Accept a reader or a link of the management's, or refuse it."""
        address = link.address or ""
        partition = parse_partition(address)
        sent_to = self._sent_to(address)
        if sent_to is not None:
            self._attach_sender(line, link, *sent_to)
        elif is_old_management(address):
            self._redirect(line, link, f"{self.entity}/{MANAGEMENT}")
        elif partition is None:
            self._attach_management(line, link)
        elif partition.entity.lower() == OLD_ENTITY:
            self._redirect(line, link, partition.path(self.entity))
        else:
            try:
                self._attach_reader(line, link, partition)
            except ProtocolError as error:
                line.refuse(link, str(error.reply), error.what)

    def _entity(self, name: str) -> _Entity | None:
        """What is called so."""
        if name.lower() == self.entity.lower():
            return self._compatible
        own = None if self._namespace is None else self._namespace.get(name)
        if own is None:
            return None
        by_name = {group.lower(): group for group in own.groups}
        return _Entity(name=own.name, log=own.log, groups=by_name, readers=own.readers, own=own)

    # Sending

    def _sent_to(self, address: str) -> tuple[SenderAddress, OwnEventHub] | None:
        found = parse_sender(address)
        own = None if found is None or self._namespace is None else self._namespace.get(found.entity)
        return None if found is None or own is None else (found, own)

    def _attach_sender(self, line: AmqpLine, link: Link, address: SenderAddress, own: OwnEventHub) -> None:
        need = Need(right=Right.SEND, realm=Realm.NAMESPACE, path=(own.name, *address.below))
        partition = None if address.partition is None else partition_number(address.partition, own.log.partitions)
        if link.role is not Role.RECEIVER:
            line.refuse(link, conditions.NOT_ALLOWED, "an Event Hub is read by partition and consumer group")
        elif not line.may(need):
            what = f"Unauthorized access. 'Send' claim(s) are required to perform this operation on {own.name}"
            line.refuse(link, conditions.UNAUTHORIZED_ACCESS, what)
        elif address.partition is not None and partition is None:
            what = f"there is no partition '{address.partition[:40]}'; there are 0 to {own.log.partitions - 1}"
            line.refuse(link, conditions.ARGUMENT_OUT_OF_RANGE, what)
        else:
            sender = Sender(
                self._hub, line, link, need=need, entity=own, partition=partition, publisher=address.publisher
            )
            link.owner = sender
            self._hub.counters["senders attached"] += 1
            sender.begin()

    # Reading

    def _attach_reader(self, line: AmqpLine, link: Link, address: PartitionAddress) -> None:
        if link.role is not Role.SENDER:
            raise ProtocolError("a partition of the hub is read, never written", reply=conditions.NOT_ALLOWED)
        entity = self._entity(address.entity) or self._compatible
        need = entity.need("ConsumerGroups", address.group, "Partitions", address.partition)
        if not line.may(need):
            what = f"a token for sb://{self._hub_name}/{entity.name} with the right to read was not put here"
            raise ProtocolError(what, reply=conditions.UNAUTHORIZED_ACCESS)
        group, partition = _find(entity, address)
        start = start_of(_selector_of(link), entity.log, partition)
        level = _level_of(link)
        entity.readers.admit(group, partition, level)
        reader = Reader(
            line,
            link,
            entity.log,
            need=need,
            partition=partition,
            start=start,
            level=level,
            tells_end=RUNTIME_METRIC in link.attach.desired_capabilities,
            faults=self._hub.faults,
            left=partial(entity.readers.remove, group),
        )
        link.owner = reader
        entity.readers.add(group, reader)
        self._hub.counters["readers attached"] += 1
        self._hub.note(f"a reader of partition {partition} in {group}, from {start} on")
        # Clients that wish for unsettled events never settle one (azure-eventhub), and a log has no use for it.
        line.session.accept_link(link, snd_settle_mode=SETTLED)
        reader.begin()

    # The management

    def _attach_management(self, line: AmqpLine, link: Link) -> None:
        need = next((each for each in self._management_needs() if line.may(each)), None)
        if need is None:
            what = f"a token for sb://{self._hub_name}/{self.entity} was not put here"
            line.refuse(link, conditions.UNAUTHORIZED_ACCESS, what)
            return
        desk = self._desks.get(line)
        if desk is None:
            answer = partial(self._answer_management, line)
            desk = self._desks[line] = Desk(line, answer, left=lambda: self._close(line))
        desk.attach(link, need)

    def _management_needs(self) -> Iterator[Need]:
        """What lets somebody ask, any of these."""
        yield from _needs_to_ask(self._compatible)
        for own in () if self._namespace is None else self._namespace.hubs:
            entity = self._entity(own.name)
            if entity is not None:
                yield from _needs_to_ask(entity)

    def _answer_management(self, line: AmqpLine, request: AmqpMessage) -> bytes:
        """An answer for the entity that the request names, to who may ask for it."""
        name = (request.application_properties or {}).get("name")
        entity = self._entity(name) if isinstance(name, str) else None
        if entity is None or not any(line.may(need) for need in _needs_to_ask(entity)):
            entity = self._compatible
        return Management(entity.name, entity.log).answer(request)

    def _close(self, line: AmqpLine) -> None:
        del self._desks[line]

    # The addresses of the first years

    def _redirect(self, line: AmqpLine, link: Link, path: str) -> None:
        """Tell where the node is now. Spec: AMQP 1.0 §2.8.18."""
        if not line.may(_HUB_READER):
            line.refuse(link, conditions.UNAUTHORIZED_ACCESS, "a token for the hub was not put here")
            return
        host = (line.hostname or self._hub_name).partition(":")[0]
        info: dict[Symbol, object] = {
            Symbol("hostname"): host,
            Symbol("network-host"): host,
            Symbol("port"): UShort(self.port),
            Symbol("address"): f"amqps://{host}:{self.port}/{path}",
        }
        self._hub.counters["links redirected"] += 1
        line.session.refuse_link(link, conditions.LINK_REDIRECT, f"events are read at {path}", info)
        line.flush_soon()


def _needs_to_ask(entity: _Entity) -> Iterator[Need]:
    """What lets somebody ask for an entity: a token for it, or for a consumer group, which is all that readers put."""
    yield entity.need(MANAGEMENT)
    yield from (entity.need("ConsumerGroups", group) for group in entity.groups.values())
    if entity.own is not None:
        yield Need(right=Right.SEND, realm=Realm.NAMESPACE, path=(entity.name,))


def _find(entity: _Entity, address: PartitionAddress) -> tuple[str, int]:
    """The consumer group and the partition. Raises ProtocolError if one of them is not there."""
    group = entity.groups.get(address.group.lower())
    if address.entity.lower() != entity.name.lower() or group is None:
        what = f"the messaging entity '{address.entity[:80]}', or its consumer group '{address.group[:80]}', "
        raise ProtocolError(what + "could not be found", reply=conditions.NOT_FOUND)
    partition = partition_number(address.partition, entity.log.partitions)
    if partition is None:
        last = entity.log.partitions - 1
        what = f"there is no partition '{address.partition[:40]}'; there are 0 to {last}"
        raise ProtocolError(what, reply=conditions.ARGUMENT_OUT_OF_RANGE)
    return group, partition


def _selector_of(link: Link) -> Selector:
    return read_filter(link.source.filter if isinstance(link.source, Source) else None)


def _level_of(link: Link) -> int | None:
    level = None if link.properties is None else link.properties.get(EPOCH)
    if level is None:
        return None
    if not isinstance(level, int) or isinstance(level, bool) or level < 0:
        raise ProtocolError(f"{EPOCH} is no number from 0 on", reply=conditions.ARGUMENT_ERROR)
    return int(level)
