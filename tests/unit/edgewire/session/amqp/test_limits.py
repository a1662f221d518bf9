"""The limits fit each other and what clients expect of us."""

from edgewire.session.amqp.limits import MIN_MAX_FRAME, AmqpLimits


def test_what_we_tell_is_what_edgehub_tells() -> None:
    limits = AmqpLimits()
    assert (limits.max_frame, limits.handle_max) == (65_536, 262_143)
    assert (limits.idle_timeout_s, limits.min_peer_idle_ms) == (240.0, 5_000)
    assert (limits.incoming_window, limits.link_credit, limits.max_message_size) == (5_000, 1_000, 1_048_576)


def test_the_limits_leave_room_for_each_other() -> None:
    limits = AmqpLimits()
    assert MIN_MAX_FRAME <= limits.max_sasl_frame <= limits.max_frame <= limits.max_early_bytes
    assert limits.max_message_size <= limits.max_partial_bytes
    # The largest message must fit into half of the window, as it is told anew only then.
    assert limits.max_message_size / (MIN_MAX_FRAME - 100) < limits.incoming_window
