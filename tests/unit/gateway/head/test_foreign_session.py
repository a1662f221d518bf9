"""What is not acknowledged yet, over breaks of the connection."""

from gateway.dispatch.mapped import Publication
from gateway.head.foreign_session import OVERHEAD_BYTES, Heard, Session


def heard(packet_id: int, digest: bytes = b"a") -> Heard:
    return Heard(Publication(topic="t", payload=b"12345678"), packet_id, digest)


def connected(*, present: bool = True) -> Session:
    session = Session()
    session.begin(present=present)
    return session


def test_a_message_is_acknowledged_when_it_is_settled_and_not_before() -> None:
    session = connected()
    one = heard(7)
    session.hear(one)
    assert (session.take_due(), session.unacknowledged) == ([], 1)
    session.settle(one)
    assert (session.take_due(), session.unacknowledged) == ([7], 0)
    assert session.take_due() == []


def test_what_waits_is_counted_until_it_is_settled() -> None:
    session = connected()
    one = heard(7)
    session.hear(one)
    assert (session.unanswered, session.unanswered_bytes) == (1, 8 + 2 + OVERHEAD_BYTES)
    session.settle(one)
    assert (session.unanswered, session.unanswered_bytes) == (0, 0)


def test_qos_0_is_never_acknowledged() -> None:
    session = connected()
    one = heard(0)
    session.hear(one)
    session.settle(one)
    assert (session.take_due(), session.unacknowledged, session.unanswered) == ([], 0, 0)


def test_a_repeat_of_what_waits_for_the_disk_is_acknowledged_on_the_new_connection() -> None:
    session = connected()
    one = heard(7)
    session.hear(one)
    session.end()
    session.begin(present=True)
    assert session.is_repeat(7, b"a")
    assert session.take_due() == []
    session.settle(one)
    assert session.take_due() == [7]


def test_a_repeat_of_what_was_settled_meanwhile_is_acknowledged_at_once() -> None:
    session = connected()
    one = heard(7)
    session.hear(one)
    session.end()
    session.settle(one)
    assert session.take_due() == []
    session.begin(present=True)
    assert session.is_repeat(7, b"a")
    assert session.take_due() == [7]
    assert not session.is_repeat(7, b"a")


def test_what_the_old_connection_owed_is_not_paid_on_the_new_one_unasked() -> None:
    session = connected()
    one = heard(7)
    session.hear(one)
    session.end()
    session.begin(present=True)
    session.settle(one)
    assert session.take_due() == []


def test_another_message_under_the_same_id_is_no_repeat() -> None:
    session = connected()
    session.hear(heard(7, b"a"))
    assert not session.is_repeat(7, b"b")
    assert not session.is_repeat(8, b"a")


def test_a_new_session_repeats_nothing() -> None:
    session = connected()
    session.hear(heard(7))
    session.end()
    session.begin(present=False)
    assert not session.is_repeat(7, b"a")
    assert session.unacknowledged == 0
