from gateway.head import plain_rights
from gateway.head.plain_rights import Rights
from gateway.identity.users import User

ANN = User(name="ann", publish=("site/%c/#", "+/open"), subscribe=("for/%u/#",))


def test_patterns_are_filled_for_the_client() -> None:
    rights = Rights(ANN, "c1")
    assert rights.may_publish("site/c1/t")
    assert not rights.may_publish("site/c2/t")
    assert rights.may_publish("x/open")
    assert rights.may_subscribe("for/ann/+/#")
    assert not rights.may_subscribe("for/+/x")


def test_the_servers_own_topics_are_no_clients() -> None:
    rights = Rights(User(name="root", publish=("#",), subscribe=("#",)), "c1")
    assert rights.may_publish("$SYS/broker/connection/b/state")
    assert not rights.may_publish("$SYS/broker/uptime")
    assert not rights.may_publish("$iothub/x")
    assert rights.may_subscribe("$SYS/#")
    assert not rights.may_subscribe("$share/g/a")


def test_what_is_remembered_is_bounded() -> None:
    rights = Rights(ANN, "c1")
    for number in range(plain_rights.MAX_KNOWN + 1):
        rights.may_publish(f"t/{number}")
    rights.may_publish("x" * (plain_rights.MAX_KNOWN_CHARS + 1))
    assert len(rights._known) == 1
