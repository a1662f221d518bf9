import base64
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pytest

from edgewire.iothub import sas
from edgewire.message import identity
from gateway.cli.main import main
from gateway.doctor import bundle as module
from gateway.doctor.bundle import Bundle, Sources, make_bundle, write_bundle
from gateway.doctor.checkup import Result
from gateway.doctor.finding import ok
from gateway.identity.page_token import page_token
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Group, Registration, SymmetricKeys
from support.certificates import authority, signed
from support.patients import HOST, patient_of

DEVICE_KEY, SECOND_KEY, GROUP_KEY = (bytes([start]) + bytes(range(start, start + 31)) for start in (1, 60, 120))
HUB_KEY = base64.b64encode(bytes(range(200, 232))).decode()
ENDPOINT = f"Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=s;SharedAccessKey={HUB_KEY};EntityPath=h"
PASSWORDS = {
    "proxy": "pr0xy pass/word",
    "broker": "br0ker-pässword",
    "user": "plain-user-password",
    "wifi": "s1te-wifi-pw",
}
PASTED = "HostName=h;SharedAccessKey=cGFzdGVkLWJ5LW1pc3Rha2U="


def members(data: bytes) -> dict[str, str]:
    """The files of an archive, by their names in its folder."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {}
        for entry in archive:
            assert entry.mode == 0o600
            content = archive.extractfile(entry)
            assert content is not None
            found[entry.name.removeprefix("gateway-support/")] = content.read().decode()
    return found


def shown(secret: str | bytes) -> Iterator[str]:
    """How a secret might stand in a text, worked out here and not by the code that hides it."""
    for each in (secret, base64.b64encode(secret)) if isinstance(secret, bytes) else (secret.encode(),):
        yield base64.b64encode(each).decode().rstrip("=")
        yield base64.urlsafe_b64encode(each).decode().rstrip("=")
        yield each.hex()
        yield each.hex().upper()
        yield quote(each, safe="")
    if isinstance(secret, str):
        yield secret
        yield json.dumps(secret)[1:-1]


def filled(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[str | bytes], list[str], dict[str, str]]:
    """A data folder and an environment with a secret in every place there is. Gives secrets, codes, environment."""
    registry = Registry(folder / FILE_NAME)
    keys = SymmetricKeys(DEVICE_KEY, SECOND_KEY)
    registry.edit(lambda roster: roster.with_registration(Registration(identity("boiler"), keys)))
    registry.edit(lambda roster: roster.with_group(Group("line", SymmetricKeys(GROUP_KEY, GROUP_KEY[::-1]))))
    token = sas.make("hub.test/devices/pump", DEVICE_KEY, int(time.time()) + 3600)
    (folder / "tokens.json").write_text(json.dumps({"version": 1, "tokens": {"pump": token}}))
    for line in (
        ["users", "add", "plc", "--password", "-", "--publish", "site/#"],
        ["claims", "add", "--id", "oven", "--json"],
        ["publishers", "add-hub", "meters", "--device-prefix", "m-", "--json"],
        ["publishers", "add-rule", "meters", "send", "--json"],
    ):
        main([*line, "--data", str(folder)])
    said = capsys.readouterr().out
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "archive").write_text(ENDPOINT)
    (folder / "broker-password").write_text(PASSWORDS["broker"])
    leaf = signed(HOST, authority("root"))
    (folder / "chain.pem").write_bytes(leaf.pem)
    (folder / "key.pem").write_bytes(leaf.key_pem)
    document = {
        "routes": {"key-events": 'FROM /messages/* INTO Endpoint("archive")'},
        "endpoints": {"archive": {"type": "eventhub"}},
        "boards": {"settings": {"wlan": {"ssid": "site", "pw": PASSWORDS["wifi"]}, "pasted": PASTED}},
    }
    (folder / "settings.json").write_text(
        json.dumps({"format": 1, "source": "twin", "version": 1, "document": document})
    )
    environ = {
        "GATEWAY_SECRETS_DIR": str(secrets),
        "GATEWAY_CERTIFICATE_FILE": str(folder / "chain.pem"),
        "GATEWAY_KEY_FILE": str(folder / "key.pem"),
        "GATEWAY_BROKER": "mqtt://127.0.0.1:1",
        "GATEWAY_BROKER_USER": "gw",
        "GATEWAY_BROKER_PASSWORD_FILE": str(folder / "broker-password"),
        "GATEWAY_ENDPOINT_ARCHIVE_CONNECTION_STRING": ENDPOINT,
        "EdgeHubConnectionString": f"HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey={HUB_KEY};GatewayHostName=g",
        "HTTPS_PROXY": f"http://u:{quote(PASSWORDS['proxy'], safe='')}@proxy.test:3128",
    }
    signature = sas.parse(token).signature
    answers = [json.loads(text) for text in said.splitlines() if text.startswith("{")]
    made = [value for answer in answers for value in leaves(answer, "key")]
    (code,) = [value for answer in answers for value in leaves(answer, "code")]
    codes = [code, code.replace("-", "")]
    hidden: list[str | bytes] = [
        DEVICE_KEY,
        SECOND_KEY,
        GROUP_KEY,
        GROUP_KEY[::-1],
        token,
        signature,
        HUB_KEY,
        ENDPOINT,
    ]
    hidden += [PASSWORDS["broker"], PASSWORDS["wifi"], PASSWORDS["proxy"], leaf.key_pem.decode()]
    hidden += [PASTED.partition("SharedAccessKey=")[2], page_token(folder / "page-token"), *made]
    hidden += [each for each in leaf.key_pem.decode().splitlines() if not each.startswith("-----")]
    return hidden, codes, environ


def leaves(value: Any, name: str) -> list[str]:
    """What the answer of a command has under such names."""
    if isinstance(value, dict):
        found = [inner for key, inner in value.items() if isinstance(inner, str) and key.lower().endswith(name)]
        return found + [each for inner in value.values() for each in leaves(inner, name)]
    return []


def test_no_secret_of_any_place_is_in_it_in_any_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORDS["user"] + "\n"))
    hidden, codes, environ = filled(tmp_path, capsys)
    assert (len(hidden), len(codes)) == (19, 2)
    loud = [form for secret in hidden for form in shown(secret)]
    # Of a code its hash alone is kept, so in another form it cannot be known again; of a password nothing that helps.
    loud += codes
    log = tmp_path / "gateway.log"
    log.write_text("\n".join(f"2026-11-21 INFO somebody said {form} aloud" for form in loud))
    bundle = make_bundle(
        Sources(patient=patient_of(tmp_path, **environ), results=(Result("x", ok("y")),), log=log), lambda: "doctor\n"
    )
    found = members(bundle.data)
    assert {"log.txt", "environment.json", "settings.json", "registry.json", "files.txt"} <= set(found)
    assert found["log.txt"].count("somebody said") == len(loud)
    whole = "\n".join(found.values())
    assert [form for form in loud if len(form) >= 8 and form in whole] == []
    for form in (PASSWORDS["user"], "PRIVATE KEY-----\nM", "scrypt$14", "scrypt$15", "scrypt$16"):
        assert form not in whole


def test_what_helps_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORDS["user"] + "\n"))
    *_, environ = filled(tmp_path, capsys)
    bundle = make_bundle(Sources(patient=patient_of(tmp_path, **environ), results=()), lambda: "doctor\n")
    found = members(bundle.data)
    manifest = json.loads(found["manifest.json"])
    assert manifest == bundle.manifest
    assert set(manifest["files"]) == set(found) - {"manifest.json"}
    assert {"status.json", "events.jsonl", "metrics.txt", "log.txt", "store.json"} <= set(manifest["missing"])
    assert json.loads(found["environment.json"])["GATEWAY_BROKER_USER"] == "gw"
    assert json.loads(found["registry.json"])["names"] == ["boiler"]
    assert "key-events: FROM /messages/* INTO" in found["routes.txt"]
    boards = json.loads(found["settings.json"])["document"]["boards"]
    assert boards == {"settings": {"wlan": {"ssid": "(hidden)", "pw": "(hidden)"}, "pasted": "(hidden)"}}
    assert f"for {HOST}" in found["certificates.txt"]
    assert "tokens.json" in found["files.txt"]
    assert json.loads(found["versions.json"])["gateway"]


def test_a_part_that_fails_takes_no_other_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise ZeroDivisionError("SharedAccessKey=abc")

    bundle = make_bundle(Sources(patient=patient_of(tmp_path), results=()), fail)
    assert bundle.manifest["missing"]["doctor.txt"] == "ZeroDivisionError: SharedAccessKey=(hidden)"
    assert "versions.json" in bundle.manifest["files"]
    monkeypatch.setattr(module, "_versions", fail)
    assert "versions.json" in make_bundle(Sources(patient=patient_of(tmp_path), results=()), str).manifest["missing"]


def test_a_part_in_which_a_secret_would_stay_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page-token").write_text("the-token")
    monkeypatch.setattr("gateway.doctor.secrets.Secrets.hide", lambda _self, text: (text, 0))
    bundle = make_bundle(Sources(patient=patient_of(tmp_path), results=()), lambda: "the-token")
    assert bundle.manifest["missing"]["doctor.txt"] == "a secret would have been in it"


def test_a_long_log_is_cut_at_a_line_and_keeps_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBER_BYTES", 2_000)
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(1_000)))
    found = members(make_bundle(Sources(patient=patient_of(tmp_path), results=(), log=log), str).data)
    assert found["log.txt"].endswith("line 999\n")
    assert found["log.txt"].startswith("line ")
    assert len(found["log.txt"]) <= 2_000


def test_it_stays_small_by_leaving_out_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    log.write_bytes(base64.b64encode(os.urandom(9_000)))
    monkeypatch.setattr(module, "MAX_BUNDLE_BYTES", 5_000)
    bundle = make_bundle(Sources(patient=patient_of(tmp_path), results=(), log=log), str)
    assert len(bundle.data) <= 5_000
    assert "more than 5000 bytes" in bundle.manifest["missing"]["log.txt"]


def test_one_that_cannot_be_written_leaves_nothing_that_would_be_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, _mode: str) -> IO[bytes]:
        os.close(descriptor)
        return Path("/dev/full").open("wb")

    monkeypatch.setattr("gateway.doctor.bundle.os.fdopen", full)
    with pytest.raises(OSError, match="No space"):
        write_bundle(tmp_path / "x.tar.gz", Bundle(data=b"x", manifest={}))
    assert list(tmp_path.iterdir()) == []


def test_it_is_for_its_maker_alone_and_overwrites_nothing(tmp_path: Path) -> None:
    out = tmp_path / "x.tar.gz"
    write_bundle(out, Bundle(data=b"x", manifest={}))
    assert out.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_bundle(out, Bundle(data=b"y", manifest={}))
