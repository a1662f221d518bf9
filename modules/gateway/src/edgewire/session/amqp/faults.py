"""How far a peer's fault reaches: its connection (`ProtocolError`), one session, or one link.

Spec: AMQP 1.0 §2.8.15 to §2.8.18 name the conditions.
"""

from edgewire.codec.amqp.types import Symbol
from edgewire.errors import ProtocolError
from edgewire.session.amqp.link import Link


class SessionError(Exception):
    """A peer broke a rule of a session, which ends with this condition; its neighbours live on."""

    def __init__(self, what: str, *, condition: Symbol) -> None:
        super().__init__(what)
        self.what = what
        self.condition = condition


class LinkError(Exception):
    """A peer broke a rule of a link, which is detached with this condition; its neighbours live on."""

    def __init__(self, link: Link, what: str, *, condition: Symbol) -> None:
        super().__init__(what)
        self.link = link
        self.what = what
        self.condition = condition


def connection_fault(what: str, *, condition: Symbol, spec: str) -> ProtocolError:
    """A peer broke a rule of the connection, which is closed with this condition."""
    return ProtocolError(what, reply=condition, spec=spec)
