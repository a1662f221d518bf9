"""Connection, SASL layer, session and link as tables; what is not in them is refused.

`RECEIVED` tables say what a frame of the peer does, `SENT` tables what a frame of ours does; one that we may not send
is a mistake of ours. Spec: AMQP 1.0 §2.4.6 (connection), §2.5.5 (session), §2.6.3 to §2.6.6 (link), §5.3.2 (SASL).
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final


class Wire(Enum):
    """What goes over a connection, as far as one of the machines cares."""

    SASL_HEADER = "SASL header"
    MECHANISMS = "sasl-mechanisms"
    INIT = "sasl-init"
    OUTCOME_OK = "sasl-outcome ok"
    OUTCOME_FAILED = "sasl-outcome of a failure"
    HEADER = "AMQP header"
    OPEN = "open"
    CLOSE = "close"
    ERROR_CLOSE = "close with an error"
    BEGIN = "begin"
    END = "end"
    ERROR_END = "end with an error"
    ATTACH = "attach"
    DETACH = "detach"
    FRAME = "any other frame"


class SaslState(Enum):
    """How far the SASL layer has come; the names are ours, as the standard gives none."""

    START = "start"
    HDR_SENT = "header sent"
    HDR_RCVD = "header received"
    HDR_EXCH = "headers exchanged"
    MECHANISMS_SENT = "mechanisms sent"
    MECHANISMS_RCVD = "mechanisms received"
    INIT_SENT = "init sent"
    INIT_RCVD = "init received"
    DONE = "done"
    FAILED = "failed"


SASL_RECEIVED: Final[Mapping[tuple[SaslState, Wire], SaslState]] = {
    (SaslState.START, Wire.SASL_HEADER): SaslState.HDR_RCVD,
    (SaslState.MECHANISMS_SENT, Wire.INIT): SaslState.INIT_RCVD,
    (SaslState.HDR_SENT, Wire.SASL_HEADER): SaslState.HDR_EXCH,
    (SaslState.HDR_EXCH, Wire.MECHANISMS): SaslState.MECHANISMS_RCVD,
    (SaslState.INIT_SENT, Wire.OUTCOME_OK): SaslState.DONE,
    (SaslState.INIT_SENT, Wire.OUTCOME_FAILED): SaslState.FAILED,
}
"""What the peer's SASL frames do. No mechanism here has a challenge, so there is none, and no response either."""

SASL_SENT: Final[Mapping[tuple[SaslState, Wire], SaslState]] = {
    (SaslState.START, Wire.SASL_HEADER): SaslState.HDR_SENT,
    (SaslState.HDR_RCVD, Wire.SASL_HEADER): SaslState.HDR_EXCH,
    (SaslState.HDR_EXCH, Wire.MECHANISMS): SaslState.MECHANISMS_SENT,
    (SaslState.MECHANISMS_RCVD, Wire.INIT): SaslState.INIT_SENT,
    (SaslState.INIT_RCVD, Wire.OUTCOME_OK): SaslState.DONE,
    (SaslState.INIT_RCVD, Wire.OUTCOME_FAILED): SaslState.FAILED,
}


class ConnectionState(Enum):
    """The states of AMQP 1.0 §2.4.6, without those of a peer that sends its open before it has our header."""

    START = "start"
    HDR_RCVD = "header received"
    HDR_SENT = "header sent"
    HDR_EXCH = "headers exchanged"
    OPEN_RCVD = "open received"
    OPEN_SENT = "open sent"
    CLOSE_PIPE = "open and close sent"
    OPENED = "opened"
    CLOSE_RCVD = "close received"
    CLOSE_SENT = "close sent"
    DISCARDING = "close sent with an error"
    END = "end"


