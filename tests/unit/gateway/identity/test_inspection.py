import base64
import hmac
import json
from typing import Any
from urllib.parse import quote

import pytest

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from gateway.identity.inspection import ADVICE, Signature, inspect
from project_sources import ROOT

VECTORS: dict[str, Any] = json.loads((ROOT / "tests/vectors/sas.json").read_text())
V01: dict[str, str] = VECTORS["good"][0]
V02: dict[str, str] = VECTORS["good"][1]
NOW = 1_800_000_000.0
URL_ALPHABET = str.maketrans("+/", "-_")


def with_signature(row: dict[str, str], signature: str) -> str:
    resource = sas.parse(row["token"]).resource
    return f"SharedAccessSignature sr={resource}&sig={quote(signature, safe='')}&se=1900000000"


@pytest.mark.parametrize("row", [row for row in VECTORS["wrong"] if "mistake" in row], ids=lambda row: row["rule"])
def test_the_mistake_is_named(row: dict[str, str]) -> None:
    assert inspect(row["token"], row["key"], NOW).signature.value == row["mistake"]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (V01["token"], Signature.GOOD),
        (V01["token"].replace("%3D", "%253D"), Signature.ESCAPED_TWICE),
        (V01["token"].replace("%3D", ""), Signature.NO_PADDING),
        (V02["token"].replace("%2B", "+"), Signature.NOT_ESCAPED),
        (V02["token"].replace("%2B", "+").replace("%3D", ""), Signature.NOT_ESCAPED),
        (with_signature(V02, sas.parse(V02["token"]).signature.translate(URL_ALPHABET)), Signature.URL_ALPHABET),
        (VECTORS["wrong"][3]["token"].replace("9f2963216baea", "9F2963216BAEA"), Signature.HEX_DIGEST),
        (V01["token"].replace("nylj", "AAAA"), Signature.UNKNOWN),
    ],
)
def test_how_the_signature_is_spelt(token: str, expected: Signature) -> None:
    assert inspect(token, V01["key"], NOW).signature is expected


def test_a_signature_without_the_line_feed() -> None:
    resource = sas.parse(V01["token"]).resource
    digest = hmac.digest(sas.decode_key(V01["key"]), f"{resource}1900000000".encode(), "sha256")
    token = with_signature(V01, base64.b64encode(digest).decode())
    assert inspect(token, V01["key"], NOW).signature is Signature.NO_LINE_FEED


def test_a_key_that_is_no_base64_is_tried_as_its_text() -> None:
    assert inspect(V01["token"], "no key", NOW).signature is Signature.UNKNOWN


def test_without_a_key_the_signature_is_not_judged() -> None:
    found = inspect(V01["token"], None, NOW)
    assert found.signature is Signature.NOT_CHECKED
    assert found.audience == "contoso-hub.azure-devices.net/devices/leaf-01"
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("now", "says", "expired"),
    [
        (1_900_000_000 - 86_400 * 30, "30 days from now", False),
        (1_900_000_000 - 90, "90 seconds from now", False),
        (1_900_000_000 + 200, "3 minutes ago", False),
        (1_900_000_000 + 300, "5 minutes ago", True),
        (1_900_000_000 + 9000, "2 hours ago", True),
    ],
)
def test_the_expiry_in_words(now: float, says: str, expired: object) -> None:
    found = inspect(V01["token"], None, now)
    assert found.expiry == f"2030-03-17 17:46:40 UTC, {says}"
    assert found.expired is expired


@pytest.mark.parametrize(
    ("resource", "policy", "says"),
    [
        ("h%2Fdevices%2Fd", "iothubowner", "'iothubowner'"),
        ("h", None, "no device or module"),
        ("h%252Fdevices%252Fd", None, "more than once"),
        ("0ne%2Fregistrations%2Fr", None, "no device or module"),
    ],
)
def test_what_is_odd_beside_the_signature(resource: str, policy: str | None, says: str) -> None:
    token = f"SharedAccessSignature sr={resource}&sig=x&se=1900000000" + (f"&skn={policy}" if policy else "")
    assert any(says in remark for remark in inspect(token, None, NOW).remarks)


def test_what_is_no_token_is_refused() -> None:
    with pytest.raises(ProtocolError):
        inspect("token", None, NOW)


@pytest.mark.parametrize("signature", Signature)
def test_every_finding_has_its_advice(signature: Signature) -> None:
    assert ADVICE[signature]
