import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub.username import Username, format_username, parse_username
from edgewire.message import identity
from project_sources import ROOT

VECTORS: dict[str, list[dict[str, Any]]] = json.loads((ROOT / "tests/vectors/usernames.json").read_text())


@pytest.mark.parametrize("row", VECTORS["good"], ids=lambda row: row["rule"])
def test_every_known_form_is_read(row: dict[str, Any]) -> None:
    expected = dict(row["expect"])
    expected["auth_chain"] = tuple(expected.get("auth_chain", ()))
    assert parse_username(row["username"]) == Username(**expected)


@pytest.mark.parametrize("row", VECTORS["refused"], ids=lambda row: row["rule"])
def test_any_other_form_is_refused_with_what_was_expected(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=r"expected '<hub>|more than 4096"):
        parse_username(row["username"])


def test_the_client_id_that_belongs_to_it() -> None:
    assert parse_username("h/d/?api-version=1").client_id == "d"
    assert parse_username("h/d/m/?api-version=1").client_id == "d/m"
    assert parse_username("h/d/m/?api-version=1").identity == identity("d", "m")


def test_what_is_written_is_read() -> None:
    full = Username(
        hub="hub.example",
        device="d",
        module="m",
        api_version="2021-04-12",
        client_type="a/b c&d",
        model_id="dtmi:x;1",
        auth_chain=("d/m", "e"),
    )
    assert parse_username(format_username(full)) == full
    assert format_username(Username(hub="h", device="d")) == "h/d/?api-version=2021-04-12"


@given(st.text(st.sampled_from("h/?d=&api-version%2F$ \0é"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        username = parse_username(text)
    except ProtocolError:
        return
    assert username.hub
    assert username.device
