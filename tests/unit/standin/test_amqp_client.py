import pytest

from edgewire.iothub.amqp.addresses import Purpose
from edgewire.message import Identity, identity
from edgewire.session.amqp.link import Role
from standin.amqp_client import CONDITIONS, AmqpClient, serves
from standin.hub import Closing

LEAF = identity("leaf")
MODULE = identity("edge-1", "m1")


class FakeConnection:
    def __init__(self) -> None:
        self.cuts: list[tuple[Identity, Closing]] = []
        self.aborted = 0

    def cut(self, who: Identity, reason: Closing) -> None:
        self.cuts.append((who, reason))

    def abort(self) -> None:
        self.aborted += 1


@pytest.mark.parametrize(
    ("who", "purpose", "role", "served"),
    [
        (LEAF, Purpose.EVENTS, Role.RECEIVER, True),
        (LEAF, Purpose.EVENTS, Role.SENDER, False),
        (MODULE, Purpose.EVENTS, Role.SENDER, True),
        (LEAF, Purpose.DEVICEBOUND, Role.SENDER, True),
        (LEAF, Purpose.DEVICEBOUND, Role.RECEIVER, False),
        *(
            (who, purpose, role, True)
            for who in (LEAF, MODULE)
            for purpose in (Purpose.METHODS, Purpose.TWIN)
            for role in Role
        ),
    ],
)
def test_links_have_their_directions(who: Identity, purpose: Purpose, role: Role, *, served: bool) -> None:
    assert serves(who, (purpose, role)) is served


def test_closing_one_identity_is_for_the_connection_to_do() -> None:
    connection = FakeConnection()
    client = AmqpClient(connection, LEAF)
    client.close(Closing.TAKEN_OVER)
    client.abort()
    assert (connection.cuts, connection.aborted) == ([(LEAF, Closing.TAKEN_OVER)], 1)


def test_nothing_is_sent_to_it() -> None:
    client = AmqpClient(FakeConnection(), LEAF)
    client.send_desired({"$version": 1})
    client.send_inputs()
    assert client.send_method("1", "reboot", b"{}") is False
    assert client.identity == LEAF


def test_every_reason_has_its_condition() -> None:
    assert set(CONDITIONS) == set(Closing)
