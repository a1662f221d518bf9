import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.sasl import PlainLogin, hub_label, read_plain, write_plain
from edgewire.message import identity
from project_sources import ROOT

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/amqp_sasl.json").read_text())
IDS = st.text("Az09-.%_*?!(),:=@$'", min_size=1, max_size=12)


@pytest.mark.parametrize("row", VECTORS["good"], ids=lambda row: row["rule"])
def test_every_known_form_is_read(row: dict[str, Any]) -> None:
    login = read_plain(row["response"].encode("utf-8"))
    assert login == PlainLogin(identity=identity(row["device"], row["module"]), hub=row["hub"], token=row["token"])


@pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: row["rule"])
def test_any_other_form_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_plain(row["response"].encode("utf-8"))


def test_the_whole_name_of_the_hub_is_refused_with_what_was_expected() -> None:
    with pytest.raises(ProtocolError, match=r"first label .* expected '<device>@sas\.<hub>'"):
        read_plain(b"\0d@sas.h.azure-devices.net\0t")


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not UTF-8"):
        read_plain(b"\0d@sas.h\0\xff")


def test_a_token_stands_in_no_text() -> None:
    login = read_plain(b"\0d@sas.h\0secret")
    assert "secret" not in repr(login)
    with pytest.raises(ProtocolError) as refused:
        read_plain(b"\0d@sas.h.x\0secret")
    assert "secret" not in str(refused.value)


def test_it_is_written_as_uamqp_writes_it() -> None:
    login = PlainLogin(identity=identity("d", "$edgeHub"), hub="h", token="t")
    assert write_plain(login) == b"\0d/modules/%24edgeHub@sas.h\0t"


@given(device=IDS, module=st.none() | IDS, token=st.text("x=& %", min_size=1))
def test_what_is_written_is_read(device: str, module: str | None, token: str) -> None:
    login = PlainLogin(identity=identity(device, module), hub="my-hub_1", token=token)
    assert read_plain(write_plain(login)) == login


def test_user_names_call_a_hub_by_its_first_label() -> None:
    assert hub_label("MyHub.azure-devices.net") == "myhub"
    assert hub_label("gateway") == "gateway"


@given(st.binary(max_size=60) | st.text(st.sampled_from("\0d/modules@sas.h%4é"), max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(response: bytes) -> None:
    with suppress(ProtocolError):
        read_plain(response)
