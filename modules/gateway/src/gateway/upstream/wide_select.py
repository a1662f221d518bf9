"""`select` for paho, without the limit of 1,024 descriptors that the real one has.

paho 1.6.1 waits for its socket by select(). Where a thousand devices are connected, the descriptors of a new link are
above 1,023: select() refuses them, paho takes that for a lost connection, and the link never comes up again.
"""

import select
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, Protocol

_BROKEN: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


class HasDescriptor(Protocol):
    """A socket, or what stands for one."""

    def fileno(self) -> int:
        """Its descriptor; -1 once it is closed."""


class WideSelect:
    """Stands for the module `select`, as far as paho uses it."""

    def select(
        self,
        readers: Sequence[HasDescriptor],
        writers: Sequence[HasDescriptor],
        _: Sequence[HasDescriptor],
        timeout_s: float | None = None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        """Those that can be read, those that can be written; as select.select.

        Raises ValueError for what is closed, as that does, and TypeError for what is no socket.
        """
        masks: dict[int, int] = defaultdict(int)
        for each in readers:
            masks[_descriptor(each)] |= select.POLLIN | select.POLLPRI
        for each in writers:
            masks[_descriptor(each)] |= select.POLLOUT
        poll = select.poll()
        for descriptor, mask in masks.items():
            poll.register(descriptor, mask)
        ready = dict(poll.poll(None if timeout_s is None else timeout_s * 1000))
        return (
            [each for each in readers if ready.get(each.fileno(), 0) & (select.POLLIN | select.POLLPRI | _BROKEN)],
            [each for each in writers if ready.get(each.fileno(), 0) & (select.POLLOUT | _BROKEN)],
            [],
        )


def _descriptor(one: HasDescriptor) -> int:
    try:
        descriptor = one.fileno()
    except AttributeError:
        raise TypeError(f"{one!r} is no socket") from None
    if descriptor < 0:
        raise ValueError("the socket is closed")
    return descriptor
