from dataclasses import replace
from pathlib import Path

import pytest

from gateway.doctor.finding import Verdict
from gateway.doctor.in_force import check_answers, check_document, check_settings
from gateway.doctor.patient import Running
from support.patients import findings, one, patient_of, verdicts

GOOD = {"GATEWAY_CERTIFICATE_FILE": "/c", "GATEWAY_KEY_FILE": "/k"}
ROUTES = {"routes": {"all": "FROM /messages/* INTO $upstream"}}


def test_good_variables_are_good(tmp_path: Path) -> None:
    assert one(check_settings, patient_of(tmp_path, **GOOD)).verdict is Verdict.OK


def test_a_gateway_that_hangs_is_a_problem_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert one(check_answers, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    running = patient_of(tmp_path, running=True, document=ROUTES)
    assert one(check_answers, running).verdict is Verdict.OK
    hanging = replace(running, running=Running(status=None, pid=12))
    finding = one(check_answers, hanging)
    assert finding.verdict is Verdict.PROBLEM
    assert "(process 12)" in finding.says
    assert "GATEWAY_WATCHDOG_SECS" in finding.fix
    assert one(check_document, hanging).verdict is Verdict.OK


def test_each_bad_variable_is_a_problem_of_its_own(tmp_path: Path) -> None:
    found = findings(check_settings, patient_of(tmp_path, GATEWAY_MQTT_PRT="1", GATEWAY_UPSTREAM="x"))
    assert verdicts(found) == ["problem", "problem"]
    assert "GATEWAY_UPSTREAM is 'x'" in found[0].says
    assert "did you mean GATEWAY_MQTT_PORT" in str(found[1])


def test_without_a_certificate_or_a_name_there_is_no_start(tmp_path: Path) -> None:
    assert findings(check_settings, patient_of(tmp_path))[0].follows == "the gateway does not start"
    assert "neither" in findings(check_settings, patient_of(tmp_path, GATEWAY_HOST_NAME="", **GOOD))[0].says


def test_a_document_is_checked_as_the_gateway_checks_it(tmp_path: Path) -> None:
    assert one(check_document, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    assert one(check_document, patient_of(tmp_path, document=ROUTES)).verdict is Verdict.OK
    bad = {"routes": {"r": "FROM /messages/* WHERE lenght(x) INTO $upstream"}}
    finding = one(check_document, patient_of(tmp_path, document=bad))
    assert finding.verdict is Verdict.PROBLEM
    assert "did you mean 'length'" in finding.says
    trap = {"routes": {"r": "FROM /messages/* WHERE a!='x' INTO $upstream"}}
    assert one(check_document, patient_of(tmp_path, document=trap)).verdict is Verdict.WARNING


@pytest.mark.parametrize("text", [None, '{"routes": {'])
def test_a_settings_file_that_is_named_must_be_there_and_be_json(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "mine.json"
    if text is not None:
        file.write_text(text)
    finding = one(check_document, patient_of(tmp_path, GATEWAY_SETTINGS_FILE=str(file)))
    assert finding.verdict is Verdict.PROBLEM
    assert finding.fix.startswith(f"gateway check {file} says")


def test_bad_settings_that_came_last_are_told(tmp_path: Path) -> None:
    patient = patient_of(tmp_path, running=True, document=ROUTES)
    assert patient.running is not None
    patient = replace(patient, running=replace(patient.running, status={"settings": {"lastOfferWasGood": False}}))
    assert verdicts(findings(check_document, patient)) == ["problem", "ok"]
