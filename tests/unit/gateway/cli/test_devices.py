import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.cli import devices
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import NoCredential, SymmetricKeys, Thumbprints

K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
K2 = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
KEYS = SymmetricKeys(sas.decode_key(K1), sas.decode_key(K2))


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("IOTEDGE_IOTHUBHOSTNAME", raising=False)
    return tmp_path


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> "Terminal":
    return Terminal(capsys)


class Terminal:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.errors = ""

    def run(self, *arguments: str) -> int:
        top = argparse.ArgumentParser()
        devices.add_parser(top.add_subparsers(dest="command"))
        return devices.run(top.parse_args(["devices", *arguments]))

    def says(self, *arguments: str, code: int = 0) -> str:
        assert self.run(*arguments) == code
        captured = self._capsys.readouterr()
        self.errors = captured.err
        return captured.out + captured.err

    def tells(self, *arguments: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.says(*arguments, "--json"))
        return told


def registry(data: Path) -> Registry:
    return Registry(data / FILE_NAME)


def test_a_device_gets_new_keys(out: Terminal, data: Path) -> None:
    assert out.says("add", "leaf-01") == "device 'leaf-01' added, enabled: symmetric keys\n"
    out.says("add", "leaf-02")
    first, second = (registry(data).find(identity(name)) for name in ("leaf-01", "leaf-02"))
    assert first is not None
    assert second is not None
    assert isinstance(first.credential, SymmetricKeys)
    assert isinstance(second.credential, SymmetricKeys)
    assert len({*first.credential.both, *second.credential.both}) == 4
    assert [len(key) for key in first.credential.both] == [32, 32]


def test_a_device_gets_the_keys_given(out: Terminal, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{K1}\n"))
    said = out.says("add", "leaf-01", "--key", "-", "--secondary-key", K2)
    entry = registry(data).find(identity("leaf-01"))
    assert entry is not None
    assert entry.credential == KEYS
    assert K1 not in said
    assert K2 not in said


def test_the_other_ways_to_prove_oneself(out: Terminal, data: Path) -> None:
    out.says("add", "cam", "--thumbprint", ":".join(["ab"] * 20), "--secondary-thumbprint", "CD" * 32)
    out.says("add", "pump", "--x509-ca", "--disabled")
    cam, pump = registry(data).find(identity("cam")), registry(data).find(identity("pump"))
    assert cam is not None
    assert pump is not None
    assert cam.credential == Thumbprints("AB" * 20, "CD" * 32)
    assert not pump.enabled
    assert out.tells("show", "cam")["thumbprints"] == ["AB" * 20, "CD" * 32]


def test_a_device_that_does_not_log_in(out: Terminal, data: Path) -> None:
    assert out.says("add", "sensor", "--no-login") == "device 'sensor' added, enabled: no login, by topics\n"
    entry = registry(data).find(identity("sensor"))
    assert entry is not None
    assert isinstance(entry.credential, NoCredential)
    assert "connectionString" not in out.tells("show", "sensor", "--keys", "--hub", "h.net")
    assert "exclude each other" in out.says("add", "x", "--no-login", "--x509-ca", code=2)
    assert "by keys only" in out.says("add", "sensor", "--module", "m", "--no-login", code=2)
    assert "has no keys: no login" in out.says("regenerate-key", "sensor", code=1)


def test_a_module_needs_its_device(out: Terminal, data: Path) -> None:
    assert "device must be added before the module" in out.says("add", "leaf-01", "--module", "m", code=1)
    out.says("add", "leaf-01")
    assert out.says("add", "leaf-01", "--module", "m") == "module 'leaf-01/m' added, enabled: symmetric keys\n"
    assert out.tells("show", "leaf-01")["modules"] == ["m"]
    assert out.tells("show", "leaf-01", "--module", "m")["moduleId"] == "m"
    out.says("remove", "leaf-01")
    assert registry(data).roster.registrations == {}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "a b"), "is no id"),
        (("add", "d", "--module", "a/b"), "is no id"),
        (("add", "d", "--key", "nonsense!"), "not base64"),
        (("add", "d", "--key", K1, "--x509-ca"), "exclude each other"),
        (("add", "d", "--thumbprint", "AB" * 20, "--x509-ca"), "exclude each other"),
        (("add", "d", "--thumbprint", "AB"), "is no thumbprint"),
        (("add", "d", "--secondary-thumbprint", "AB" * 20), "needs --thumbprint"),
        (("add", "d", "--module", "m", "--x509-ca"), "by keys only"),
        (("add-group", "g", "--id-prefix", "a b"), "no beginning of an id"),
        (("add-group", "g h"), "is no id"),
        (("list", "--data", "/no/such"), "there is no directory /no/such; name the gateway's with --data"),
    ],
)
def test_unusable_input_ends_with_2_and_changes_nothing(
    out: Terminal, data: Path, arguments: tuple[str, ...], says: str
) -> None:
    assert says in out.says(*arguments, code=2)
    assert not (data / FILE_NAME).exists()


