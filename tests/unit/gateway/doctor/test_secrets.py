import base64
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.doctor.secrets import HIDDEN, Secrets, forms_of, hidden_json, is_secret_name, known_secrets

KEY = base64.b64encode(bytes(range(0, 256, 8))).decode()


@pytest.mark.parametrize("secret", [KEY, "pa ss+wörd/&=", "gAR=den-h0se"])
def test_a_secret_is_found_in_every_form(secret: str) -> None:
    secrets = Secrets([secret])
    raw = secret.encode()
    shown = [
        secret,
        quote(secret, safe=""),
        re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
        json.dumps(secret),
        raw.hex(),
        raw.hex().upper(),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
    ]
    for text in shown:
        hidden, count = secrets.hide(f"before {text} behind")
        assert count >= 1, text
        assert HIDDEN in hidden
        assert not secrets.are_in(hidden.encode())
        assert hidden.startswith("before ")
        assert hidden.endswith(" behind")


def test_the_bytes_of_a_key_are_found_too() -> None:
    raw = base64.b64decode(KEY)
    for text in (raw.hex(), raw.hex().upper(), base64.urlsafe_b64encode(raw).decode()):
        assert Secrets([KEY]).hide(text)[0] == HIDDEN


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "abcd"])
def test_a_secret_within_longer_base64_is_found(before: str) -> None:
    text = base64.b64encode(f"{before}{KEY} and more".encode()).decode()
    hidden, count = Secrets([KEY]).hide(text)
    assert count == 1
    assert len(hidden) < len(text)


def test_a_longer_secret_goes_before_its_beginning() -> None:
    assert Secrets(["garden", "garden-hose"]).hide("garden-hose garden")[0] == f"{HIDDEN} {HIDDEN}"


def test_short_words_are_no_secrets() -> None:
    assert Secrets(["abc"]).hide("abc") == ("abc", 0)
    assert forms_of("x") == set() or min(map(len, forms_of("x"))) >= 4


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("SharedAccessKey=abc/d+e==;x", f"SharedAccessKey={HIDDEN};x"),
        ("SharedAccessSignature sr=h&sig=x&se=1", f"SharedAccessSignature {HIDDEN}"),
        ("GET /login?token=abcdef HTTP", f"GET /login?token={HIDDEN} HTTP"),
        ("http://user:pw@proxy:3128", f"http://{HIDDEN}@proxy:3128"),
        ("scrypt$14$salt$hash", f"scrypt${HIDDEN}"),
        ("Authorization: Bearer abcdefgh.ijk", f"Authorization: Bearer {HIDDEN}"),
        (
            "a -----BEGIN PRIVATE KEY-----\nMII\nxx\n-----END PRIVATE KEY----- b",
            f"a -----BEGIN PRIVATE KEY-----{HIDDEN}-----END PRIVATE KEY----- b",
        ),
        ("-----BEGIN EC PRIVATE KEY-----\nMII", f"-----BEGIN EC PRIVATE KEY-----{HIDDEN}"),
    ],
)
def test_what_has_the_form_of_a_secret_goes_whoever_knows_it(text: str, hidden: str) -> None:
    assert Secrets([]).hide(text)[0] == hidden


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("primaryKey", True),
        ("GATEWAY_ENDPOINT_A_CONNECTION_STRING", True),
        ("GATEWAY_SERVICE_CONNECTION_STRING", True),
        ("EdgeHubConnectionString", True),
        ("wifiPassword", True),
        ("MY_API_TOKEN", True),
        ("GATEWAY_KEY_FILE", False),
        ("GATEWAY_TOKEN_SKEW_S", False),
        ("GATEWAY_BROKER_PASSWORD_FILE", False),
        ("IOTEDGE_MODULEGENERATIONID", False),
        ("temperature", False),
    ],
)
def test_names_of_secrets(name: str, *, secret: bool) -> None:
    assert is_secret_name(name) is secret


@pytest.mark.parametrize(
    "address",
    [
        "http://user:pass/word@proxy:1",
        "http://user:pass#word@proxy:1",
        "user:pass-word@proxy:1",
        "http://user@site:pass@word@proxy:1",
        "http://user:pass word@proxy:1",
        "http://user:pass%2Fword@proxy:1",
        "http://user:pass-word@proxy:1/?mail=a@b",
        "http://user:[pass-word@proxy:1",
    ],
)
def test_the_password_in_an_address_is_known_also_where_the_address_cannot_be_read(
    address: str, tmp_path: Path
) -> None:
    secrets = known_secrets({"HTTPS_PROXY": address}, tmp_path, None, ())
    for text in (address, f"cannot dial {address}: refused"):
        hidden = secrets.hide(text)[0]
        assert "pass" not in hidden
        assert "word" not in hidden


def test_values_below_a_secrets_name_are_hidden_and_nothing_else() -> None:
    value = {"a": {"password": "x", "n": 1}, "keys": ["p", {"b": "c"}], "token": None}
    assert hidden_json(value) == {"a": {"password": HIDDEN, "n": 1}, "keys": [HIDDEN, {"b": "c"}], "token": None}


def test_secrets_are_found_wherever_the_gateway_keeps_them(tmp_path: Path) -> None:
    keys = {"type": "sas", "primaryKey": "device-primary", "secondaryKey": "device-secondary"}
    devices = {"token-meter": {"status": "enabled", "authentication": keys}}
    (tmp_path / "devices.json").write_text(json.dumps({"version": 1, "devices": devices}))
    (tmp_path / "tokens.json").write_text(json.dumps({"version": 1, "tokens": {"boiler": "presented-token"}}))
    (tmp_path / "page-token").write_text("the-page-token\n")
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "kafka").write_text("user:kafka-password")
    (folder / "hub").write_text("Endpoint=sb://x/;SharedAccessKey=hub-key")
    (folder / "large").write_bytes(bytes(2 << 20))
    environ = {"PROXY": "http://user:proxy-password@p:1", "A_TOKEN": "env-token", "PATH": "/usr/bin"}
    secrets = known_secrets(environ, tmp_path, folder, [tmp_path / "none"])
    words = (
        "device-primary device-secondary presented-token the-page-token kafka-password hub-key proxy-password env-token"
    )
    for word in words.split():
        assert secrets.are_in(word.encode()), word
    for word in ("enabled", "/usr/bin", "boiler", "token-meter"):
        assert not secrets.are_in(word.encode()), word
