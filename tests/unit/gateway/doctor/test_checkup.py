import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.doctor.checkup import CHECKS, Check, Needs, Result, examine, look, worst
from gateway.doctor.finding import Finding, NotCheckedError, Verdict, ok, problem, warning
from gateway.doctor.patient import Patient, find_patient
from support.patients import patient_of

PATIENT = patient_of(Path("/nowhere"))


def good(_patient: Patient) -> Iterator[Finding]:
    yield ok("good")


def check(name: str, call: object = good, needs: Needs = Needs.DOCUMENT) -> Check:
    assert callable(call)
    return Check(name=name, look=call, needs=needs, help="")


def test_each_check_has_a_name_of_its_own_and_a_sentence() -> None:
    assert len({each.name for each in CHECKS}) == len(CHECKS)
    assert all(each.help for each in CHECKS)


def test_checks_are_told_in_their_order() -> None:
    results = examine(PATIENT, offline=True, checks=[check("b"), check("a")], within_s=30)
    assert [result.check for result in results] == ["b", "a"]


def test_a_check_that_hangs_is_left_behind() -> None:
    free = threading.Event()

    def hang(_patient: Patient) -> Iterator[Finding]:
        free.wait()
        yield ok("late")

    results = examine(PATIENT, offline=True, checks=[check("hangs", hang)], within_s=0.01)
    free.set()
    assert [result.finding.verdict for result in results] == [Verdict.NOT_CHECKED]
    assert "did not end within" in results[0].finding.says


def test_a_check_that_fails_takes_no_other_along_and_keeps_what_it_found() -> None:
    def fail(_patient: Patient) -> Iterator[Finding]:
        yield ok("so far")
        raise ZeroDivisionError("x")

    results = examine(PATIENT, offline=True, checks=[check("fails", fail), check("goes on")], within_s=30)
    assert [result.finding.says for result in results] == [
        "so far",
        "the check itself failed: ZeroDivisionError: x",
        "good",
    ]


def test_what_cannot_be_looked_at_says_why() -> None:
    def cannot(_patient: Patient) -> Iterator[Finding]:
        raise NotCheckedError("no reason")

    (finding,) = look(PATIENT, check("cannot", cannot), offline=False)
    assert (finding.verdict, finding.says) == (Verdict.NOT_CHECKED, "no reason")


@pytest.mark.parametrize(("needs", "found"), [(Needs.NETWORK, "--offline"), (Needs.MACHINE, "good")])
def test_offline_nobody_outside_is_asked(needs: Needs, found: str) -> None:
    assert [each.says for each in look(PATIENT, check("x", needs=needs), offline=True)] == [found]


def test_on_a_bench_the_deployment_alone_is_looked_at() -> None:
    bench = find_patient({})
    assert "no GATEWAY_" in look(bench, check("x", needs=Needs.MACHINE), offline=False)[0].says
    assert look(bench, check("x"), offline=False)[0].says == "good"


def test_of_a_dead_gateway_whose_variables_are_unknown_the_files_are_looked_at(tmp_path: Path) -> None:
    dead = find_patient({"GATEWAY_DATA_DIR": str(tmp_path)})
    assert "none of its variables" in look(dead, check("x", needs=Needs.SETTINGS), offline=False)[0].says
    assert "none of its variables" in look(dead, check("x", needs=Needs.NETWORK), offline=True)[0].says
    assert look(dead, check("x", needs=Needs.MACHINE), offline=False)[0].says == "good"
    assert look(PATIENT, check("x", needs=Needs.SETTINGS), offline=False)[0].says == "good"


def test_the_worst_verdict_is_the_verdict() -> None:
    every = [ok("a"), warning("b", "", ""), problem("c", "", "")]
    assert [worst(Result("x", each) for each in every[:count]) for count in range(4)] == [
        Verdict.OK,
        Verdict.OK,
        Verdict.WARNING,
        Verdict.PROBLEM,
    ]


def test_the_page_of_the_doctor_has_each_check_with_its_sentence() -> None:
    page = (Path(__file__).parents[4] / "docs/doctor.md").read_text(encoding="utf-8")
    for each in CHECKS:
        assert f"| `{each.name}`{'*' if each.needs is Needs.NETWORK else ''} | {each.help} |" in page
