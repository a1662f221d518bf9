import pytest

from edgewire.errors import ProtocolError
from edgewire.message import identity
from gateway.identity.credentials import Claim, claimed_identity

QUERY = "/?api-version=2021-04-12"


def test_the_client_id_is_the_identity_in_the_user_name() -> None:
    assert claimed_identity("d1", f"hub/d1{QUERY}").identity == identity("d1")
    assert claimed_identity("d1/m1", f"hub/d1/m1{QUERY}").identity == identity("d1", "m1")
    assert claimed_identity("d1", f"hub/d1{QUERY}").hub == "hub"


@pytest.mark.parametrize(
    "client_id", ["", "D1", "d1 ", "d1.", "d1/", "d1\0", "d1\u200b", "d2", "d1/m1", "d%31", "d1%2F", "../d1", "d1\n"]
)
def test_any_other_client_id_is_refused(client_id: str) -> None:
    with pytest.raises(ProtocolError, match="expected 'd1'"):
        claimed_identity(client_id, f"hub/d1{QUERY}")


def test_a_module_by_its_devices_client_id_is_refused() -> None:
    with pytest.raises(ProtocolError, match="expected 'd1/m1'"):
        claimed_identity("d1", f"hub/d1/m1{QUERY}")


def test_no_user_name_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no user name"):
        claimed_identity("d1", None)


def test_no_secret_in_the_text_of_a_claim() -> None:
    claim = Claim(identity=identity("d"), hub="h", token="secret", certificates=(b"secret",), now=0.0)
    assert "secret" not in repr(claim)
