import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.message import identity
from gateway.identity.roster import (
    CaSigned,
    Group,
    NoCredential,
    Registration,
    Roster,
    RosterError,
    SymmetricKeys,
    Thumbprints,
    parse_thumbprint,
    read_roster,
    write_roster,
)

K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
K2 = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
KEYS = SymmetricKeys(b"0123456789abcdef" * 2, b"fedcba9876543210" * 2)
SAS = {"type": "sas", "primaryKey": K1, "secondaryKey": K2}
FULL: dict[str, Any] = {
    "version": 1,
    "devices": {
        "cam": {"status": "enabled", "authentication": {"type": "selfSigned", "primaryThumbprint": "AB" * 20}},
        "leaf": {
            "status": "disabled",
            "authentication": SAS,
            "modules": {"m": {"status": "enabled", "authentication": SAS}},
        },
        "pump": {"status": "enabled", "authentication": {"type": "certificateAuthority"}},
        "sensor": {"status": "enabled", "authentication": {"type": "none"}},
    },
    "groups": {"boards": {"status": "enabled", "primaryKey": K1, "secondaryKey": K2, "idPrefix": "board-"}},
}


def roster_of(*entries: Registration, groups: tuple[Group, ...] = ()) -> Roster:
    return Roster({entry.identity: entry for entry in entries}, {group.name: group for group in groups})


def test_the_file_of_version_1_is_read() -> None:
    roster = read_roster(json.dumps(FULL).encode())
    assert roster == roster_of(
        Registration(identity("cam"), Thumbprints("AB" * 20)),
        Registration(identity("leaf"), KEYS, enabled=False),
        Registration(identity("leaf", "m"), KEYS),
        Registration(identity("pump"), CaSigned()),
        Registration(identity("sensor"), NoCredential()),
        groups=(Group("boards", KEYS, "board-"),),
    )


def test_the_file_of_version_1_is_written() -> None:
    assert json.loads(write_roster(read_roster(json.dumps(FULL).encode()))) == FULL


def test_the_bytes_of_version_1() -> None:
    roster = roster_of(Registration(identity("d"), CaSigned()))
    assert write_roster(roster) == (
        b'{\n "version": 1,\n "devices": {\n  "d": {\n   "status": "enabled",\n   "authentication": {\n'
        b'    "type": "certificateAuthority"\n   }\n  }\n },\n "groups": {}\n}\n'
    )


def changed(path: str, value: Any) -> bytes:
    """FULL with the member at `path` set, or removed if `value` is ... ."""
    document = json.loads(json.dumps(FULL))
    *parents, last = path.split("/")
    at = document
    for name in parents:
        at = at[name]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "line 1, column 1"),
        (b'{"version": 1,\n "devices": {]', "line 2, column"),
        (b"\xff", "UTF-8"),
        (b"[" * 100_000, "nested"),
        (b"9" * 5000, "number far too long"),
        (b"[]", "expected an object"),
        (b'{"version": 1, "version": 1, "devices": {}}', "'version' stands twice"),
        (b'{"version": 1, "devices": {"d": {}, "d": {}}}', "'d' stands twice"),
        (changed("version", 2), "reads version 1 only"),
        (changed("version", True), "reads version 1 only"),
        (changed("version", ...), "'version' is missing"),
        (changed("devices", ...), "'devices' is missing"),
        (changed("device", {}), "did you mean 'devices'"),
        (changed("devices", []), "devices: expected an object"),
        (changed("devices/a b", {"authentication": SAS}), "'a b' is no id"),
        (changed("devices/leaf", 1), "device 'leaf': expected an object"),
        (changed("devices/leaf/status", "off"), "device 'leaf': 'status' is neither"),
        (changed("devices/leaf/state", "enabled"), "did you mean 'status'"),
        (changed("devices/leaf/authentication", ...), "'authentication' is missing"),
        (changed("devices/leaf/authentication", "sas"), "its 'type' is none of"),
        (changed("devices/leaf/authentication/type", "x509"), "its 'type' is none of"),
        (changed("devices/leaf/authentication/primaryKey", "not base64"), "'primaryKey': the key is not base64"),
        (changed("devices/leaf/authentication/primaryKey", 7), "'primaryKey' is no text"),
        (changed("devices/leaf/authentication/secondaryKey", "YWJj"), "has 3 bytes"),
        (changed("devices/leaf/authentication/secondaryKey", ...), "'secondaryKey' is missing"),
        (changed("devices/leaf/modules/m/authentication", {"type": "certificateAuthority"}), "by keys only"),
        (changed("devices/leaf/modules", {"": {}}), "'' is no id"),
        (changed("devices/cam/authentication/primaryThumbprint", "AB"), "is no thumbprint"),
        (changed("devices/cam/authentication/primaryThumbprint", None), "is no text"),
        (changed("devices/pump/authentication/primaryKey", K1), "unknown member 'primaryKey'"),
        (changed("groups/boards/idPrefix", "a b"), "no beginning of an id"),
        (changed("groups/boards/primaryKey", ...), "'primaryKey' is missing"),
        (changed("groups", {f"g{number}": FULL["groups"]["boards"] for number in range(65)}), "at most 64"),
    ],
)
def test_a_file_that_is_not_exactly_that_is_refused_with_the_place(text: bytes, says: str) -> None:
    with pytest.raises(RosterError, match=says) as refusal:
        read_roster(text)
    assert K1 not in str(refusal.value)


