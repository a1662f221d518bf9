"""Telemetry over AMQP: transfers in, messages to the store, one outcome per transfer when the disk has answered.

A batch is one transfer: all its messages are kept or none. Credit comes back as the disk answers, and rests while the
store is full. Spec: edgehub.md §5.4, amqp.md §7.4.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from edgewire.codec.amqp.conditions import (
    ARGUMENT_ERROR,
    DECODE_ERROR,
    DEVICE_CONTAINER_THROTTLED,
    INTERNAL_ERROR,
    MESSAGE_SIZE_EXCEEDED,
    RESOURCE_LIMIT_EXCEEDED,
)
from edgewire.codec.amqp.performatives import ACCEPTED, Error, Rejected
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.messages import read_transfer
from edgewire.iothub.limits import MAX_MESSAGE_BYTES
from edgewire.iothub.messages import envelope_for, passing_size
from edgewire.message import Identity, Message
from edgewire.session.amqp.events import MessageReceived
from edgewire.session.amqp.link import Link
from gateway.dispatch.ingress import AppendResult
from gateway.head.amqp_line import Line, LinkEnd
from gateway.observe.head import MessageRefused, RefusedMessage

LINK_CREDIT: Final = 1_000
"""Transfers of one link that may be on their way or wait for the disk: edgeHub's figure."""

MAX_UNANSWERED_BYTES: Final = 2_097_152
"""Transfers of one connection that wait for the disk; above it we stop reading from it. Three of the largest."""

MAX_UNANSWERED_TRANSFERS: Final = 4_000
"""The same in transfers, for a connection with many identities."""

ALWAYS_FITS_BYTES: Final = 6_144
"""A transfer of no more holds nothing that could be too large, so it is not counted: as text, escaped for a topic and
with its name there, a property takes at most eight times its bytes (a boolean of one byte is `false`, one of the
standard's own has a name of ours, such as `$.mid`), and six thousand bytes eight times are less than a topic holds."""

LIMITED_LOOK_S: Final = 1.0
"""A link whose device has sent too much is looked at this often: settings may have changed."""

FULL_REST_S: Final = 1.0
"""After a refusal for want of space, no credit is given for so long: asking again at once would be of no use."""

_REASONS: Final[Mapping[str, RefusedMessage]] = MappingProxyType(
    {
        ARGUMENT_ERROR: RefusedMessage.MALFORMED_PROPERTIES,
        MESSAGE_SIZE_EXCEEDED: RefusedMessage.TOO_LARGE,
        DECODE_ERROR: RefusedMessage.MALFORMED_MESSAGE,
    }
)

STORE_REFUSALS: Final[Mapping[AppendResult, tuple[RefusedMessage, str]]] = MappingProxyType(
    {
        AppendResult.FULL: (RefusedMessage.STORE_FULL, DEVICE_CONTAINER_THROTTLED),
        AppendResult.FAILED: (RefusedMessage.STORE_FAILED, INTERNAL_ERROR),
    }
)


@dataclass(frozen=True, slots=True)
class RefusedTransferError(Exception):
    """The transfer cannot be taken; the text is for the log and for the peer."""

    reason: RefusedMessage
    condition: str
    detail: str


class TelemetryLink(LinkEnd):
    """Where a device or module sends telemetry. Its transfers are taken together with those of others: `Telemetry`."""

    __slots__ = ("limited", "resting", "sender", "unanswered")

    def __init__(self, line: Line, link: Link, sender: Identity) -> None:
        super().__init__(line, link)
        self.sender = sender
        self.unanswered = 0
        self.resting = False
        """The store was full a moment ago."""
        self.limited: asyncio.TimerHandle | None = None
        """The next look at a device that has sent all that it may send now."""

    def begin(self) -> None:
        """Answer the attach, with credit."""
        self.line.engine.accept_link(self.link, credit=self._within_limits(LINK_CREDIT))

    def give_credit(self) -> None:
        """Let the peer send as many as do not wait for the disk already, and as it may send."""
        credit = 0 if self.resting else max(0, LINK_CREDIT - self.unanswered)
        self.line.engine.grant(self.link, self._within_limits(credit))

    def on_over(self) -> None:
        """The link is over."""
        if self.limited is not None:
            self.limited.cancel()
            self.limited = None

    def _within_limits(self, credit: int) -> int:
        """No more credit than its device may send now, if the settings limit it; the rest when it may."""
        account = self.line.house.account(self.sender)
        if account is None or account.refuses:
            return credit
        allowed = account.credit(credit)
        if credit and not allowed and self.limited is None:
            wait_s = min(account.wait_s() or LIMITED_LOOK_S, LIMITED_LOOK_S)
            self.limited = asyncio.get_running_loop().call_later(wait_s, self._look_again)
        return allowed

    def _look_again(self) -> None:
        self.limited = None
        if not self.line.closed:
            self.give_credit()
            self.line.flush()


class _Taken:
    """What of one read came by one link: how many transfers, and those that want an answer."""

    __slots__ = ("count", "delivery_ids")

    def __init__(self) -> None:
        self.count = 0
        self.delivery_ids: list[int] = []


