import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.doctor import answer, lines_of
from gateway.cli.main import main
from gateway.doctor.checkup import CHECKS, Result
from gateway.doctor.finding import not_checked, ok, problem, warning
from support.deployments import hub, template
from support.gateway_process import clean_environment

RESULTS = [
    Result("clock", problem("it is late", "all is late", "hurry " * 40)),
    Result("names", ok("fine")),
    Result("ports", warning("odd", "may be", "look")),
    Result("trust", not_checked("dark")),
]


@pytest.fixture(autouse=True)
def _nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = clean_environment({})
    for name in set(os.environ) - set(clean):
        monkeypatch.delenv(name)


def test_problems_come_last_and_what_could_not_be_checked_when_asked() -> None:
    lines = list(lines_of(RESULTS, everything=False))
    assert [line.split()[0] for line in lines if line[:1].strip()] == ["ok", "warning", "PROBLEM", "1"]
    assert lines[-1] == "1 ok, 1 warning, 1 problem, 1 not checked (--all says why)"
    assert max(map(len, lines)) <= 118
    assert "  so      all is late" in lines
    assert "skipped   trust: dark" in lines_of(RESULTS, everything=True)


def test_programs_get_all_of_it() -> None:
    found = answer(RESULTS)
    assert found["verdict"] == "problem"
    assert found["findings"][1] == {"check": "names", "verdict": "ok", "says": "fine", "follows": "", "fix": ""}


def test_a_good_deployment_is_0_and_one_with_a_problem_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deployment.json"
    document = template()
    file.write_text(json.dumps(document))
    assert main(["doctor", str(file), "--offline"]) == 0
    hub(document)["routes"] = {}
    file.write_text(json.dumps(document))
    capsys.readouterr()
    assert main(["doctor", str(file), "--offline", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {each["check"] for each in found["findings"]} == {check.name for check in CHECKS}
    assert [each["check"] for each in found["findings"] if each["verdict"] == "problem"] == ["deployment-routes"]


def test_a_file_that_cannot_be_read_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(("date", "code"), [("2020-01-01 00:00:00", 1), ("2055-01-01 00:00:00", 1)])
def test_a_clock_that_is_wrong_is_noticed(tmp_path: Path, date: str, code: int) -> None:
    """The machine's clock, set by libfaketime (make peers).

    By the library alone: its program ends where a process of the same number was killed before and has left its memory.
    """
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    assert library is not None, "libfaketime is not installed (make peers)"
    tmp_path.chmod(0o700)
    clock = {"LD_PRELOAD": str(library), "FAKETIME": f"@{date}", "DONT_FAKE_MONOTONIC": "1"}
    done = subprocess.run(
        [Path(sys.executable).parent / "gateway", "doctor", "--offline", "--json"],
        env=clean_environment({"GATEWAY_DATA_DIR": str(tmp_path), **clock}),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    findings = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["clock"]["verdict"] == "problem"
    assert date[:10] in findings["clock"]["says"]
