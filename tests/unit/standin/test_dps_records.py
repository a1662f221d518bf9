import re
from dataclasses import replace
from pathlib import Path

from standin.documents import Documents
from standin.dps_records import Record, Records, Status, Substatus, new_operation

RECORD = Record(
    registration="Reg-01",
    enrolment="individual/reg-01",
    device="pump-7",
    hub="",
    operation="4.x",
    ready_at=1.0,
    created_at=0.5,
    updated_at=1.25,
)


def test_what_is_told_depends_on_the_status() -> None:
    common = {"registrationId", "createdDateTimeUtc", "status", "lastUpdatedDateTimeUtc", "etag"}
    assert set(RECORD.state()) == common
    assigned = replace(RECORD, status=Status.ASSIGNED, substatus=Substatus.RESET, assigned_hub="h", payload=[1])
    assert set(assigned.state()) - common == {"assignedHub", "deviceId", "substatus", "payload"}
    assert assigned.state()["substatus"] == "deviceDataReset"
    failed = replace(RECORD, status=Status.FAILED, error_code=500001, error_message="away")
    assert set(failed.state()) - common == {"errorCode", "errorMessage"}
    assert failed.state()["lastUpdatedDateTimeUtc"] == "1970-01-01T00:00:01.2500000Z"


def test_an_etag_changes_with_the_record() -> None:
    assert RECORD.state()["etag"] == replace(RECORD).state()["etag"]
    assert RECORD.state()["etag"] != replace(RECORD, updated_at=2.0).state()["etag"]


def test_records_are_found_again(tmp_path: Path) -> None:
    with Documents(tmp_path / "state.db") as documents:
        records = Records(documents)
        records.put(RECORD)
        records.put(changed := replace(RECORD, status=Status.ASSIGNED, payload={"a": None}))
        assert records.get("reg-01") == changed
    with Documents(tmp_path / "state.db") as documents:
        assert Records(documents).all() == (changed,)
        assert Records(documents).get("reg-02") is None


def test_operations_have_the_form_of_the_clouds() -> None:
    assert re.fullmatch(r"4\.[0-9a-f]{16}\.[0-9a-f]{8}-[0-9a-f-]{27}", new_operation())
    assert new_operation() != new_operation()
