"""Many messages in one body. No clock and no I/O: whoever owns it says when it is time."""

from dataclasses import dataclass, field

from edgewire.message import Identity
from gateway.sending.how import MAX_BATCH_BYTES, Batch, Form, Per
from gateway.sending.made import COUNT, JSON, KIND, NDJSON, ROUTE, Made, as_it_is, item, made_id, made_message
from gateway.store.values import Entry

FRAME_BYTES = 2
"""The brackets of an array; each item has one byte more, for what parts it from the next."""


@dataclass(slots=True)
class _Open:
    """A batch that takes more."""

    entries: list[Entry] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    size: int = FRAME_BYTES


class Batcher:
    """The open batches of a route, one for each sender or one for all. `module` sends what is of several."""

    def __init__(self, route: str, batch: Batch, module: Identity) -> None:
        self._route = route
        self._batch = batch
        self._module = module
        self._open: dict[Identity, _Open] = {}

    @property
    def oldest_ms(self) -> int | None:
        """When the first message that waits was received; None if none does."""
        return min((opened.entries[0].received_at_ms for opened in self._open.values()), default=None)

    def add(self, entry: Entry) -> list[Made]:
        """Take a message; what goes now because it is full, in order."""
        sender = self._module if self._batch.per is Per.ROUTE else entry.message.envelope.sender
        part = item(entry, self._batch.items)
        size = len(part) + 1
        made: list[Made] = []
        opened = self._open.get(sender)
        if opened is not None and opened.size + size > self._batch.max_bytes:
            made.append(self._close(sender))
            opened = None
        if size + FRAME_BYTES > MAX_BATCH_BYTES:
            # No batch holds it: it goes as it is, behind what came before it.
            return [*made, as_it_is(entry)] if opened is None else [*made, self._close(sender), as_it_is(entry)]
        if opened is None:
            opened = self._open[sender] = _Open()
        opened.entries.append(entry)
        opened.parts.append(part)
        opened.size += size
        if len(opened.entries) >= self._batch.max_messages or opened.size > self._batch.max_bytes:
            made.append(self._close(sender))
        return made

    def flush(self) -> list[Made]:
        """All that waits, whatever its size."""
        return [self._close(sender) for sender in list(self._open)]

    def _close(self, sender: Identity) -> Made:
        opened = self._open.pop(sender)
        first, last, count = opened.entries[0], opened.entries[-1], len(opened.entries)
        as_array = self._batch.form is Form.JSON
        body = b"[%b]" % b",".join(opened.parts) if as_array else b"".join(b"%b\n" % part for part in opened.parts)
        message = made_message(
            sender,
            body,
            message_id=made_id(first.entry_id, self._route, f"{last.sequence}:{count}"),
            content_type=JSON if as_array else NDJSON,
            properties={KIND: "batch", ROUTE: self._route, COUNT: str(count)},
        )
        return Made(message, tuple(opened.entries))