CONNECTION_RECEIVED: Final[Mapping[tuple[ConnectionState, Wire], ConnectionState]] = {
    (ConnectionState.START, Wire.HEADER): ConnectionState.HDR_RCVD,
    (ConnectionState.HDR_SENT, Wire.HEADER): ConnectionState.HDR_EXCH,
    (ConnectionState.HDR_EXCH, Wire.OPEN): ConnectionState.OPEN_RCVD,
    (ConnectionState.OPEN_SENT, Wire.OPEN): ConnectionState.OPENED,
    (ConnectionState.CLOSE_PIPE, Wire.OPEN): ConnectionState.CLOSE_SENT,
    (ConnectionState.OPENED, Wire.BEGIN): ConnectionState.OPENED,
    (ConnectionState.OPENED, Wire.END): ConnectionState.OPENED,
    (ConnectionState.OPENED, Wire.FRAME): ConnectionState.OPENED,
    (ConnectionState.OPENED, Wire.CLOSE): ConnectionState.CLOSE_RCVD,
    # What was on its way when we closed means nothing any more.
    (ConnectionState.CLOSE_SENT, Wire.BEGIN): ConnectionState.CLOSE_SENT,
    (ConnectionState.CLOSE_SENT, Wire.END): ConnectionState.CLOSE_SENT,
    (ConnectionState.CLOSE_SENT, Wire.FRAME): ConnectionState.CLOSE_SENT,
    (ConnectionState.CLOSE_SENT, Wire.CLOSE): ConnectionState.END,
    (ConnectionState.DISCARDING, Wire.OPEN): ConnectionState.DISCARDING,
    (ConnectionState.DISCARDING, Wire.BEGIN): ConnectionState.DISCARDING,
    (ConnectionState.DISCARDING, Wire.END): ConnectionState.DISCARDING,
    (ConnectionState.DISCARDING, Wire.FRAME): ConnectionState.DISCARDING,
    (ConnectionState.DISCARDING, Wire.CLOSE): ConnectionState.END,
}
"""Nothing is read in OPEN_RCVD: what the peer sends behind its open waits until ours has gone out."""

CONNECTION_SENT: Final[Mapping[tuple[ConnectionState, Wire], ConnectionState]] = {
    (ConnectionState.START, Wire.HEADER): ConnectionState.HDR_SENT,
    (ConnectionState.HDR_RCVD, Wire.HEADER): ConnectionState.HDR_EXCH,
    (ConnectionState.HDR_EXCH, Wire.OPEN): ConnectionState.OPEN_SENT,
    (ConnectionState.OPEN_RCVD, Wire.OPEN): ConnectionState.OPENED,
    (ConnectionState.OPENED, Wire.FRAME): ConnectionState.OPENED,
    (ConnectionState.OPENED, Wire.CLOSE): ConnectionState.CLOSE_SENT,
    (ConnectionState.OPENED, Wire.ERROR_CLOSE): ConnectionState.DISCARDING,
    (ConnectionState.OPEN_SENT, Wire.CLOSE): ConnectionState.CLOSE_PIPE,
    (ConnectionState.OPEN_SENT, Wire.ERROR_CLOSE): ConnectionState.DISCARDING,
    (ConnectionState.CLOSE_RCVD, Wire.CLOSE): ConnectionState.END,
}


class SessionState(Enum):
    """The states of AMQP 1.0 §2.5.5."""

    UNMAPPED = "unmapped"
    BEGIN_SENT = "begin sent"
    BEGIN_RCVD = "begin received"
    MAPPED = "mapped"
    END_SENT = "end sent"
    END_RCVD = "end received"
    DISCARDING = "end sent with an error"


