import json
import os
import socket
from pathlib import Path

import pytest

from gateway.app.control import SOCKET_NAME
from gateway.doctor.finding import NotCheckedError
from gateway.doctor.patient import Running, environ_of, find_patient, read_json
from support.patients import patient_of

ROUTES = {"all": "FROM /messages/* INTO $upstream"}


def test_nothing_says_that_a_gateway_runs_on_a_bench(tmp_path: Path) -> None:
    patient = find_patient({"HOME": "/"})
    assert not patient.is_here
    assert patient.running is None
    assert find_patient({"IOTEDGE_DEVICEID": "edge"}, data=tmp_path).is_here


def test_a_gateway_that_does_not_answer_is_a_dead_one(tmp_path: Path) -> None:
    patient = patient_of(tmp_path)
    assert "no gateway answers" in patient.silent


def test_the_environment_of_a_gateway_that_hangs_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.doctor.patient.STATUS_S", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()
        patient = find_patient({"GATEWAY_HUB_NAME": "of-the-shell"}, data=tmp_path)
    assert patient.running == Running(status=None, pid=os.getpid())
    assert "it hangs" in patient.silent
    assert patient.environ["PATH"] == os.environ["PATH"]
    assert "GATEWAY_HUB_NAME" not in patient.environ


def test_bad_settings_are_all_told_and_stop_nothing(tmp_path: Path) -> None:
    patient = patient_of(tmp_path, GATEWAY_MQTT_PORT="x", GATEWAY_LOG_LEVEL="loud")
    assert len(patient.complaints) == 2
    with pytest.raises(NotCheckedError, match="cannot be used"):
        _ = patient.settings


def test_the_document_that_counts_is_the_named_one_then_the_file_then_the_last_good_one(tmp_path: Path) -> None:
    kept = {"format": 1, "source": "twin", "version": 3, "document": {"routes": ROUTES}}
    (tmp_path / "settings.json").write_text(json.dumps(kept))
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"routes": {**ROUTES, "b": "FROM /messages/* INTO $upstream"}}))
    counts = []
    for document, environ in ((None, {}), (None, {"GATEWAY_SETTINGS_FILE": str(file)}), ({"routes": {}}, {})):
        reading = patient_of(tmp_path, document=document, **environ).reading
        assert reading is not None
        assert reading.settings is not None
        counts.append(len(reading.settings.routes))
    assert counts == [1, 2, 0]
    (tmp_path / "settings.json").unlink()
    assert patient_of(tmp_path).reading is None


def test_the_environment_of_a_process_is_read_where_we_may() -> None:
    assert environ_of(os.getpid())["PATH"]
    assert environ_of(2**22 + 1) == {}


def test_json_that_is_none_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("{")
    assert read_json(tmp_path / "x") is None
    assert read_json(tmp_path / "y") is None
