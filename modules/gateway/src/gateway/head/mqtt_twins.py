"""Twins of one device over MQTT: its requests, their answers, and changes of its desired properties.

Answers and changes go at QoS 0: what is lost with the connection, the device reads again. Spec: iothub_wire.md §1.6.
"""

from collections.abc import Callable
from functools import partial

from edgewire.iothub.topics import DesiredPatch, TwinGet, TwinReport, TwinResult, format_push_topic
from edgewire.message import Identity
from gateway.dispatch.twin_desk import TOO_LARGE, TwinDesk, TwinReply, failed

Send = Callable[[str, bytes], bool]
"""Sends a payload on a topic now, if the connection is there; False if the peer takes no packet of this size."""


class MqttTwins:
    """The twin of `owner`, for as long as it is connected."""

    __slots__ = ("_owner", "_send", "_twins", "_watching")

    def __init__(self, twins: TwinDesk, owner: Identity, send: Send) -> None:
        self._twins = twins
        self._owner = owner
        self._send = send
        self._watching = False

    def take(self, request: TwinGet | TwinReport, body: bytes) -> None:
        """A request. Its answer comes at once or later; a report without a request id wants none."""
        match request:
            case TwinGet(rid):
                self._twins.get(self._owner, partial(self._answer, rid))
            case TwinReport(rid):
                self._twins.report(self._owner, body, _unheard if rid is None else partial(self._answer, rid))

    def watch(self) -> None:
        """The device has subscribed changes of its desired properties."""
        if not self._watching:
            self._watching = True
            self._twins.subscribe(self._owner, self)

    def unwatch(self) -> None:
        """It wants them no more, or is gone."""
        if self._watching:
            self._watching = False
            self._twins.unsubscribe(self._owner, self)

    def desired(self, patch: bytes, version: int) -> None:
        """A change of the desired properties."""
        self._send(format_push_topic(DesiredPatch(version)), patch)

    def _answer(self, rid: str, reply: TwinReply) -> None:
        topic = format_push_topic(TwinResult(reply.status, rid, reply.version))
        if not self._send(topic, reply.document):
            too_large = failed(TOO_LARGE, f"the answer has {len(reply.document)} bytes, more than this client takes")
            self._send(format_push_topic(TwinResult(too_large.status, rid)), too_large.document)


def _unheard(_reply: TwinReply) -> None:
    """A report without a request id: nobody waits for its answer."""
