import json
import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgeca.cli import _ACTIONS, main
from edgeca.profiles import PROFILES, Kind

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KINDS = [
    ["init"],
    ["edge-ca", "pi"],
    ["edge-id", "pi"],
    ["device", "board-1"],
    ["device", "board-1", "--self-signed"],
    ["server", "gateway.local", "10.0.0.5"],
    ["proof", "A1B2C3"],
]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "certificates"
    monkeypatch.setenv("EDGECA_DIR", str(directory))
    return directory


def run(*words: str, later: timedelta = timedelta(0)) -> int:
    return main(words, clock=lambda: NOW + later)


def test_every_command_runs_twice_and_the_second_time_changes_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in KINDS:
        assert run(*words) == 0
    assert capsys.readouterr().out.count(": made\n") == 9
    before = {path: path.read_bytes() for path in directory.rglob("*.pem")}
    for words in KINDS:
        assert run(*words) == 0
    assert capsys.readouterr().out.count("nothing to do") == 9
    assert {path: path.read_bytes() for path in directory.rglob("*.pem")} == before


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_takes_ends_it_without_a_traceback(tmp_path: Path, unbuffered: str) -> None:
    program = [sys.executable, "-c", "import sys; from edgeca.cli import main; sys.exit(main())"]
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    init = [*program, "init", "--dir", str(tmp_path)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(init, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environ)
    assert (done.returncode, done.stderr) == (2, "edgeca: cannot use standard output: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(init, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, env=environ)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_ends_it_without_a_traceback(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeca.cli._report", interrupted)
    assert run("init") == 130
    assert directory.is_dir()


def test_a_different_wish_is_exit_code_1_and_force_grants_it(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("init")
    run("server", "gateway.local")
    assert run("server", "gateway.local", "10.0.0.5") == 1
    assert "repeat with --force" in capsys.readouterr().err
    assert run("server", "gateway.local", "10.0.0.5", "--force") == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["server", "gateway.local"], 1, "make one: edgeca init"),
        (["show"], 1, "there is no certificate in"),
        (["check"], 1, "there is no certificate in"),
        (["bundle"], 1, "make one: edgeca init"),
        (["toml", "pi"], 1, "edgeca edge-ca pi"),
        (["init", "--days", "0"], 2, "lives 1 to 36500 days"),
        (["init", "--name", ""], 2, "give it 1 to 40"),
    ],
)
def test_errors_go_to_stderr_with_their_exit_code(
    directory: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    assert run(*words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edgeca: ")
    assert message in err


@pytest.mark.parametrize(
    "words",
    [[], ["serve"], ["server"], ["init", "--rsa", "1024"], ["init", "--rsa", "2048", "--ec"], ["init", "--days", "x"]],
)
def test_wrong_usage_is_exit_code_2(directory: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2


def test_an_id_too_long_for_the_file_system_is_told(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("device", "?" * 100, "--self-signed") == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_folder_that_cannot_be_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run("init", "--dir", str(tmp_path / "file")) == 2
    assert "choose another with --dir" in capsys.readouterr().err


def test_the_folder_is_certificates_unless_said_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EDGECA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run("init") == 0
    assert (tmp_path / "certificates" / "root.cert.pem").exists()
    assert run("init", "--dir", "other") == 0
    assert (tmp_path / "other" / "root.cert.pem").exists()


def test_rsa_and_ec_are_chosen_per_certificate(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("init", "--rsa", "2048")
    run("server", "a")
    run("server", "b", "--ec")
    capsys.readouterr()
    assert run("show", "--json") == 0
    assert {each["name"]: each["key"] for each in json.loads(capsys.readouterr().out)} == {
        "": "RSA 2048",
        "a": "RSA 2048",
        "b": "EC P-256",
    }


def test_show_finds_by_name_and_a_pair_by_its_device(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in KINDS:
        run(*words)
    for name, labels in (
        ("pi", ["edge-ca pi", "edge-id pi"]),
        ("board-1", ["device board-1", "self-signed board-1.primary", "self-signed board-1.secondary"]),
        ("root", ["root"]),
    ):
        capsys.readouterr()
        assert run("show", name) == 0
        assert [line for line in capsys.readouterr().out.splitlines() if line and line[0] != " "] == labels
    assert run("show", "nobody") == 1
    assert "no certificate named 'nobody'" in capsys.readouterr().err


def test_show_shows_the_readable_ones_and_names_the_others(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("init")
    run("server", "a")
    (directory / "server" / "a.key.pem").write_text("garbage")
    capsys.readouterr()
    assert run("show") == 2
    out, err = capsys.readouterr()
    assert out.startswith("root\n")
    assert "server a:" in err


def test_check_is_0_while_all_is_well_and_1_when_something_ends_soon(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("init")
    run("server", "a", "--days", "90")
    assert run("check", later=timedelta(days=59)) == 0
    assert capsys.readouterr().out.endswith("3 checked, no problems\n")
    assert run("check", later=timedelta(days=61)) == 1
    out = capsys.readouterr().out
    assert "server a: ends in 29 days, on 2027-02-19" in out
    assert out.endswith("3 checked, 1 problem\n")
    assert run("check", "--within", "4w", later=timedelta(days=61)) == 0
    assert run("check", "--within", "soon") == 2


def test_check_in_json_names_each_problem(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("init")
    run("server", "a", "--days", "5")
    capsys.readouterr()
    assert run("check", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["checked"] == 3
    assert [problem["label"] for problem in answer["problems"]] == ["server a"]


def test_json_answers_of_makers_are_lists(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("device", "board-1", "--self-signed", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["changed"], each["daysLeft"]) for each in answer] == [
        ("board-1.primary", True, 730),
        ("board-1.secondary", True, 730),
    ]


def test_bundle_says_whether_it_wrote(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("init")
    (directory / "trust-bundle.pem").unlink()
    capsys.readouterr()
    assert run("bundle") == 0
    assert capsys.readouterr().out == f"{directory}/trust-bundle.pem: written\n"
    assert run("bundle", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"file": f"{directory}/trust-bundle.pem", "changed": False}


def test_toml_prints_the_lines(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("init")
    run("edge-ca", "pi")
    capsys.readouterr()
    assert run("toml", "pi", "--at", "/var/certificates") == 0
    assert 'cert = "file:///var/certificates/edge-ca-pi.full-chain.pem"' in capsys.readouterr().out


def test_no_key_is_ever_printed(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in [*KINDS, ["show"], ["show", "--json"], ["check"], ["toml", "pi"]]:
        run(*words)
    out, err = capsys.readouterr()
    assert "PRIVATE" not in out + err


PROGRAM = "import sys; from edgeca.cli import main; sys.exit(main())"


def test_it_runs_without_terminal_environment_or_openssl_program(tmp_path: Path) -> None:
    for words in KINDS:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            cwd=tmp_path,
            env={"PATH": "/nowhere"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b""), words


def test_two_runs_at_once_make_one_ca(tmp_path: Path) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "init", "--json"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    answers = [json.loads(run.communicate(timeout=60)[0]) for run in runs]
    assert len({answer[0]["thumbprintSha256"] for answer in answers}) == 1
    assert sorted(answer[0]["changed"] for answer in answers) == [False, False, True]


README = Path(__file__).parents[3] / "certs/README.md"


def test_the_guide_works_as_it_is_written(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = README.read_text()
    lines = re.findall(r"^edgeca (.+)$", text.split("```sh\n")[1].split("```")[0], re.MULTILINE)
    assert len(lines) == 12
    for line in lines:
        assert run(*line.split()) == 0, line
        if line.startswith("toml"):
            shown = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
            assert tomllib.loads(capsys.readouterr().out) == shown
        capsys.readouterr()


def test_the_guide_names_every_command_and_the_life_of_each_kind() -> None:
    text = README.read_text()
    for command in _ACTIONS:
        assert f"`{command}" in text
    assert "| 397 days |" in text
    assert PROFILES[Kind.SERVER].days == 397
    years = {
        kind: PROFILES[kind].days / 365 for kind in (Kind.ROOT, Kind.ISSUING, Kind.EDGE_CA, Kind.DEVICE, Kind.EDGE_ID)
    }
    assert list(years.values()) == [10, 5, 5, 2, 2]
