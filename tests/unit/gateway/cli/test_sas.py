import argparse
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub import sas as tokens
from edgewire.message import identity
from gateway.cli import sas
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import CaSigned, Group, Registration, Roster, SymmetricKeys
from project_sources import ROOT

VECTORS: dict[str, Any] = json.loads((ROOT / "tests/vectors/sas.json").read_text())
TOKEN: str = VECTORS["good"][0]["token"]
K1: str = VECTORS["good"][0]["key"]
KEYS = SymmetricKeys(tokens.decode_key(K1), b"fedcba9876543210" * 2)
LEAF = identity("leaf-01")
MODULE = identity("leaf-01", "m")


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("IOTEDGE_IOTHUBHOSTNAME", raising=False)
    monkeypatch.setenv("GATEWAY_DATA_DIR", "/nowhere")
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.5)
    entries = (
        Registration(LEAF, KEYS),
        Registration(MODULE, SymmetricKeys(KEYS.secondary, KEYS.primary)),
        Registration(identity("pump"), CaSigned()),
    )
    roster = Roster({entry.identity: entry for entry in entries}, {"boards": Group("boards", KEYS, "board-")})
    Registry(tmp_path / FILE_NAME).edit(lambda _: roster)
    return tmp_path


class Terminal:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def says(self, *arguments: str, code: int = 0) -> str:
        top = argparse.ArgumentParser()
        sas.add_parser(top.add_subparsers(dest="command"))
        assert sas.run(top.parse_args(["sas", *arguments])) == code
        captured = self._capsys.readouterr()
        return captured.out + captured.err

    def makes(self, *arguments: str) -> tokens.Sas:
        return tokens.parse(self.says("make", "--hub", "hub.example", *arguments).removesuffix("\n"))


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


class TestMake:
    def test_by_a_key_given(self, out: Terminal) -> None:
        made = out.makes("--device", "leaf-01", "--key", K1)
        assert made.resource == "hub.example%2Fdevices%2Fleaf-01"
        assert made.expires_at == 1_800_003_600
        assert tokens.is_signed_by(made, [KEYS.primary])

    def test_for_a_module(self, out: Terminal) -> None:
        made = out.makes("--device", "leaf-01", "--module", "m", "--key", K1)
        assert made.resource == "hub.example%2Fdevices%2Fleaf-01%2Fmodules%2Fm"

    @pytest.mark.parametrize(
        ("ttl", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("30d", 2_592_000), ("1w", 604_800)]
    )
    def test_for_as_long_as_asked(self, out: Terminal, ttl: str, seconds: int) -> None:
        assert out.makes("--device", "d", "--key", K1, "--ttl", ttl).expires_at == 1_800_000_000 + seconds

    def test_by_the_registrys_key(self, out: Terminal, data: Path) -> None:
        assert tokens.is_signed_by(out.makes("--device", "leaf-01", "--data", str(data)), [KEYS.primary])
        made = out.makes("--device", "leaf-01", "--module", "m", "--data", str(data))
        assert tokens.is_signed_by(made, [KEYS.secondary])

    def test_by_a_groups_key_registered_or_given(self, out: Terminal, data: Path) -> None:
        derived = tokens.derive_device_key(KEYS.primary, "board-7")
        assert tokens.is_signed_by(out.makes("--device", "board-7", "--data", str(data)), [derived])
        assert tokens.is_signed_by(out.makes("--device", "board-7", "--group-key", K1), [derived])

    def test_by_a_key_from_the_environment_or_standard_input(
        self, out: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BOARD_KEY", K1)
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{K1}\n"))
        assert out.makes("--device", "d", "--key", "env:BOARD_KEY") == out.makes("--device", "d", "--key", "-")

    def test_for_programs(self, out: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("IOTEDGE_IOTHUBHOSTNAME", "hub.example")
        told = json.loads(out.says("make", "--device", "leaf-01", "--key", K1, "--json"))
        assert told["resource"] == "hub.example/devices/leaf-01"
        assert told["expiresAt"] == 1_800_003_600
        assert tokens.is_signed_by(tokens.parse(told["token"]), [KEYS.primary])

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("--device", "a b", "--key", K1), 2, "is no id"),
            (("--device", "d", "--module", "", "--key", K1), 2, "is no id"),
            (("--device", "d", "--key", "nonsense!"), 2, "not base64"),
            (("--device", "d", "--key", K1, "--ttl", "soon"), 2, "expected a number with s, m, h, d or w"),
            (("--device", "d", "--key", K1, "--ttl", "0h"), 2, "expected a number"),
            (("--device", "d", "--key", K1, "--ttl", "999999999w"), 2, "year 9999"),
            (("--device", "d", "--module", "m", "--group-key", K1), 2, "keys of their own"),
            (("--device", "d"), 2, "there is no directory /nowhere"),
        ],
    )
    def test_what_cannot_be_made(self, out: Terminal, arguments: tuple[str, ...], code: int, says: str) -> None:
        said = out.says("make", "--hub", "h", *arguments, code=code)
        assert says in said
        assert "nonsense" not in said

    def test_who_has_no_key(self, out: Terminal, data: Path) -> None:
        at = ("--hub", "h", "--data", str(data))
        assert "did you mean 'leaf-01'" in out.says("make", *at, "--device", "leaf-1", code=1)
        assert "registered with a certificate" in out.says("make", *at, "--device", "pump", code=1)
        assert "not registered" in out.says("make", *at, "--device", "board-7", "--module", "m", code=1)

    def test_a_broken_registry_is_named(self, out: Terminal, data: Path) -> None:
        (data / FILE_NAME).write_text("[]")
        assert "is no registry" in out.says("make", "--hub", "h", "--device", "d", "--data", str(data), code=2)


