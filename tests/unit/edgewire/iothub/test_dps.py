from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.dps import (
    Poll,
    Register,
    Registrant,
    format_result_topic,
    format_target,
    is_address,
    is_login,
    is_path,
    is_registration_id,
    is_scope,
    is_token_for,
    parse_address,
    parse_login,
    parse_path,
    parse_topic,
)

REG = Registrant("0ne00ABCDEF", "reg-01")


@pytest.mark.parametrize(
    "query",
    [
        "api-version=2019-03-31&ClientVersion=azure-iot-device-provisioning%2F2.14.0%28python%29",  # Python
        "api-version=2019-03-31&ClientVersion=azure-iot-provisioning-device%2F1.9.1",  # Node
        "api-version=2021-06-01&ClientVersion=1.0/x y",  # C
    ],
)
def test_the_user_names_of_the_sdks_are_read(query: str) -> None:
    assert is_login(f"0ne00ABCDEF/registrations/reg-01/{query}")
    assert parse_login(f"0ne00ABCDEF/registrations/reg-01/{query}") == REG


@pytest.mark.parametrize(
    "username",
    [
        "",
        "hub.test/leaf/?api-version=2021-04-12",
        "hub.test/registrations/reg-01/api-version=2016-11-14",  # a module of a device that is so called
        "0ne00ABCDEF/registrations/reg-01/?api-version=2019-03-31",
        "0ne00ABCDEF/registrations/reg-01",
        "0ne00ABCDEF/registrations/reg-01/api-version=" + "1" * 4096,
    ],
)
def test_user_names_of_the_hub_are_none_of_provisioning(username: str) -> None:
    assert not is_login(username)
    with pytest.raises(ProtocolError):
        parse_login(username)


@pytest.mark.parametrize("registration", ["", "a b", "a/b", "reg.", "reg_", "x" * 129, "ä"])
def test_what_is_no_registration_id_is_refused(registration: str) -> None:
    assert not is_registration_id(registration)
    with pytest.raises(ProtocolError):
        parse_login(f"0ne00ABCDEF/registrations/{registration}/api-version=1")


@pytest.mark.parametrize("registration", ["a", "A-1", "a.b_c:d-", "x" * 128])
def test_registration_ids(registration: str) -> None:
    assert is_registration_id(registration)
    assert Registrant("s", registration).key == registration.lower()


@pytest.mark.parametrize("form", ["{}", "amqps://dps.test/{}", "amqp://dps.test:5672/{}"])
def test_addresses_are_read_in_each_form(form: str) -> None:
    address = form.format("0ne00ABCDEF/registrations/reg-01")
    assert is_address(address)
    assert parse_address(address) == REG


@pytest.mark.parametrize("address", ["", "$cbs", "/devices/d/messages/events", "a/registrations/b/c"])
def test_other_addresses_are_none(address: str) -> None:
    assert not is_address(address)
    with pytest.raises(ProtocolError):
        parse_address(address)


def test_paths_are_read() -> None:
    assert parse_path("/0ne00ABCDEF/registrations/reg-01/register") == (REG, Register())
    assert parse_path("/0ne00ABCDEF/registrations/reg%2D01/operations/4.a%2Eb") == (REG, Poll("4.a.b"))


@pytest.mark.parametrize(
    "path", ["/", "/s/registrations/r", "/s/registrations/r/register/x", "/s/registrations/r/operations/"]
)
def test_other_paths_are_none(path: str) -> None:
    assert not is_path(path)
    with pytest.raises(ProtocolError):
        parse_path(path)


@pytest.mark.parametrize("registration", ["reg-01", "a:b", "A._-z"])
def test_targets_are_read_as_they_are_written(registration: str) -> None:
    who = Registrant("0ne00ABCDEF", registration)
    method, target = format_target(who, Register())
    assert (method, parse_path(target.partition("?")[0])) == ("PUT", (who, Register()))
    method, target = format_target(who, Poll("4.a/b?c"))
    assert (method, parse_path(target.partition("?")[0])) == ("GET", (who, Poll("4.a/b?c")))
    assert target.endswith("?api-version=2019-03-31")


