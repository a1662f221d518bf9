import base64
import hmac
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.sas import Audience, Verdict
from edgewire.message import identity
from project_sources import ROOT

VECTORS: dict[str, Any] = json.loads((ROOT / "tests/vectors/sas.json").read_text())
GOOD: list[dict[str, str]] = VECTORS["good"]
KEY = sas.decode_key(GOOD[0]["key"])
BEFORE = 1_800_000_000.0
EXPIRY = 1_900_000_000


def key_of(row: dict[str, str]) -> bytes:
    return row["key"].encode() if row.get("keyIs") == "text" else sas.decode_key(row["key"])


def verdict(token: str, *keys: bytes, now: float = BEFORE) -> Verdict:
    return sas.verify(sas.parse(token), keys, now)


@pytest.mark.parametrize("row", GOOD + VECTORS["tolerated"], ids=lambda row: row["rule"])
def test_good_tokens_verify(row: dict[str, str]) -> None:
    assert verdict(row["token"], key_of(row)) is Verdict.GOOD
    assert verdict(row["token"], b"another key", key_of(row)) is Verdict.GOOD
    assert verdict(row["token"], b"another key") is Verdict.WRONG_KEY
    assert verdict(row["token"]) is Verdict.WRONG_KEY


@pytest.mark.parametrize("row", [row for row in GOOD if "device" in row], ids=lambda row: row["rule"])
def test_good_tokens_are_for_their_device_or_module(row: dict[str, str]) -> None:
    found = sas.audience(sas.parse(row["token"]))
    assert found.host == "contoso-hub.azure-devices.net"
    assert found.covers(identity(row["device"], row.get("module")))


@pytest.mark.parametrize("row", VECTORS["wrong"] + VECTORS["signatures"], ids=lambda row: row["rule"])
def test_wrong_signatures_are_refused(row: dict[str, str]) -> None:
    assert verdict(row["token"], key_of(row)) is Verdict.WRONG_KEY


@pytest.mark.parametrize("row", VECTORS["malformed"], ids=lambda row: row["rule"])
def test_what_is_not_exactly_a_token_is_refused(row: dict[str, str]) -> None:
    with pytest.raises(ProtocolError, match="token"):
        sas.parse(row["token"])


def test_an_expired_token_with_a_good_signature_is_told_apart() -> None:
    row = VECTORS["expired"][0]
    assert verdict(row["token"], key_of(row)) is Verdict.EXPIRED
    assert verdict(row["token"], b"another key") is Verdict.WRONG_KEY


@pytest.mark.parametrize(
    ("late_s", "skew_s", "expected"),
    [
        (-1, 0, Verdict.GOOD),
        (0, 0, Verdict.EXPIRED),
        (299.9, 300, Verdict.GOOD),
        (300, 300, Verdict.EXPIRED),
        (301, 300, Verdict.EXPIRED),
    ],
)
def test_a_token_counts_until_its_expiry_and_the_skew(late_s: float, skew_s: float, expected: Verdict) -> None:
    token = sas.parse(GOOD[0]["token"])
    assert sas.verify(token, [KEY], EXPIRY + late_s, skew_s=skew_s) is expected


def test_an_expiry_may_carry_decimals_and_is_signed_with_them() -> None:
    made = sas.make("h/devices/d", KEY, EXPIRY)
    assert verdict(made.replace(f"se={EXPIRY}", f"se={EXPIRY}.5"), KEY) is Verdict.WRONG_KEY
    signature = quote(base64.b64encode(hmac.digest(KEY, b"h%2Fdevices%2Fd\n1900000000.5", "sha256")), safe="")
    token = sas.parse(f"SharedAccessSignature sr=h%2Fdevices%2Fd&sig={signature}&se=1900000000.5")
    assert sas.verify(token, [KEY], BEFORE) is Verdict.GOOD
    assert token.expires_at == 1_900_000_000.5


def test_tokens_are_made_as_the_python_client_makes_them() -> None:
    hub = "contoso-hub.azure-devices.net"
    assert sas.make(sas.resource_of(hub, identity("leaf-01")), KEY, EXPIRY) == GOOD[0]["token"]
    assert sas.make(sas.resource_of(hub, identity("edge-01", "gateway")), KEY, EXPIRY) == GOOD[1]["token"]
    assert sas.make(hub, KEY, EXPIRY, "iothubowner") == GOOD[4]["token"]
    assert sas.make(sas.resource_of(hub, identity("a*b=c@1")), KEY, EXPIRY) == GOOD[5]["token"]


