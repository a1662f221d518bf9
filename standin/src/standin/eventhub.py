"""The Event Hub-compatible endpoint: what arrived in the cloud, read by partition (iothub_wire.md §4.4)."""

from collections.abc import Collection
from functools import partial
from typing import Final

from edgewire.codec.amqp import conditions
from edgewire.codec.amqp.kinds import Symbol, UShort
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
from standin.hub import Hub
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


class EventHub:
    """The endpoint of one hub. Implements `amqp_nodes.Node`. `groups`: the consumer groups there are."""

    def __init__(
        self,
        hub: Hub,
        *,
        hub_name: str,
        groups: Collection[str] = (DEFAULT_GROUP,),
        port: int = AMQP_PORT,
    ) -> None:
        self.entity = entity_of(hub_name)
        self._hub = hub
        self._hub_name = hub_name
        self.port = port
        """Where redirects lead."""
        self._groups = {group.lower(): group for group in groups}
        self._readers = Readers()
        self._management = Management(self.entity, hub.events)
        self._desks: dict[AmqpLine, Desk] = {}

    def claims(self, address: str) -> bool:
        """Whether this is a partition of any entity, or the node that tells what there is."""
        return is_management(address) or is_old_management(address) or parse_partition(address) is not None

    def attach(self, line: AmqpLine, link: Link) -> None:
        """Accept a reader or a link of the management's, or refuse it."""
        address = link.address or ""
        partition = parse_partition(address)
        if is_old_management(address):
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

    # Reading

    def _attach_reader(self, line: AmqpLine, link: Link, address: PartitionAddress) -> None:
        if link.role is not Role.SENDER:
            raise ProtocolError("a partition of the hub is read, never written", reply=conditions.NOT_ALLOWED)
        need = self._need("ConsumerGroups", address.group, "Partitions", address.partition)
        if not line.may(need):
            what = f"a token for sb://{self._hub_name}/{self.entity} with the right to read was not put here"
            raise ProtocolError(what, reply=conditions.UNAUTHORIZED_ACCESS)
        group, partition = self._find(address)
        start = start_of(_selector_of(link), self._hub.events, partition)
        level = _level_of(link)
        self._readers.admit(group, partition, level)
        reader = Reader(
            line,
            link,
            self._hub.events,
            need=need,
            partition=partition,
            start=start,
            level=level,
            tells_end=RUNTIME_METRIC in link.attach.desired_capabilities,
            faults=self._hub.faults,
            left=partial(self._readers.remove, group),
        )
        link.owner = reader
        self._readers.add(group, reader)
        self._hub.counters["readers attached"] += 1
        self._hub.note(f"a reader of partition {partition} in {group}, from {start} on")
        # Clients that wish for unsettled events never settle one (azure-eventhub), and a log has no use for it.
        line.session.accept_link(link, snd_settle_mode=SETTLED)
        reader.begin()

    def _find(self, address: PartitionAddress) -> tuple[str, int]:
        """The consumer group and the partition. Raises ProtocolError if one of them is not there."""
        group = self._groups.get(address.group.lower())
        if address.entity.lower() != self.entity.lower() or group is None:
            what = f"the messaging entity '{address.entity[:80]}', or its consumer group '{address.group[:80]}', "
            raise ProtocolError(what + "could not be found", reply=conditions.NOT_FOUND)
        partition = partition_number(address.partition, self._hub.events.partitions)
        if partition is None:
            last = self._hub.events.partitions - 1
            what = f"there is no partition '{address.partition[:40]}'; there are 0 to {last}"
            raise ProtocolError(what, reply=conditions.ARGUMENT_OUT_OF_RANGE)
        return group, partition

    def _need(self, *path: str) -> Need:
        return Need(right=Right.SERVICE_CONNECT, realm=Realm.EVENTS, path=(self.entity, *path))

    # The management

    def _attach_management(self, line: AmqpLine, link: Link) -> None:
        # azure-eventhub puts a token for its consumer group only, and asks here all the same.
        needs = [self._need(MANAGEMENT), *(self._need("ConsumerGroups", group) for group in self._groups.values())]
        need = next((each for each in needs if line.may(each)), None)
        if need is None:
            what = f"a token for sb://{self._hub_name}/{self.entity} was not put here"
            line.refuse(link, conditions.UNAUTHORIZED_ACCESS, what)
            return
        desk = self._desks.get(line)
        if desk is None:
            desk = self._desks[line] = Desk(line, self._management.answer, left=lambda: self._close(line))
        desk.attach(link, need)

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


def _selector_of(link: Link) -> Selector:
    return read_filter(link.source.filter if isinstance(link.source, Source) else None)


def _level_of(link: Link) -> int | None:
    level = None if link.properties is None else link.properties.get(EPOCH)
    if level is None:
        return None
    if not isinstance(level, int) or isinstance(level, bool) or level < 0:
        raise ProtocolError(f"{EPOCH} is no number from 0 on", reply=conditions.ARGUMENT_ERROR)
    return int(level)