SESSION_RECEIVED: Final[Mapping[tuple[SessionState, Wire], SessionState]] = {
    (SessionState.UNMAPPED, Wire.BEGIN): SessionState.BEGIN_RCVD,
    (SessionState.BEGIN_SENT, Wire.BEGIN): SessionState.MAPPED,
    (SessionState.MAPPED, Wire.FRAME): SessionState.MAPPED,
    (SessionState.MAPPED, Wire.END): SessionState.END_RCVD,
    (SessionState.END_SENT, Wire.BEGIN): SessionState.END_SENT,
    (SessionState.END_SENT, Wire.FRAME): SessionState.END_SENT,
    (SessionState.END_SENT, Wire.END): SessionState.UNMAPPED,
    (SessionState.DISCARDING, Wire.BEGIN): SessionState.DISCARDING,
    (SessionState.DISCARDING, Wire.FRAME): SessionState.DISCARDING,
    (SessionState.DISCARDING, Wire.END): SessionState.UNMAPPED,
}
"""A begin in END_SENT or DISCARDING is the answer to one of ours that we have ended before it came."""

SESSION_SENT: Final[Mapping[tuple[SessionState, Wire], SessionState]] = {
    (SessionState.UNMAPPED, Wire.BEGIN): SessionState.BEGIN_SENT,
    (SessionState.BEGIN_RCVD, Wire.BEGIN): SessionState.MAPPED,
    (SessionState.BEGIN_SENT, Wire.FRAME): SessionState.BEGIN_SENT,
    (SessionState.BEGIN_SENT, Wire.END): SessionState.END_SENT,
    (SessionState.BEGIN_SENT, Wire.ERROR_END): SessionState.DISCARDING,
    (SessionState.MAPPED, Wire.FRAME): SessionState.MAPPED,
    (SessionState.MAPPED, Wire.END): SessionState.END_SENT,
    (SessionState.MAPPED, Wire.ERROR_END): SessionState.DISCARDING,
    (SessionState.END_RCVD, Wire.END): SessionState.UNMAPPED,
}


class LinkState(Enum):
    """How far a link has come; the standard draws the states (§2.6.3, §2.6.6) and names few of them."""

    DETACHED = "detached"
    ATTACH_SENT = "attach sent"
    ATTACH_RCVD = "attach received"
    ATTACHED = "attached"
    DETACH_SENT = "detach sent"
    DETACH_PIPE = "attach and detach sent"
    DETACH_RCVD = "detach received"


LINK_RECEIVED: Final[Mapping[tuple[LinkState, Wire], LinkState]] = {
    (LinkState.DETACHED, Wire.ATTACH): LinkState.ATTACH_RCVD,
    (LinkState.ATTACH_SENT, Wire.ATTACH): LinkState.ATTACHED,
    (LinkState.ATTACH_RCVD, Wire.FRAME): LinkState.ATTACH_RCVD,
    (LinkState.ATTACH_RCVD, Wire.DETACH): LinkState.DETACH_RCVD,
    (LinkState.ATTACHED, Wire.FRAME): LinkState.ATTACHED,
    (LinkState.ATTACHED, Wire.DETACH): LinkState.DETACH_RCVD,
    (LinkState.DETACH_PIPE, Wire.ATTACH): LinkState.DETACH_SENT,
    # What was on its way when we detached means nothing any more.
    (LinkState.DETACH_SENT, Wire.FRAME): LinkState.DETACH_SENT,
    (LinkState.DETACH_SENT, Wire.DETACH): LinkState.DETACHED,
}

LINK_SENT: Final[Mapping[tuple[LinkState, Wire], LinkState]] = {
    (LinkState.DETACHED, Wire.ATTACH): LinkState.ATTACH_SENT,
    (LinkState.ATTACH_RCVD, Wire.ATTACH): LinkState.ATTACHED,
    # A link that is detached before we answered it is answered first: a detach names a handle of ours.
    (LinkState.DETACH_RCVD, Wire.ATTACH): LinkState.DETACH_RCVD,
    (LinkState.DETACH_RCVD, Wire.DETACH): LinkState.DETACHED,
    (LinkState.ATTACHED, Wire.FRAME): LinkState.ATTACHED,
    (LinkState.ATTACHED, Wire.DETACH): LinkState.DETACH_SENT,
    (LinkState.ATTACH_SENT, Wire.DETACH): LinkState.DETACH_PIPE,
}
