import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from edgeca.authority import Authority
from edgeca.cli import main
from edgeca.keys import KeyType, generate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "certificates"
    monkeypatch.setenv("EDGECA_DIR", str(directory))
    monkeypatch.delenv("EDGECA_LAYOUT", raising=False)
    assert run("init") == 0
    for words in (["device", "board-1"], ["server", "gateway.local"], ["edge-ca", "pi"], ["edge-id", "pi"]):
        assert run(*words) == 0
    assert run("device", "board-2", "--self-signed") == 0
    return directory


def run(*words: str, later: timedelta = timedelta(0)) -> int:
    return main(words, clock=lambda: NOW + later)


def answer(capsys: pytest.CaptureFixture[str], *words: str, later: timedelta = timedelta(0)) -> object:
    """What a command says with --json."""
    capsys.readouterr()
    assert run(*words, "--json", later=later) == 0
    return json.loads(capsys.readouterr().out)


def test_renew_says_what_it_did_and_what_is_left_to_do(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run("renew", "board-1", "gateway.local") == 0
    out = capsys.readouterr().out
    assert "device board-1: renewed\n" in out
    assert f"  old one     {directory}/retired/20261121T120000Z-device-board-1\n" in out
    assert "next: put certificate and key on the device board-1\n" in out
    assert "next: write chain and key over those the server uses; our gateway takes them within seconds\n" in out
    assert out.endswith("to end one before: edgeca revoke --serial SERIAL\n")


def test_renew_within_takes_what_ends_and_names_what_it_leaves(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("renew", "--within", "30d") == 0
    assert capsys.readouterr().out.startswith("nothing to renew\nleft alone, renew them by name: self-signed board-2.")
    made = answer(capsys, "renew", "--within", "30d", later=timedelta(days=380))
    assert isinstance(made, list)
    assert [(each["kind"], each["name"], each["daysLeft"]) for each in made] == [("server", "gateway.local", 397)]
    made = answer(capsys, "renew", "--all", "--kind", "edge-id")
    assert isinstance(made, list)
    assert [each["kind"] for each in made] == ["edge-id"]


def test_one_that_cannot_be_read_keeps_no_other_from_being_renewed(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "device/board-1.key.pem").write_text("garbage")
    capsys.readouterr()
    assert run("renew", "--within", "30d", later=timedelta(days=380)) == 2
    out, err = capsys.readouterr()
    assert "server gateway.local: renewed\n" in out
    assert err.startswith("edgeca: not renewed, device board-1: ")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["renew", "board-1", "--days", "0"], 2, "--days 0: a certificate lives 1 to 36500 days"),
        (["renew"], 2, "say what to renew: names, or --all, or --within 30d"),
        (["renew", "board-1", "--all"], 2, "say what to renew"),
        (["renew", "--all", "--within", "3d"], 2, "say what to renew"),
        (["renew", "--within", "soon"], 2, "'soon' is no span of time"),
        (["renew", "pi"], 2, "'pi' is the name of 2 certificates; say which: --kind edge-ca or --kind edge-id"),
        (["renew", "board-2"], 1, "Name one: board-2.primary or board-2.secondary"),
        (["renew", "nobody"], 1, "there is no certificate named 'nobody'"),
        (["renew", "root", "--new-key"], 1, "a root with a new key is a new CA"),
        (["revoke"], 2, "say what to revoke: names, or --serial, or --file"),
        (["revoke", "root"], 1, "the root cannot be revoked"),
        (["revoke", "--serial", "xyz"], 2, "--serial 'xyz' is no serial number"),
        (["revoke", "--serial", "0"], 2, "serial numbers begin at 1"),
        (["revoke", "--serial", "ABC"], 1, "Say with --issuer root or --issuer issuing"),
        (["revoke", "--file", "/none.pem"], 2, "cannot read /none.pem"),
        (["revoke", "board-1", "--days", "0"], 2, "a revocation list counts for 1 to 36500 days"),
        (["crl", "--within", "x"], 2, "is no span of time"),
        (["pfx", "nobody"], 1, "there is no certificate named 'nobody'"),
        (["pfx", "board-1", "--ask"], 2, "--ask needs a terminal"),
        (["pfx", "board-1", "--password-file", "/dev/null"], 2, "has no password on its first line"),
        (["init", "--root", "x"], 2, "--root and --root-key belong together"),
        (["init", "--root", "x", "--root-key", "y", "--days", "3"], 2, "--name and --days are for a root made here"),
    ],
)
def test_errors_say_what_to_do(
    directory: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    capsys.readouterr()
    assert run(*words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_revoke_by_name_serial_and_file_and_twice(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = answer(capsys, "show", "gateway.local")
    assert isinstance(shown, list)
    told = answer(
        capsys,
        *("revoke", "board-1", "--serial", shown[0]["serial"], "--file", f"{directory}/edge-ca/pi.cert.pem"),
        *("--reason", "superseded"),
    )
    assert isinstance(told, dict)
    assert sorted((each["issuer"], each["changed"], each["reason"]) for each in told["revoked"]) == [
        ("issuing", True, "superseded"),
        ("issuing", True, "superseded"),
        ("root", True, "superseded"),
    ]
    assert [(each["issuer"], each["number"], each["revoked"]) for each in told["lists"]] == [
        ("root", 1, 1),
        ("issuing", 1, 2),
    ]
    assert run("revoke", "board-1") == 0
    out = capsys.readouterr().out
    assert out.startswith("device board-1: nothing to do, it was revoked on 2026-11-21 (superseded), list of issuing\n")
    assert out.endswith(f"next: copy {directory}/crl.pem to the gateway, where GATEWAY_CRL_FILE names it\n")
    assert run("show", "board-1") == 0
    assert "  revoked     2026-11-21 12:00 UTC, superseded\n" in capsys.readouterr().out
    assert run("check") == 1
    assert run("device", "board-1") == 1
    assert "it was revoked on 2026-11-21" in capsys.readouterr().err


def test_a_serial_number_may_have_colons_and_an_issuer(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "revoke", "--serial", "0a:bc", "--issuer", "issuing")
    assert isinstance(told, dict)
    assert [each["serial"] for each in told["revoked"]] == ["ABC"]


def test_crl_signs_what_is_due(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def numbers(*words: str, later: timedelta = timedelta(0)) -> list[int]:
        told = answer(capsys, "crl", *words, later=later)
        assert isinstance(told, list)
        return [each["number"] for each in told]

    assert numbers() == [1, 1]
    assert numbers() == [1, 1]
    assert numbers(later=timedelta(days=61)) == [2, 2]
    assert numbers("--force", later=timedelta(days=61)) == [3, 3]
    assert run("crl") == 0
    assert "revocation list of issuing: nothing to do, it is fresh\n" in capsys.readouterr().out


@pytest.mark.parametrize("legacy", [[], ["--legacy"]])
def test_a_pfx_has_a_password_of_its_own_in_a_file_beside(
    directory: Path, capsys: pytest.CaptureFixture[str], legacy: list[str]
) -> None:
    told = answer(capsys, "pfx", "board-1", *legacy)
    assert isinstance(told, dict)
    path, kept = Path(told["file"]), Path(told["passwordFile"])
    assert (path.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o600, 0o600)
    password = kept.read_text().strip()
    assert load_pkcs12(path.read_bytes(), password.encode()).cert is not None
    capsys.readouterr()
    assert run("pfx", "board-1", *legacy) == 0
    assert password not in capsys.readouterr().out


def test_a_pfx_takes_a_password_from_a_file(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\nand a remark\n")
    assert run("pfx", "gateway.local", "--password-file", str(tmp_path / "password")) == 0
    assert load_pkcs12((directory / "server/gateway.local.pfx").read_bytes(), b"secret").cert is not None
    assert not (directory / "server/gateway.local.pfx.password").exists()
    assert run("pfx", "gateway.local") == 0
    assert run("pfx", "gateway.local", "--password-file", str(tmp_path / "password")) == 0
    assert not (directory / "server/gateway.local.pfx.password").exists(), "it would be that of the file before"


def test_a_password_that_no_keyboard_types_is_refused(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_bytes("größe".encode("latin-1"))
    assert run("pfx", "gateway.local", "--password-file", str(tmp_path / "password")) == 2
    assert "is no text in UTF-8: save it as such" in capsys.readouterr().err
    assert not (directory / "server/gateway.local.pfx").exists()


def test_a_terminal_that_ends_before_the_password_does_is_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", ended)
    assert run("pfx", "gateway.local", "--ask") == 2
    assert "nothing was written" in capsys.readouterr().err
    assert not (directory / "server/gateway.local.pfx").exists()


def test_the_layout_of_azure_is_asked_for_by_word_or_variable(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (directory / "certs").exists()
    capsys.readouterr()
    assert run("device", "board-1", "--layout", "azure") == 0
    assert f"copied to {directory}/certs/iot-device-board-1.cert.pem\n" in capsys.readouterr().out
    monkeypatch.setenv("EDGECA_LAYOUT", "azure")
    assert run("renew", "gateway.local") == 0
    copied = directory / "certs/iot-edge-server-gateway.local.cert.pem"
    assert copied.read_bytes() == (directory / "server/gateway.local.cert.pem").read_bytes()


def test_a_root_made_elsewhere_signs_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Authority.create("Own").root
    (tmp_path / "root.pem").write_bytes(root.certificate_pem)
    encrypted = root.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"1234")
    )
    (tmp_path / "key.pem").write_bytes(encrypted)
    (tmp_path / "password").write_text("1234\n")
    words = [
        "--root",
        str(tmp_path / "root.pem"),
        "--root-key",
        str(tmp_path / "key.pem"),
        "--dir",
        str(tmp_path / "ca"),
    ]
    assert run("init", *words) == 2
    assert "with this password" not in capsys.readouterr().err
    for outcome in (": made\n", "nothing to do"):
        assert run("init", *words, "--root-password-file", str(tmp_path / "password")) == 0
        assert outcome in capsys.readouterr().out
    assert run("device", "d1", "--dir", str(tmp_path / "ca")) == 0
    assert run("check", "--dir", str(tmp_path / "ca")) == 0
    assert (tmp_path / "ca/root.cert.pem").read_bytes() == root.certificate_pem


def test_what_is_no_root_is_not_taken(directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["init", "--dir", str(tmp_path / "new"), "--root"]
    issuing = [str(directory / "issuing.cert.pem"), "--root-key", str(directory / "issuing.key.pem")]
    assert run(*words, *issuing) == 2
    assert "did not sign itself, so it is no root" in capsys.readouterr().err
    alone = directory / "self-signed/board-2.primary"
    assert run(*words, f"{alone}.cert.pem", "--root-key", f"{alone}.key.pem") == 2
    assert "may not sign a CA below it" in capsys.readouterr().err
    assert run(*words, str(directory / "root.cert.pem"), "--root-key", f"{alone}.key.pem") == 2
    assert "give the two that were made together" in capsys.readouterr().err
    assert run("init", "--root", str(directory / "root.cert.pem"), "--root-key", str(directory / "root.key.pem")) == 0
    other = Authority.create().root
    (tmp_path / "o.pem").write_bytes(other.certificate_pem)
    (tmp_path / "o.key").write_bytes(other.key_pem)
    assert run("init", "--root", str(tmp_path / "o.pem"), "--root-key", str(tmp_path / "o.key")) == 1
    assert "root exists and differs: it is another certificate" in capsys.readouterr().err


def test_no_key_and_no_password_is_ever_printed(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["renew", "--all"], ["revoke", "board-1"], ["crl", "--force"], ["pfx", "gateway.local"]):
        assert run(*words) == 0
    out, err = capsys.readouterr()
    assert "PRIVATE" not in out + err


PROGRAM = "import sys; from edgeca.cli import main; sys.exit(main())"


def test_all_of_it_runs_without_terminal_environment_or_openssl_program(tmp_path: Path) -> None:
    for words in (
        ["init"],
        ["device", "d1"],
        ["renew", "d1", "--keep-key"],
        ["renew", "issuing", "--new-key"],
        ["revoke", "d1"],
        ["crl", "--force"],
        ["pfx", "d1"],
        ["renew", "--all", "--layout", "azure"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=tmp_path,
            env={"PATH": "/nowhere"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), words


def test_a_proof_is_signed_by_the_ca_that_is_proved(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What IoT Hub and DPS look at: the code as common name, and the signature of the CA that was registered."""
    for ca, code in (("root", "A" * 48), ("issuing", "B" * 48)):
        made = answer(capsys, "proof", code, "--ca", ca)
        assert isinstance(made, list)
        assert made[0]["commonName"] == code
        assert made[0]["chain"][1].startswith(f"Edge test {ca} CA")


def test_keys_of_kinds_that_are_not_made_here_are_renewed_as_p_256(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    from edgeca.keys import kind_of

    assert kind_of(ec.generate_private_key(ec.SECP384R1())) is KeyType.EC_P256
    assert kind_of(generate(KeyType.RSA_2048)) is KeyType.RSA_2048
