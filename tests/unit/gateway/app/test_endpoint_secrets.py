from pathlib import Path

import pytest

from gateway.app.endpoint_secrets import EndpointSecrets, missing
from gateway.upstream.endpoint import (
    MAX_CONNECTION_STRING_CHARS,
    AccessError,
    EndpointSettings,
    EndpointType,
    KafkaLogin,
)

ARCHIVE = EndpointSettings(name="archive", secret="archive")
VARIABLE = "GATEWAY_ENDPOINT_ARCHIVE_CONNECTION_STRING"
GOOD = "Endpoint=sb://ns/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;EntityPath=t"


def test_the_variable_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("from the file")
    assert EndpointSecrets(tmp_path, {VARIABLE: "from the variable"}).connection_string(ARCHIVE) == "from the variable"
    assert EndpointSecrets(tmp_path, {VARIABLE: ""}).connection_string(ARCHIVE) == "from the file"


def test_the_file_is_read_anew_each_time(tmp_path: Path) -> None:
    secrets = EndpointSecrets(tmp_path, {})
    (tmp_path / "archive").write_text("old")
    assert secrets.connection_string(ARCHIVE) == "old"
    (tmp_path / "archive").write_text("new")
    assert secrets.connection_string(ARCHIVE) == "new"


def test_what_is_not_there_is_named_with_both_places(tmp_path: Path) -> None:
    with pytest.raises(AccessError) as absent:
        EndpointSecrets(tmp_path, {}).connection_string(ARCHIVE)
    assert str(tmp_path / "archive") in str(absent.value)
    assert VARIABLE in str(absent.value)


@pytest.mark.parametrize(("content", "said"), [(b" \n", "is empty"), (b"\xff", "it is no text")])
def test_a_file_that_is_of_no_use_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(AccessError, match=said):
        EndpointSecrets(tmp_path, {}).connection_string(ARCHIVE)


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    with pytest.raises(AccessError, match="cannot be read"):
        EndpointSecrets(tmp_path, {}).connection_string(ARCHIVE)


def test_no_more_is_read_than_a_connection_string_can_have(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("x" * 100_000)
    assert len(EndpointSecrets(tmp_path, {}).connection_string(ARCHIVE)) == MAX_CONNECTION_STRING_CHARS + 1


def test_certificates_must_be_there_if_they_are_named(tmp_path: Path) -> None:
    secrets = EndpointSecrets(tmp_path, {})
    assert secrets.authorities(ARCHIVE) is None
    named = EndpointSettings(name="archive", authorities="ca.pem")
    with pytest.raises(AccessError, match=r"ca\.pem, is not there"):
        secrets.authorities(named)
    (tmp_path / "ca.pem").write_text("")
    assert secrets.authorities(named) == tmp_path / "ca.pem"


def test_check_is_told_what_is_missing_or_wrong(tmp_path: Path) -> None:
    other = EndpointSettings(name="other", secret="other")
    (tmp_path / "archive").write_text(GOOD)
    (tmp_path / "other").write_text("Endpoint=sb://ns/")
    assert list(missing([ARCHIVE], tmp_path, {})) == []
    [(name, said)] = missing([ARCHIVE, other], tmp_path, {})
    assert name == "other"
    assert "no EntityPath" in said


def test_a_broker_that_asks_for_nothing_needs_no_secret(tmp_path: Path) -> None:
    kafka = EndpointSettings(name="k", type=EndpointType.KAFKA, secret="k")
    open_to_all = EndpointSettings(name="o", type=EndpointType.KAFKA, secret="o", login=KafkaLogin.NONE)
    [(name, said)] = missing([kafka, open_to_all], tmp_path, {})
    assert (name, "no connection string" in said) == ("k", True)
    (tmp_path / "k").write_text("user:password")
    assert list(missing([kafka, open_to_all], tmp_path, {})) == []