def test_what_is_there_already_is_not_overwritten(out: Terminal, data: Path) -> None:
    out.says("add", "leaf-01", "--key", K1, "--secondary-key", K2)
    assert "is there already" in out.says("add", "leaf-01", code=1)
    entry = registry(data).find(identity("leaf-01"))
    assert entry is not None
    assert entry.credential == KEYS
    out.says("add-group", "boards")
    assert "is there already" in out.says("add-group", "boards", code=1)


@pytest.mark.parametrize("action", ["show", "remove", "disable", "enable", "regenerate-key"])
def test_an_unknown_id_ends_with_1_and_offers_the_near_match(out: Terminal, action: str) -> None:
    out.says("add", "leaf-01")
    assert "there is no device 'leaf-1'; did you mean 'leaf-01'?" in out.says(action, "leaf-1", code=1)
    assert "`gateway devices list` shows all" in out.says(action, "zzz", code=1)
    out.says("add-group", "boards")
    assert "there is no group 'board'; did you mean 'boards'?" in out.says(action, "board", "--group", code=1)


def test_one_of_a_group_is_shut_out_by_an_entry(out: Terminal) -> None:
    out.says("add-group", "boards", "--id-prefix", "board-")
    assert "gateway devices add board-7 --disabled" in out.says("disable", "board-7", code=1)


def test_disable_and_enable(out: Terminal, data: Path) -> None:
    out.says("add", "leaf-01")
    assert out.says("disable", "leaf-01") == "device 'leaf-01' disabled\n"
    assert out.tells("show", "leaf-01")["status"] == "disabled"
    assert out.says("enable", "leaf-01") == "device 'leaf-01' enabled\n"
    assert out.tells("show", "leaf-01")["status"] == "enabled"
    out.says("add-group", "boards")
    assert out.says("disable", "boards", "--group") == "group 'boards' disabled\n"
    assert not registry(data).roster.groups["boards"].enabled


def test_list_for_people_and_for_programs(out: Terminal) -> None:
    assert "no devices yet" in out.says("list")
    out.says("add", "leaf-01", "--key", K1)
    out.says("add", "leaf-01", "--module", "m")
    out.says("add", "pump", "--x509-ca", "--disabled")
    out.says("add-group", "boards", "--id-prefix", "board-", "--key", K2)
    said = out.says("list")
    assert said.splitlines() == [
        "leaf-01       enabled   symmetric keys",
        "leaf-01/m     enabled   symmetric keys",
        "pump          disabled  certificate from the trust bundle",
        "group boards  enabled   devices 'board-…'",
    ]
    told = out.tells("list")
    assert [(one["deviceId"], one.get("moduleId")) for one in told["devices"]] == [
        ("leaf-01", None),
        ("leaf-01", "m"),
        ("pump", None),
    ]
    assert told["groups"] == [{"group": "boards", "status": "enabled", "idPrefix": "board-"}]
    assert K1 not in json.dumps(told)


