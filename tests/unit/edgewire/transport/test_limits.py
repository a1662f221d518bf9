from dataclasses import FrozenInstanceError

import pytest

from edgewire.transport.limits import PLAIN_PIECE, TLS_PIECE, WEBSOCKET_PIECE, TransportLimits

LARGEST_MESSAGE = 262_144


def test_what_may_wait_for_a_peer_exceeds_the_mark_at_which_its_owner_is_told() -> None:
    limits = TransportLimits()
    assert limits.max_buffered >= 4 * limits.sending_high_water
    assert limits.max_buffered >= LARGEST_MESSAGE


def test_a_silent_connection_is_cut_within_30_s() -> None:
    assert TransportLimits().handshake_timeout_s <= 30


def test_the_largest_message_fits_into_one_websocket_message() -> None:
    assert TransportLimits().max_websocket_message_bytes > LARGEST_MESSAGE


def test_input_that_is_taken_apart_in_python_comes_in_smaller_pieces() -> None:
    assert WEBSOCKET_PIECE < TLS_PIECE < PLAIN_PIECE


def test_limits_do_not_change_under_a_running_listener() -> None:
    limits = TransportLimits()
    with pytest.raises(FrozenInstanceError):
        limits.backlog = 1  # type: ignore[misc]  # the assignment is what is tested
