import asyncio
import base64
import json
import time
from pathlib import Path

import pytest

from edgewire.iothub import sas
from edgewire.message import UPSTREAM, Delivery, identity
from faults.inline import message
from gateway.doctor import kept
from gateway.doctor.finding import Verdict
from gateway.doctor.kept import check_devices, check_secrets, check_store, check_tokens
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import NoCredential, Registration
from gateway.store.segment import SEGMENT
from gateway.store.store import Store
from gateway.store.values import StoreLimits
from support.patients import findings, one, patient_of, verdicts

KEY = base64.b64encode(bytes(range(32))).decode()


async def fill(data: Path) -> None:
    store = Store.open(data / "store", StoreLimits(), lambda _event: None)
    for number in range(5):  # a batch each: damage at the very end would be a batch that was never acknowledged
        store.append([(message(b"%d" % number), (Delivery(UPSTREAM, 0),))], lambda _result: None)
        await store.flush()
    await store.close()


def test_a_good_store_is_good_and_none_is_not_checked(tmp_path: Path) -> None:
    assert one(check_store, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    (tmp_path / "store").mkdir()
    assert one(check_store, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    asyncio.run(fill(tmp_path))
    assert one(check_store, patient_of(tmp_path)).verdict is Verdict.OK


def test_a_damaged_store_is_a_problem_that_names_the_repair(tmp_path: Path) -> None:
    asyncio.run(fill(tmp_path))
    (segment,) = (tmp_path / "store").glob("*.segment")
    content = bytearray(segment.read_bytes())
    content[SEGMENT.size + 60] ^= 1
    segment.write_bytes(content)
    finding = one(check_store, patient_of(tmp_path))
    assert finding.verdict is Verdict.PROBLEM
    assert f"gateway store repair --data {tmp_path}" in finding.fix


def test_a_large_store_is_left_to_its_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(fill(tmp_path))
    monkeypatch.setattr(kept, "VERIFIED_BYTES", 10)
    assert "gateway store verify" in one(check_store, patient_of(tmp_path)).says


def test_a_registry_must_be_readable_and_closed_to_others(tmp_path: Path) -> None:
    assert one(check_devices, patient_of(tmp_path)).verdict is Verdict.WARNING
    file = tmp_path / FILE_NAME
    Registry(file).edit(lambda roster: roster.with_registration(Registration(identity("d"), NoCredential())))
    assert one(check_devices, patient_of(tmp_path)).says == "1 devices and 0 groups are registered"
    file.chmod(0o644)
    assert verdicts(findings(check_devices, patient_of(tmp_path))) == ["ok", "problem"]
    file.write_text("{")
    assert one(check_devices, patient_of(tmp_path)).verdict is Verdict.PROBLEM


def test_tokens_of_devices_that_have_ended_are_told(tmp_path: Path) -> None:
    assert one(check_tokens, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
    tokens = {
        name: sas.make(f"hub.test/devices/{name}", b"k" * 32, int(time.time() + life_s))
        for name, life_s in (("good", 600), ("old", -600))
    }
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps({"version": 1, "tokens": {"good": tokens["good"]}}))
    assert one(check_tokens, patient_of(tmp_path)).verdict is Verdict.OK
    file.write_text(json.dumps({"version": 1, "tokens": tokens}))
    finding = one(check_tokens, patient_of(tmp_path))
    assert (finding.verdict, "'old'" in finding.says) == (Verdict.WARNING, True)
    file.write_text("[]")
    assert one(check_tokens, patient_of(tmp_path)).verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"HostName=h;DeviceId=d;SharedAccessKey={KEY}", ""),
        ("HostName=h;DeviceId=d;x509=true", ""),
        (f"DeviceId=d;SharedAccessKey={KEY}", "no HostName"),
        ("HostName=h;SharedAccessKey=not-base64!", "a SharedAccessKey in base64"),
        ("HostName=h;SharedAccessKey=c2hvcnQ=", "a SharedAccessKey in base64"),
        ("HostName=h;DeviceId=d", "no SharedAccessKey"),
        ("HostName=h;SharedAccessSignature=SharedAccessSignature sr=h&sig=x&se=1", "has ended"),
        ("HostName=h;SharedAccessSignature=rubbish", "a token that is none"),
    ],
)
def test_a_connection_string_is_judged_by_its_form_and_never_shown(tmp_path: Path, text: str, wrong: str) -> None:
    found = findings(check_secrets, patient_of(tmp_path, EdgeHubConnectionString=text))
    assert bool(wrong) is ("problem" in verdicts(found))
    assert wrong in found[0].says
    assert KEY not in str(found)


def test_endpoints_need_their_secrets(tmp_path: Path) -> None:
    document = {
        "routes": {"a": 'FROM /messages/* INTO Endpoint("archive")'},
        "endpoints": {"archive": {"type": "eventhub"}},
    }
    finding = one(check_secrets, patient_of(tmp_path, document=document, GATEWAY_SECRETS_DIR=str(tmp_path)))
    assert finding.verdict is Verdict.PROBLEM
    good = f"Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=s;SharedAccessKey={KEY};EntityPath=h"
    patient = patient_of(tmp_path, document=document, GATEWAY_ENDPOINT_ARCHIVE_CONNECTION_STRING=good)
    assert one(check_secrets, patient).verdict is Verdict.OK
    assert one(check_secrets, patient_of(tmp_path)).verdict is Verdict.NOT_CHECKED
