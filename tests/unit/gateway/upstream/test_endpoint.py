import pytest

from gateway.upstream.endpoint import MAX_CONNECTION_STRING_CHARS, AccessError, read_connection_string, read_kafka_login

KEY = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
GOOD = f"Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey={KEY};EntityPath=telemetry"


def test_a_connection_string_says_where_and_who() -> None:
    access = read_connection_string(GOOD + "\n")
    assert (access.host, access.event_hub) == ("ns.servicebus.windows.net", "telemetry")
    assert (access.policy, access.key, access.token) == ("send", KEY, "")


def test_that_of_a_namespace_needs_the_name_from_the_settings() -> None:
    assert read_connection_string(GOOD.replace(";EntityPath=telemetry", ""), "other").event_hub == "other"
    assert read_connection_string(GOOD, "Telemetry").event_hub == "Telemetry"


def test_a_token_may_stand_for_the_key() -> None:
    text = "Endpoint=sb://ns/;SharedAccessSignature=SharedAccessSignature sr=sb%3A%2F%2Fns&sig=x%3D&se=1;EntityPath=t"
    assert read_connection_string(text).token == "SharedAccessSignature sr=sb%3A%2F%2Fns&sig=x%3D&se=1"


@pytest.mark.parametrize(
    ("text", "event_hub", "said"),
    [
        ("", "", "Endpoint is missing"),
        (GOOD.replace("sb://", "https://"), "", "sb://<namespace>"),
        (GOOD.replace(";EntityPath=telemetry", ""), "", "nothing says which Event Hub"),
        (GOOD, "another", "the settings say eventHub 'another'"),
        (GOOD.replace("SharedAccessKeyName=send;", ""), "", "SharedAccessKeyName and SharedAccessKey"),
        (GOOD + ";SharedAccessSignature=x", "", "SharedAccessKeyName and SharedAccessKey"),
        (GOOD + ";UseDevelopmentEmulator=true", "", "without TLS"),
        (GOOD + f";Key={KEY}", "", "a field that is none of Endpoint"),
        (KEY, "", "a field that is none of Endpoint"),
        ("x" * (MAX_CONNECTION_STRING_CHARS + 1), "", "no connection string"),
    ],
)
def test_what_is_wrong_is_said_without_the_key(text: str, event_hub: str, said: str) -> None:
    with pytest.raises(AccessError) as refused:
        read_connection_string(text, event_hub)
    assert said in str(refused.value)
    assert KEY not in str(refused.value)


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(read_connection_string(GOOD))


def test_a_kafka_login_is_a_user_and_a_password() -> None:
    access = read_kafka_login("gateway:a:b\n")
    assert (access.user, access.password) == ("gateway", "a:b")
    assert "a:b" not in repr(access)


def test_event_hubs_takes_the_whole_connection_string_as_the_password() -> None:
    access = read_kafka_login(GOOD)
    assert (access.user, access.password) == ("$ConnectionString", GOOD)


@pytest.mark.parametrize("text", ["", "gateway", ":x", "gateway:", "a:b\nc:d"])
def test_what_is_no_login_is_told(text: str) -> None:
    with pytest.raises(AccessError, match="neither user:password"):
        read_kafka_login(text)
