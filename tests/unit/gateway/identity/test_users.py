import json

import pytest

from gateway.identity.passwords import parse_hash
from gateway.identity.users import (
    User,
    Users,
    UsersError,
    check_name,
    check_pattern,
    fill_pattern,
    parse_network,
    read_users,
    write_users,
)

HASH = parse_hash("scrypt$2$c2FsdHNhbHRzYWx0c2FsdA==$" + "A" * 43 + "=")
ANN = User(name="ann", password=HASH, networks=(parse_network("10.0.0.0/8"),), publish=("a/#",), subscribe=("b/%c",))
METERS = User(name="meters", networks=(parse_network("10.1.0.0/16"), parse_network("fd00::/8")))


def test_users_are_read_as_they_were_written() -> None:
    users = Users().with_user(ANN).with_user(METERS)
    assert read_users(write_users(users)) == users


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "tiger"}, "kept as scrypt"),
        ({"password": 1}, "no text"),
        ({"from": ["10.0.0.1/8"]}, "no network"),
        ({"from": "10.0.0.0/8"}, "a list"),
        ({"publish": ["a#"]}, "# stands alone"),
        ({"publish": ["#/a"]}, "# stands alone"),
        ({"subscribe": ["a+/b"]}, "\\+ stands alone"),
        ({"subscribe": ["$SYS/#"]}, "server's own"),
        ({"subscribe": [""]}, "characters"),
        ({"more": 1}, "nothing else"),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_its_place(change: dict[str, object], said: str) -> None:
    document = json.loads(write_users(Users().with_user(ANN)))
    document["users"]["ann"].update(change)
    with pytest.raises(UsersError, match=f"user 'ann'.*{said}"):
        read_users(json.dumps(document).encode())


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b'{"version": 2, "users": {}}', b'{"version": 1, "users": []}', b"[" * 9999]
)
def test_what_is_no_file_of_users_is_refused(text: bytes) -> None:
    with pytest.raises(UsersError):
        read_users(text)


def test_from_where_a_user_may_come() -> None:
    assert ANN.may_come_from("10.9.9.9")
    assert not ANN.may_come_from("11.0.0.1")
    assert User(name="x", password=HASH).may_come_from("11.0.0.1")
    assert not User(name="x").may_come_from("11.0.0.1"), "no password, and no network"
    assert not METERS.may_come_from("no address")


def test_the_narrowest_network_says_who_comes() -> None:
    one = User(name="one", networks=(parse_network("10.1.2.3"),))
    users = Users().with_user(ANN).with_user(METERS).with_user(one)
    found = [users.for_address(address) for address in ("10.1.2.3", "10.1.2.4", "fd12::1", "10.2.0.1")]
    assert [None if user is None else user.name for user in found] == ["one", "meters", "meters", None]


def test_who_changed_is_known() -> None:
    before = Users().with_user(ANN).with_user(METERS)
    after = before.without("ann").with_user(User(name="meters", publish=("x",))).with_user(User(name="new"))
    assert before.changed_in(after) == {"ann", "meters"}


@pytest.mark.parametrize("name", ["", " ann", "a\nb", "x" * 129])
def test_a_name_is_something_that_a_person_can_read(name: str) -> None:
    with pytest.raises(UsersError):
        check_name(name)


def test_a_pattern_is_filled_with_names_that_are_no_wildcards() -> None:
    assert check_pattern("a/+/%u/#") == "a/+/%u/#"
    assert fill_pattern("a/%u/%c/#", "ann", "c1") == "a/ann/c1/#"
    assert fill_pattern("a/x-%c", "ann", "c1") == "a/x-c1"
    assert fill_pattern("a/b", "", "+") == "a/b"
    for bad in ("", "+", "#", "a/b", "x+"):
        assert fill_pattern("a/%c", "ann", bad) is None
