import fcntl
import resource
import socket
from collections.abc import Iterator

import pytest

from gateway.upstream.wide_select import WideSelect

HIGH = 1500
"""A descriptor that select() refuses."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends; the first has a high descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, HIGH + 100), hard))
    low, other = socket.socketpair()
    with low, other, socket.socket(fileno=fcntl.fcntl(low.fileno(), fcntl.F_DUPFD, HIGH)) as high:
        yield high, other


def test_what_can_be_read_and_written_is_told_above_1024_too(pair: tuple[socket.socket, socket.socket]) -> None:
    high, other = pair
    assert high.fileno() >= HIGH
    assert WideSelect().select([high], [], [], 0.0) == ([], [], [])
    assert WideSelect().select([high], [high], [], 5.0) == ([], [high], [])
    other.send(b"x")
    assert WideSelect().select([high], [high], [], None) == ([high], [high], [])


def test_a_connection_that_has_ended_can_be_read(pair: tuple[socket.socket, socket.socket]) -> None:
    high, other = pair
    other.close()
    assert WideSelect().select([high], [], [], 5.0) == ([high], [], [])


def test_what_is_closed_or_no_socket_is_refused_as_select_does() -> None:
    closed = socket.socket()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        WideSelect().select([closed], [], [], 0.0)
    with pytest.raises(TypeError, match="no socket"):
        WideSelect().select([None], [], [], 0.0)  # type: ignore[list-item]  # what paho has after a disconnect