@given(st.integers(0, len(json.dumps(FULL)) - 1), st.binary(max_size=3), st.booleans())
def test_a_mangled_file_is_read_or_refused(at: int, other: bytes, cut: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    text = json.dumps(FULL).encode()
    try:
        read_roster(text[:at] if cut else text[:at] + other + text[at + 1 :])
    except RosterError as refusal:
        seen = str(refusal)
    else:
        seen = ""
    assert K1 not in seen


def test_no_key_in_the_text_of_anything() -> None:
    assert "0123" not in repr(read_roster(json.dumps(FULL).encode()))


def test_a_device_goes_with_its_modules() -> None:
    roster = read_roster(json.dumps(FULL).encode())
    assert set(roster.without(identity("leaf")).registrations) == {identity(one) for one in ("cam", "pump", "sensor")}
    assert identity("leaf") in roster.without(identity("leaf", "m")).registrations


def test_whose_credentials_have_changed() -> None:
    device, module, other = identity("d"), identity("d", "m"), identity("e")
    before = roster_of(Registration(device, KEYS), Registration(module, KEYS), Registration(other, CaSigned()))
    assert before.changed_in(before) == set()
    assert before.changed_in(before.with_registration(Registration(identity("new"), KEYS))) == set()
    assert before.changed_in(before.with_registration(Registration(device, KEYS, enabled=False))) == {device, module}
    assert before.changed_in(before.with_registration(Registration(module, KEYS, enabled=False))) == {module}
    assert before.changed_in(before.without(other)) == {other}
    assert before.changed_in(Roster()) == {device, module, other}


def test_groups_come_and_go() -> None:
    group = Group("g", KEYS, "board-")
    roster = Roster().with_group(group)
    assert roster.groups == {"g": group}
    assert roster.without_group("g") == Roster()
    assert group.takes("board-1")
    assert not group.takes("boar")


@pytest.mark.parametrize(
    "text", ["ab" * 20, "AB:" * 19 + "AB", " ".join(["ab"] * 20), "AB" * 20 + "\n", ":".join(["aB"] * 20)]
)
def test_thumbprints_as_people_paste_them(text: str) -> None:
    assert parse_thumbprint(text) == "AB" * 20


@pytest.mark.parametrize("text", ["", "AB" * 19, "AB" * 21, "XY" * 20, "AB" * 32 + "A"])
def test_what_is_no_thumbprint(text: str) -> None:
    with pytest.raises(ValueError, match="openssl x509"):
        parse_thumbprint(text)


def test_an_entry_without_credentials_leaves_it_to_others_who_logs_in_unless_it_is_disabled() -> None:
    assert Registration(identity("d"), NoCredential()).leaves_login_open
    assert not Registration(identity("d"), NoCredential(), enabled=False).leaves_login_open
    assert not Registration(identity("d"), KEYS).leaves_login_open
