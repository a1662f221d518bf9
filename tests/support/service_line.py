"""The service side's end of a line in memory: tokens of policies, readers of partitions."""

from edgewire.codec.amqp.kinds import Described, Symbol
from edgewire.codec.amqp.message import AmqpMessage, read_message
from edgewire.codec.amqp.performatives import FIRST, MIXED, Source, Target
from edgewire.iothub import sas
from edgewire.session.amqp.link import Link, Role
from edgewire.session.amqp.session import Session
from standin.eventhub_selector import FILTER
from support.amqp_line import AmqpLine
from support.hub_line import HUB_NAME, House

ENTITY = "hub"
"""What the Event Hub-compatible endpoint calls the hub of a `House`."""


def events_token(house: House, path: str = ENTITY, *, policy: str = "iothubowner", life_s: int = 3600) -> str:
    """A token for the endpoint, signed with the text of the policy's key."""
    holder = house.hub.policies.get(policy)
    assert holder is not None
    return sas.make(f"sb://{HUB_NAME}/{path}", holder.text_keys()[0], _end(house, life_s), policy)


def hub_token(house: House, *, policy: str = "iothubowner", life_s: int = 3600) -> str:
    """A token for the hub, signed with the bytes of the policy's key."""
    holder = house.hub.policies.get(policy)
    assert holder is not None
    return sas.make(HUB_NAME, holder.signing_keys()[0], _end(house, life_s), policy)


async def enter(line: AmqpLine, token: str) -> Session:
    """Open, and put a token that is good."""
    session = await line.open()
    reply = await line.put(await line.cbs(session), token)
    assert (reply.status, reply.description) == (200, "OK")
    return session


def partition_address(partition: int | str, *, entity: str = ENTITY, group: str = "$Default") -> str:
    return f"{entity}/ConsumerGroups/{group}/Partitions/{partition}"


async def attach_reader(
    line: AmqpLine,
    session: Session,
    address: str,
    selector: str = "x-opt-offset > '-1'",
    *,
    level: int | None = None,
    credit: int = 100,
) -> Link:
    """A reader's link, attached or refused."""
    described = Described(Symbol(FILTER), f"amqp.annotation.{selector}")
    link = session.attach(
        f"reader {len(session.links)}",
        Role.RECEIVER,
        source=Source(address=address, filter={Symbol(FILTER): described}),
        target=Target(),
        snd_settle_mode=MIXED,
        rcv_settle_mode=FIRST,
        max_message_size=1_048_576,
        properties=None if level is None else {Symbol("com.microsoft:epoch"): level},
    )
    line.client.grant(link, credit)
    await line.until(lambda: link.attached or line.detached(link) is not None)
    return link


def read_messages(line: AmqpLine, link: Link) -> list[AmqpMessage]:
    """What has come on a link."""
    return [read_message(each.payload) for each in line.messages(link)]


def bodies(line: AmqpLine, link: Link) -> list[object]:
    """The bodies of it."""
    return [message.body for message in read_messages(line, link)]


def _end(house: House, life_s: int) -> int:
    return int(house.wall_clock.now) + life_s
