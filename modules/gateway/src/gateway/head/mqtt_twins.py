"""Twins of one device over MQTT: its requests, their answers, and changes of its desired properties.

What is larger than the device takes is cut to the desired properties, which is what a device asks for at its start; if
they are too large by themselves, the answer is 413 with what to do. A change that is too large is not told: the device
reads the twin when it connects next.

Answers and changes go at QoS 0: what is lost with the connection, the device reads again. Spec: iothub_wire.md §1.6.
"""

from collections.abc import Callable
from functools import partial

import orjson

from edgewire.iothub.topics import DesiredPatch, TwinGet, TwinReport, TwinResult, format_push_topic
from edgewire.message import Identity
from gateway.dispatch.twin_desk import OK, TOO_LARGE, TwinDesk, TwinReply, failed
from gateway.observe.events import Event
from gateway.observe.head import TwinCut, TwinTooLarge

Send = Callable[[str, bytes], bool]
"""Sends a payload on a topic now, if the connection is there; False if the peer takes no packet of this size."""


class MqttTwins:
    """The twin of `owner`, for as long as it is connected."""

    __slots__ = ("_emit", "_owner", "_send", "_twins", "_watching")

    def __init__(self, twins: TwinDesk, owner: Identity, send: Send, emit: Callable[[Event], None]) -> None:
        self._emit = emit
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
        if not self._send(format_push_topic(DesiredPatch(version)), patch):
            self._emit(TwinTooLarge(TwinCut.CHANGE_NOT_TOLD, str(self._owner), len(patch)))

    def _answer(self, rid: str, reply: TwinReply) -> None:
        topic = format_push_topic(TwinResult(reply.status, rid, reply.version))
        if self._send(topic, reply.document):
            return
        size = len(reply.document)
        desired = _desired_alone(reply)
        if desired and self._send(topic, desired):
            self._emit(TwinTooLarge(TwinCut.REPORTED_LEFT_OUT, str(self._owner), size))
            return
        said = f"the twin's {size} bytes, and {len(desired)} of desired alone, are" if desired else f"{size} bytes are"
        too_large = failed(TOO_LARGE, f"{said} more than this client takes: take properties out of the twin")
        self._send(format_push_topic(TwinResult(too_large.status, rid)), too_large.document)
        self._emit(TwinTooLarge(TwinCut.REFUSED, str(self._owner), size))


def _desired_alone(reply: TwinReply) -> bytes:
    """The twin that was read without what its device has reported itself; nothing if this is no twin."""
    if reply.status != OK:
        return b""
    return orjson.dumps({"desired": orjson.loads(reply.document)["desired"]})


def _unheard(_reply: TwinReply) -> None:
    """A report without a request id: nobody waits for its answer."""
