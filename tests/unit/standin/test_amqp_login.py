import pytest

from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.sasl import PlainLogin
from edgewire.message import identity
from standin.amqp_login import PolicyLogin, RawLogin, read_login, read_raw_login


def test_a_policy_logs_in_at_the_root_of_the_hub() -> None:
    """iothub_wire.md §2.1."""
    found = read_login(b"\0iothubowner@sas.root.Contoso-Hub\0token")
    assert found == PolicyLogin(policy="iothubowner", hub="contoso-hub", token="token")
    assert "token" not in repr(found).replace("PolicyLogin", "")


def test_a_device_logs_in_as_ever() -> None:
    found = read_login(b"\0leaf@sas.contoso-hub\0token")
    assert found == PlainLogin(identity=identity("leaf"), hub="contoso-hub", token="token")


def test_a_name_that_others_know_is_given_as_it_came() -> None:
    assert read_raw_login(b"\0scope/registrations/reg\0secret") == RawLogin("scope/registrations/reg", "secret")


@pytest.mark.parametrize("response", [b"", b"\0name", b"\0a\0b\0c", b"\0\xff\0s3cret", b"\0name\0" + b"x" * 20_000])
def test_what_is_no_login_is_refused_without_its_token(response: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        read_raw_login(response)
    assert "s3cret" not in str(raised.value)