def test_the_key_of_a_device_in_a_group_is_derived() -> None:
    group_key = sas.decode_key(VECTORS["groupKey"])
    assert sas.encode_key(sas.derive_device_key(group_key, VECTORS["registrationId"])) == VECTORS["derivedKey"]


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("h%2Fdevices%2Fd", Audience("h", ("devices", "d"))),
        ("H:8883%2fdevices%2fD", Audience("h", ("devices", "D"))),
        ("h/devices/d/?api-version=2016-11-14", Audience("h", ("devices", "d"))),
        ("h%2Fdevices%2Fd%2F%3Fapi-version%3D2016-11-14", Audience("h", ("devices", "d"))),
        ("h", Audience("h", ())),
        ("h%252Fdevices%252Fd", Audience("h%2fdevices%2fd", ())),
    ],
)
def test_the_audience_is_decoded_once(resource: str, expected: Audience) -> None:
    token = sas.parse(f"SharedAccessSignature sr={resource}&sig=x&se=1")
    assert sas.audience(token) == expected


def test_an_audience_that_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(ProtocolError, match="'sr'"):
        sas.audience(sas.parse("SharedAccessSignature sr=h%2&sig=x&se=1"))


@pytest.mark.parametrize(
    ("path", "device", "module", "covered"),
    [
        ("devices/d", "d", None, True),
        ("devices/d", "d", "m", True),
        ("devices/d/modules/m", "d", "m", True),
        ("devices/d/modules/m", "d", None, False),
        ("devices/d/modules/m", "d", "n", False),
        ("devices/dev1", "dev10", None, False),
        ("devices/dev10", "dev1", None, False),
        ("devices/D", "d", None, False),
        ("devices/d/", "d", None, False),
        ("devices", "d", None, False),
        ("", "d", None, False),
        ("devices//d", "d", None, False),
        ("devices/other/../d", "d", None, False),
        ("devices/d/messages/events", "d", None, False),
        ("modules/d", "d", None, False),
        ("devices/a%2Ab", "a*b", None, True),
        ("devices/a%252Ab", "a*b", None, False),
    ],
)
def test_authority_goes_by_whole_segments(path: str, device: str, module: str | None, covered: bool) -> None:  # noqa: FBT001 - a column of the table
    assert Audience("h", tuple(path.split("/"))).covers(identity(device, module)) is covered


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Hub.Example", "hub.example"),
        ("h:8883", "h"),
        ("[::1]:443", "[::1]"),
        ("[::1]", "[::1]"),
        ("h:x", "h:x"),
        ("", ""),
    ],
)
def test_hosts_are_compared_in_lower_case_without_their_port(text: str, host: str) -> None:
    assert sas.host_of(text) == host


@pytest.mark.parametrize(
    "text", ["", "not base64!", "YWJj", "é", "A" * 43, base64.b64encode(bytes(65)).decode(), " " * 44]
)
def test_a_key_that_is_none_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="key") as refusal:
        sas.decode_key(text)
    assert not text or text not in str(refusal.value)


def test_no_signature_in_the_text_of_a_token() -> None:
    token = sas.parse(GOOD[0]["token"])
    assert token.signature not in repr(token)


CHARACTERS = st.characters(codec="utf-8") | st.sampled_from("&=%+ \n\0se")


@given(st.sampled_from(GOOD), st.data())
def test_a_token_with_any_character_changed_never_verifies(row: dict[str, str], data: st.DataObject) -> None:
    token = row["token"]
    at = data.draw(st.integers(0, len(token) - 1))
    kind = data.draw(st.sampled_from(["change", "insert", "delete", "cut"]))
    other = data.draw(CHARACTERS)
    mangled = {
        "change": token[:at] + other + token[at + 1 :],
        "insert": token[:at] + other + token[at:],
        "delete": token[:at] + token[at + 1 :],
        "cut": token[:at],
    }[kind]
    try:
        parsed = sas.parse(mangled)
        found = sas.verify(parsed, [key_of(row)], BEFORE)
    except ProtocolError:
        return
    # What still verifies says the same as before: the case of a field's name or of an escape, or the policy's name.
    same = sas.parse(token)
    good = (parsed.resource, parsed.expiry, parsed.signature) == (same.resource, same.expiry, same.signature)
    assert good is (found is Verdict.GOOD)


@given(st.text(max_size=200))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    for token in (text, f"SharedAccessSignature {text}", f"SharedAccessSignature sr={text}&sig={text}&se=1"):
        try:
            parsed = sas.parse(token)
            sas.audience(parsed)
        except ProtocolError:
            continue
        assert sas.verify(parsed, [KEY], BEFORE) is Verdict.WRONG_KEY


def test_a_token_of_a_megabyte_is_refused() -> None:
    with pytest.raises(ProtocolError, match="4096"):
        sas.parse("SharedAccessSignature sr=" + "x" * 1_000_000)
