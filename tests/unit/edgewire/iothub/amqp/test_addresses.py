import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.codec.amqp.conditions import NOT_ALLOWED
from edgewire.errors import ProtocolError
from edgewire.iothub.amqp.addresses import Purpose, format_address, is_cbs, parse_address
from edgewire.message import identity
from project_sources import ROOT

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/amqp_addresses.json").read_text())
IDS = st.text("Az09-.%_*?!(),:=@$'", min_size=1, max_size=12)


@pytest.mark.parametrize("row", VECTORS["good"], ids=lambda row: row["rule"])
def test_every_form_of_an_address_is_read(row: dict[str, Any]) -> None:
    assert parse_address(row["address"]) == (identity(row["device"], row["module"]), Purpose(row["purpose"]))


@pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: row["rule"])
def test_any_other_text_is_refused_as_by_edgehub(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_address(row["address"])
    assert refused.value.reply == NOT_ALLOWED


def test_addresses_are_written_with_escaped_ids() -> None:
    owner = identity("a,b", "$edgeHub")
    assert format_address(owner, Purpose.TWIN) == "/devices/a%2Cb/modules/%24edgeHub/twin"
    assert format_address(identity("d"), Purpose.EVENTS, "h:5671") == "amqps://h:5671/devices/d/messages/events"


@pytest.mark.parametrize("purpose", Purpose)
@given(device=IDS, module=st.none() | IDS, host=st.sampled_from(["", "h", "h.example:5671"]))
def test_what_is_written_is_read(purpose: Purpose, device: str, module: str | None, host: str) -> None:
    owner = identity(device, module)
    assert parse_address(format_address(owner, purpose, host)) == (owner, purpose)


@pytest.mark.parametrize("text", ["$cbs", "/$cbs", "amqps://h/$cbs", "$CBS"])
def test_the_node_of_tokens_is_known(text: str) -> None:
    assert is_cbs(text)


@pytest.mark.parametrize("text", ["", "cbs", "$cbs/", "/devices/$cbs/twin", "$cbs\n"])
def test_no_other_node_takes_tokens(text: str) -> None:
    assert not is_cbs(text)


@given(st.text(st.sampled_from("/devicsmountgw$%2F:é \0\n"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ProtocolError):
        parse_address(text)