@pytest.mark.parametrize(
    ("token", "good"),
    [
        # iothub_wire.md §7.2: V07 and V08, with Java's empty name of a key, and small letters.
        ("sr=0ne00ABCDEF%2Fregistrations%2Freg-01&sig=cQIctL5Muj4eQsK%3D&se=1900000000", True),
        ("sr=0ne00ABCDEF/registrations/reg-01&sig=DK2e23r%3D&se=1900000000&skn=registration", True),
        ("sr=0ne00ABCDEF/registrations/reg-01&sig=DK2e23r%3D&se=1900000000&skn=", True),
        ("sr=0NE00abcdef/registrations/REG-01&sig=DK2e23r%3D&se=1900000000", True),
        ("sr=0ne00ABCDEF/registrations/reg-01&sig=DK2e23r%3D&se=1900000000&skn=iothubowner", False),
        ("sr=0ne00ABCDEF/registrations/reg-02&sig=DK2e23r%3D&se=1900000000", False),
        ("sr=0ne00ABCDEF/registrations&sig=DK2e23r%3D&se=1900000000", False),
        ("sr=0ne00ABCDEF/registrations/reg-01/x&sig=DK2e23r%3D&se=1900000000", False),
        ("sr=0ne00OTHER/registrations/reg-01&sig=DK2e23r%3D&se=1900000000", False),
        ("sr=0ne00ABCDEF/devices/reg-01&sig=DK2e23r%3D&se=1900000000", False),
    ],
)
def test_a_token_is_for_one_registration(token: str, good: bool) -> None:  # noqa: FBT001 - a row
    assert is_token_for(sas.parse(f"SharedAccessSignature {token}"), REG) is good


def test_topics_are_read() -> None:
    assert parse_topic("$dps/registrations/PUT/iotdps-register/?$rid=a-1") == Register("a-1")
    question = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=4.x%2Ey"
    assert parse_topic(question) == Poll("4.x.y", "2")


@pytest.mark.parametrize(
    "topic",
    [
        "$dps/registrations/PUT/iotdps-register/",
        "$dps/registrations/PUT/iotdps-register/?$rid=",
        "$dps/registrations/PUT/iotdps-register/?$rid=" + "r" * 257,
        "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=1",
        "$dps/registrations/GET/iotdps-get-operationstatus/?operationId=4.x",
        "$dps/registrations/res/200/?$rid=1",
        "devices/d/messages/events/",
    ],
)
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(ProtocolError):
        parse_topic(topic)


def test_answers_have_one_dollar_before_rid_and_none_before_retry_after() -> None:
    assert format_result_topic(202, "7", 3) == "$dps/registrations/res/202/?$rid=7&retry-after=3"
    assert format_result_topic(200, "7", None) == "$dps/registrations/res/200/?$rid=7"


@pytest.mark.parametrize(("scope", "good"), [("0ne00ABCDEF", True), ("", False), ("a.b", False), ("a\n", False)])
def test_scopes(scope: str, good: bool) -> None:  # noqa: FBT001 - a row
    assert is_scope(scope) is good


@given(
    st.text(alphabet=st.sampled_from("$dps/registrations/PUTGET?&=%2F-.:0neaA \u00e4\n"), max_size=80), st.booleans()
)
def test_mangled_names_are_read_or_refused(text: str, is_tail: bool) -> None:  # noqa: FBT001 - a row
    forms = {
        parse_login: "0ne/registrations/",
        parse_address: "0ne/registrations/",
        parse_path: "/0ne/registrations/",
        parse_topic: "$dps/registrations/GET/iotdps-get-operationstatus/?",
    }
    for parse, head in forms.items():
        with suppress(ProtocolError):
            parse(head + text if is_tail else text)