class TestInspect:
    def test_a_good_token(self, out: Terminal) -> None:
        said = out.says("inspect", TOKEN, "--key", K1)
        assert said.splitlines() == [
            "sr         contoso-hub.azure-devices.net%2Fdevices%2Fleaf-01",
            "           = contoso-hub.azure-devices.net/devices/leaf-01",
            "expires    2030-03-17 17:46:40 UTC, 1157 days from now",
            "policy     none (a device or module signed)",
            "signature  good: this key signed it",
        ]

    def test_a_token_whose_blank_the_shell_has_split(self, out: Terminal) -> None:
        assert "good" in out.says("inspect", *TOKEN.split(" "), "--key", K1)

    def test_from_standard_input(self, out: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKEN}\r\n"))
        assert "not checked" in out.says("inspect", "-")
        assert "cannot be both" in out.says("inspect", "-", "--key", "-", code=2)

    def test_against_the_registry(self, out: Terminal, data: Path) -> None:
        at = ("--data", str(data))
        for who, key in ((LEAF, KEYS.primary), (LEAF, KEYS.secondary), (MODULE, KEYS.secondary)):
            token = tokens.make(tokens.resource_of("h", who), key, 1_900_000_000)
            assert "good" in out.says("inspect", token, *at)
        board = tokens.make("h/devices/board-7", tokens.derive_device_key(KEYS.primary, "board-7"), 1_900_000_000)
        assert "good" in out.says("inspect", board, *at)
        wrong = tokens.make("h/devices/leaf-01", bytes(32), 1_900_000_000)
        assert "nor by any mistake we know" in out.says("inspect", wrong, *at, code=1)
        assert "not checked" in out.says("inspect", tokens.make("h/devices/pump", bytes(32), 1_900_000_000), *at)
        assert "not registered" in out.says(
            "inspect", tokens.make("h/devices/x", bytes(32), 1_900_000_000), *at, code=1
        )
        assert "no entry belongs to it" in out.says("inspect", tokens.make("h", bytes(32), 1_900_000_000), *at, code=1)

    @pytest.mark.parametrize("row", [row for row in VECTORS["wrong"] if "mistake" in row], ids=lambda row: row["rule"])
    def test_the_mistake_is_named(self, out: Terminal, row: dict[str, str]) -> None:
        said = out.says("inspect", row["token"], "--key", row["key"], code=1)
        assert "signature  wrong: " in said
        assert row["key"] not in said
        told = json.loads(out.says("inspect", row["token"], "--key", row["key"], "--json", code=1))
        assert told["signature"] == row["mistake"]
        assert told["advice"]

    def test_an_expired_token(self, out: Terminal) -> None:
        said = out.says("inspect", VECTORS["expired"][0]["token"], "--key", K1, code=1)
        assert "ago (EXPIRED)" in said
        assert "good: this key signed it" in said

    def test_a_policys_token(self, out: Terminal) -> None:
        said = out.says("inspect", VECTORS["good"][4]["token"], code=1)
        assert "policy     iothubowner" in said
        assert "note       skn names the policy" in said

    @pytest.mark.parametrize("row", VECTORS["malformed"], ids=lambda row: row["rule"])
    def test_what_is_no_token_is_told_with_the_form(self, out: Terminal, row: dict[str, str]) -> None:
        assert "A token is: SharedAccessSignature sr=" in out.says("inspect", row["token"], code=1)

    def test_the_gateways_own_setting_says_how_long_a_token_is_taken(
        self, out: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late = tokens.make("h/devices/leaf-01", KEYS.primary, int(time.time()) - 400)
        assert "(EXPIRED)" in out.says("inspect", late, code=1)
        monkeypatch.setenv("GATEWAY_TOKEN_SKEW_S", "500")
        assert "(EXPIRED)" not in out.says("inspect", late)
        monkeypatch.setenv("GATEWAY_TOKEN_SKEW_S", "long")
        assert "GATEWAY_TOKEN_SKEW_S is 'long'" in out.says("inspect", late, code=2)
