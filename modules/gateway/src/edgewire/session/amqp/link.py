"""A link and a delivery on it, as both ends of a connection keep them. Spec: AMQP 1.0 §2.6."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from edgewire.codec.amqp.performatives import Attach, Coordinator, DeliveryState, Source, Target
from edgewire.codec.amqp.types import Described
from edgewire.session.amqp.states import LinkState

if TYPE_CHECKING:
    from edgewire.session.amqp.session import Session


class Role(StrEnum):
    """Our end of a link."""

    SENDER = "sender"
    RECEIVER = "receiver"


class Delivery:
    """One of our messages on its way. `owner` is free for whoever sent it."""

    __slots__ = ("delivery_id", "link", "owner", "settled", "state", "tag")

    def __init__(self, link: "Link", delivery_id: int, tag: bytes, *, settled: bool) -> None:
        self.link = link
        self.delivery_id = delivery_id
        self.tag = tag
        self.settled = settled
        self.state: DeliveryState | None = None
        """The last one that the peer has told."""
        self.owner: Any = None

    def __repr__(self) -> str:
        return f"Delivery({self.delivery_id}, settled={self.settled}, state={self.state!r})"


class Partial:
    """A message of the peer whose last frame has not come."""

    __slots__ = ("delivery_id", "message_format", "payload", "settled", "tag")

    def __init__(self, delivery_id: int, tag: bytes, message_format: int) -> None:
        self.delivery_id = delivery_id
        self.tag = tag
        self.message_format = message_format
        self.settled = False
        # One growing buffer: a list of frames of one byte each would hold forty times what they carry.
        self.payload = bytearray()


class Link:
    """One direction of messages between us and the peer. All fields are for reading, but `owner`, which is free.

    role: our end. name: as attached, unique to nobody. handle: ours; `peer_handle` the peer's.
    address: of the node that the link is about, as a client names it: the target of what it sends, the source of what
        it receives; None if it named none, or a coordinator.
    source, target: as the peer sent them; before its attach has come, as we did.
    credit: messages that may still be sent to us, or by us. `unsettled` of the peer's deliveries, `deliveries` ours.
    peer_max_message_size: no message to the peer may be larger; 0 if it names no limit.
    """

    __slots__ = (
        "address",
        "attach",
        "available",
        "credit",
        "deliveries",
        "delivery_count",
        "drain",
        "handle",
        "max_message_size",
        "name",
        "next_tag",
        "owner",
        "partial",
        "peer_handle",
        "peer_max_message_size",
        "properties",
        "rcv_settle_mode",
        "role",
        "session",
        "slack",
        "snd_settle_mode",
        "source",
        "state",
        "target",
        "told",
        "unsettled",
    )

    def __init__(self, session: "Session", attach: Attach, role: Role, state: LinkState) -> None:
        self.session = session
        self.role = role
        self.state = state
        self.name: str = attach.name
        self.handle: int | None = None
        self.peer_handle: int | None = None
        self.attach = attach
        """The first attach of the two."""
        self.source: Source | Described | None = attach.source
        self.target: Target | Coordinator | Described | None = attach.target
        self.address: str | None = None
        self.properties: Mapping[Any, Any] | None = attach.properties
        self.snd_settle_mode = attach.snd_settle_mode
        self.rcv_settle_mode = attach.rcv_settle_mode
        self.max_message_size = 0
        self.peer_max_message_size = 0
        self.credit = 0
        self.slack = 0
        """Messages beyond `credit` that are still the peer's right, as they may have left before it was lowered."""
        self.drain = False
        self.available = 0
        self.delivery_count = 0
        self.next_tag = 0
        self.partial: Partial | None = None
        self.unsettled: set[int] = set()
        self.deliveries: dict[int, Delivery] = {}
        self.told = False
        """The owner has brought the link's end about, or heard of it."""
        self.owner: Any = None

    def lighten(self) -> None:
        """Let go of what an attach of the peer says that only its answer needs: its maps may weigh a megabyte."""
        bare = Attach(name=self.name, handle=self.attach.handle, role=self.attach.role)
        self.attach = bare
        self.properties = None
        self.source = Source(address=self.source.address) if isinstance(self.source, Source) else None
        self.target = Target(address=self.target.address) if isinstance(self.target, Target) else None

    @property
    def attached(self) -> bool:
        """Both attaches have gone over the wire, and no detach."""
        return self.state is LinkState.ATTACHED

    def __repr__(self) -> str:
        return f"Link({self.name!r}, {self.role}, {self.address!r}, {self.state.value})"