class Telemetry:
    """All telemetry of one connection."""

    __slots__ = ("_answered", "_line", "_paused", "_unanswered", "_unanswered_bytes")

    def __init__(self, line: Line) -> None:
        self._line = line
        self._answered: dict[TelemetryLink, None] = {}
        """Links whose credit is to be given back at the end of this turn of the loop."""
        self._paused = False
        self._unanswered = 0
        self._unanswered_bytes = 0

    def take(self, transfers: Sequence[MessageReceived]) -> None:
        """Hand in what came in one read as one batch, but for what is to be refused."""
        messages: list[Message] = []
        taken: dict[TelemetryLink, _Taken] = {}
        size = 0
        for transfer in transfers:
            end: TelemetryLink = transfer.link.owner
            try:
                messages += self._read(end, transfer)
            except RefusedTransferError as refused:
                self._refuse(end, transfer, refused)
                continue
            size += len(transfer.payload)
            of_link = taken.get(end)
            if of_link is None:
                of_link = taken[end] = _Taken()
            of_link.count += 1
            if not transfer.settled:
                of_link.delivery_ids.append(transfer.delivery_id)
        if taken:
            self._hand_in(messages, taken, size)

    def _read(self, end: TelemetryLink, transfer: MessageReceived) -> list[Message]:
        """The messages in a transfer, charged to their device. Raises RefusedTransferError."""
        account = self._line.house.account(end.sender)
        if account is None:
            return read_messages(end.sender, transfer)
        if account.refuses and account.wait_s():
            raise RefusedTransferError(RefusedMessage.OVER_LIMIT, RESOURCE_LIMIT_EXCEEDED, account.why())
        messages = read_messages(end.sender, transfer)
        account.charge(len(messages), len(transfer.payload))
        return messages

    def _hand_in(self, messages: list[Message], taken: Mapping[TelemetryLink, "_Taken"], size: int) -> None:
        count = 0
        for end, of_link in taken.items():
            end.unanswered += of_link.count
            count += of_link.count
        self._unanswered += count
        self._unanswered_bytes += size
        if not self._paused and self._is_too_much():
            self._paused = True
            self._line.pump.pause_reading()
        self._line.house.ingress.accept(messages, partial(self._on_result, taken, count, size))

    def _on_result(self, taken: Mapping[TelemetryLink, "_Taken"], count: int, size: int, result: AppendResult) -> None:
        """The store has answered for one read."""
        self._unanswered -= count
        self._unanswered_bytes -= size
        if self._line.closed:
            return
        if not self._answered:
            # A commit answers for several reads in one turn: their dispositions become one, and one write.
            asyncio.get_running_loop().call_soon(self._finish_turn)
        for end, of_link in taken.items():
            end.unanswered -= of_link.count
            self._answered[end] = None
            if result is AppendResult.STORED:
                self._line.engine.settle(end.link, of_link.delivery_ids, ACCEPTED)
            else:
                self._refuse_stored(end, of_link.delivery_ids, result)

    def _finish_turn(self) -> None:
        """The store has answered for all it had to: give credit back, read on, and send."""
        answered, self._answered = self._answered, {}
        if self._line.closed:
            return
        for end in answered:
            end.give_credit()
        if self._paused and not self._is_too_much():
            self._paused = False
            self._line.pump.resume_reading()
        self._line.flush()

    def _is_too_much(self) -> bool:
        return self._unanswered > MAX_UNANSWERED_TRANSFERS or self._unanswered_bytes > MAX_UNANSWERED_BYTES

    def _refuse(self, end: TelemetryLink, transfer: MessageReceived, refused: RefusedTransferError) -> None:
        """A transfer that is wrong in itself: the link stays, and so do those around it."""
        self._line.house.emit(MessageRefused(str(end.sender), refused.reason, refused.detail))
        if not transfer.settled:
            self._line.engine.settle(end.link, [transfer.delivery_id], _rejected(refused.condition, refused.detail))
        end.give_credit()

    def _refuse_stored(self, end: TelemetryLink, ids: list[int], result: AppendResult) -> None:
        """The store has kept nothing of it."""
        reason, condition = STORE_REFUSALS[result]
        detail = reason.value.replace("_", " ")
        self._line.house.emit(MessageRefused(str(end.sender), reason, detail))
        self._line.engine.settle(end.link, ids, _rejected(condition, detail))
        if result is AppendResult.FULL and not end.resting:
            end.resting = True
            asyncio.get_running_loop().call_later(FULL_REST_S, self._go_on, end)

    def _go_on(self, end: TelemetryLink) -> None:
        """There may be space again."""
        end.resting = False
        if not self._line.closed:
            end.give_credit()
            self._line.flush()


def read_messages(sender: Identity, transfer: MessageReceived) -> list[Message]:
    """The messages of `sender` in a transfer. Raises RefusedTransferError if one of them cannot be taken."""
    try:
        contents = read_transfer(transfer.message_format, transfer.payload)
    except ProtocolError as error:
        condition = str(error.reply or DECODE_ERROR)
        reason = _REASONS.get(condition, RefusedMessage.MALFORMED_MESSAGE)
        raise RefusedTransferError(reason, condition, error.what) from error
    messages = [Message(envelope_for(sender, content.bag), content.body) for content in contents]
    if len(transfer.payload) > ALWAYS_FITS_BYTES:
        for message in messages:
            _check_size(message)
    return messages


def _check_size(message: Message) -> None:
    envelope, body = message.envelope, message.body
    try:
        size = passing_size(envelope) + len(body)
    except ProtocolError as error:
        raise RefusedTransferError(RefusedMessage.TOO_LARGE, MESSAGE_SIZE_EXCEEDED, error.what) from error
    if size > MAX_MESSAGE_BYTES:
        raise RefusedTransferError(
            RefusedMessage.TOO_LARGE,
            MESSAGE_SIZE_EXCEEDED,
            f"it counts {size} bytes with its properties and room for its sender's names; "
            f"the limit is {MAX_MESSAGE_BYTES}",
        )


def _rejected(condition: str, description: str) -> Rejected:
    return Rejected(Error(condition=condition, description=description))
