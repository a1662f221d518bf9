"""All that a peer can grow or ask of an AMQP connection, by name."""

from dataclasses import dataclass
from typing import Final

MIN_MAX_FRAME: Final = 512
"""No peer may ask for smaller frames. Spec: AMQP 1.0 §2.4.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmqpLimits:
    """What one connection may send, hold and ask for. What open, begin and attach tell is edgeHub's but for one.

    connect_timeout_s: for headers, SASL and open, the time that our owner takes to decide not counted. No silence or
        trickle holds a connection longer that nobody has answered for.
    idle_timeout_s: the silence that our open announces. A peer is cut at twice of it, as the standard wants the
        announcement to be half of the truth (AMQP 1.0 §2.4.5).
    min_peer_idle_ms: a peer that wants to hear from us more often is refused: a thousand of them would have the
        gateway send empty frames all day.
    close_timeout_s: for the peer's close after ours.
    max_frame: the largest frame taken, and sent.
    max_sasl_frame: the standard's is 512 (§5.3.1), which a PLAIN response of two ids with 128 characters and a token
        goes beyond.
    max_early_bytes: what may wait behind a sasl-init or an open that our owner has not answered yet; one read of our
        transport, as for MQTT.
    channel_max: the highest channel number, so one less than the sessions of a connection. A thousand devices behind
        one connection, with a session each as .NET's do, fit; edgeHub's 8,191 would be 20 MB of empty sessions.
    handle_max: the highest handle of a session's links; a number only, as `max_links` bounds what is held.
    max_links: links of one connection, over all its sessions; one more ends its session. A thousand identities have
        six each, and two for their tokens.
    max_name_chars: of a link's name, which is repeated in our answer. Those of the SDKs have up to 100.
    incoming_window: transfer frames that a peer may send before it hears from us; told anew when half of it is gone.
    outgoing_window: what we tell of ours, where it only informs.
    link_credit: messages that a link's peer may send before it is topped up. Group commits need many in flight.
    max_message_size: the largest message on one link, all frames together. edgeHub's links say 1 MiB.
    max_partial_bytes: messages of a connection whose last frame has not come, together. Every link could hold one of
        the largest: a hundred such links would be a Raspberry Pi's memory.
    max_unsettled: messages of ours on one session that the peer has not settled; `send` waits then.
    """

    connect_timeout_s: float = 20.0
    idle_timeout_s: float = 240.0
    min_peer_idle_ms: int = 5_000
    close_timeout_s: float = 5.0
    max_frame: int = 65_536
    max_sasl_frame: int = 4_096
    max_early_bytes: int = 262_144
    channel_max: int = 1_023
    handle_max: int = 262_143
    max_links: int = 8_192
    max_name_chars: int = 256
    incoming_window: int = 5_000
    outgoing_window: int = 5_000
    link_credit: int = 1_000
    max_message_size: int = 1_048_576
    max_partial_bytes: int = 8_388_608
    max_unsettled: int = 5_000