def test_show_hides_keys_unless_asked(out: Terminal) -> None:
    out.says("add", "leaf-01", "--key", K1, "--secondary-key", K2)
    assert K1 not in out.says("show", "leaf-01", "--hub", "h")
    told = out.tells("show", "leaf-01", "--keys", "--hub", "hub.example", "--gateway", "pi.local")
    assert (told["primaryKey"], told["secondaryKey"]) == (K1, K2)
    assert told["connectionString"] == (
        f"HostName=hub.example;DeviceId=leaf-01;SharedAccessKey={K1};GatewayHostName=pi.local"
    )
    assert "connectionString" not in out.tells("show", "leaf-01", "--keys")
    assert f"primaryKey      {K1}" in out.says("show", "leaf-01", "--keys")


def test_connection_strings_of_modules_and_certificates(out: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOTEDGE_IOTHUBHOSTNAME", "hub.example")
    out.says("add", "leaf-01")
    out.says("add", "leaf-01", "--module", "m", "--key", K1)
    out.says("add", "pump", "--x509-ca")
    told = out.tells("show", "leaf-01", "--module", "m", "--keys")
    assert told["connectionString"] == f"HostName=hub.example;DeviceId=leaf-01;ModuleId=m;SharedAccessKey={K1}"
    assert out.tells("show", "pump", "--keys")["connectionString"] == "HostName=hub.example;DeviceId=pump;x509=true"


def test_a_groups_device_gets_its_derived_keys(out: Terminal) -> None:
    out.says("add-group", "boards", "--key", K1, "--secondary-key", K2, "--id-prefix", "board-")
    told = out.tells("derive-key", "board-7", "--group", "boards", "--hub", "h")
    key = sas.encode_key(sas.derive_device_key(KEYS.primary, "board-7"))
    assert told["primaryKey"] == key
    assert told["connectionString"] == f"HostName=h;DeviceId=board-7;SharedAccessKey={key}"
    assert "cannot belong to group" in out.says("derive-key", "leaf", "--group", "boards", code=1)
    out.says("add", "board-8")
    assert "wins over any group" in out.says("derive-key", "board-8", "--group", "boards", code=1)
    assert out.tells("show", "boards", "--group", "--keys")["primaryKey"] == K1
    assert "primaryKey" not in out.tells("show", "boards", "--group")


def test_regenerate_one_key_and_keep_the_other(out: Terminal, data: Path) -> None:
    out.says("add", "leaf-01", "--key", K1, "--secondary-key", K2)
    for which, kept in (("primary", 1), ("secondary", 0)):
        before = registry(data).find(identity("leaf-01"))
        assert f"new {which} key" in out.says("regenerate-key", "leaf-01", "--which", which)
        after = registry(data).find(identity("leaf-01"))
        assert before is not None
        assert after is not None
        assert isinstance(before.credential, SymmetricKeys)
        assert isinstance(after.credential, SymmetricKeys)
        same = [old == new for old, new in zip(before.credential.both, after.credential.both, strict=True)]
        assert same.count(True) == 1
        assert same[kept]
    out.says("add-group", "boards", "--key", K1, "--secondary-key", K2)
    out.says("regenerate-key", "boards", "--group", "--which", "both")
    assert registry(data).roster.groups["boards"].keys.primary != KEYS.primary
    out.says("add", "pump", "--x509-ca")
    assert "has no keys" in out.says("regenerate-key", "pump", code=1)


def test_groups_are_removed(out: Terminal, data: Path) -> None:
    out.says("add-group", "boards")
    assert out.says("remove", "boards", "--group") == "group 'boards' removed\n"
    assert registry(data).roster.groups == {}


def test_a_broken_registry_ends_with_2_and_says_where(out: Terminal, data: Path) -> None:
    (data / FILE_NAME).write_text("{")
    assert f"{data / FILE_NAME} is no registry of devices: line 1" in out.says("list", code=2)
    assert out.errors


def test_done_for_programs(out: Terminal) -> None:
    assert out.tells("add", "leaf-01")["deviceId"] == "leaf-01"
    assert out.tells("disable", "leaf-01") == {"done": "device 'leaf-01' disabled"}
