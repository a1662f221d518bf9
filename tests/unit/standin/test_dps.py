import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from edgewire.iothub import sas
from edgewire.iothub.dps import Registrant
from edgewire.message import identity
from standin.dps import MAX_POLLS, MAX_REGISTRATIONS, Answer, DpsOptions, Provisioning
from standin.dps_admission import Proven
from standin.dps_enrolments import Attestation, Enrolment, Reprovisioning, with_keys
from standin.dps_errors import DpsError
from standin.dps_hubs import AssignableHub, AssignError, Assignment, OwnHub
from standin.dps_records import Status, Substatus
from standin.hub import Hub
from standin.registry import RegistryError
from standin.routes import EVERYTHING_UPSTREAM

SCOPE = "0ne00STANDIN"
K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
K2 = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
REG = Registrant(SCOPE, "Reg-01")
DEVICE = identity("Reg-01")


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Elsewhere:
    """A linked hub that a test looks into, or has fail."""

    host = "127.0.0.8"

    def __init__(self) -> None:
        self.devices: dict[str, Assignment] = {}
        self.fails = False
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def assign(self, assignment: Assignment) -> bool:
        await self.goes_on.wait()
        if self.fails:
            raise AssignError("it is away")
        was_there = assignment.device in self.devices
        self.devices[assignment.device] = assignment
        return was_there

    async def sections(self, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.devices[device].tags, self.devices[device].desired

    async def release(self, device: str) -> None:
        del self.devices[device]


class Site:
    """A hub and its provisioning service."""

    def __init__(self, directory: Path, clock: Clock, elsewhere: Elsewhere, delay_s: float = 0) -> None:
        self.clock = clock
        self.elsewhere = elsewhere
        self.hub = Hub(directory, edge_device="edge-1", routes=EVERYTHING_UPSTREAM)
        hubs: dict[str, AssignableHub] = {"": OwnHub(self.hub, "127.0.0.7"), "other": elsewhere}
        self.dps = Provisioning(self.hub, hubs, DpsOptions(scope=SCOPE, delay_s=delay_s), clock=clock)

    def enrol(self, **changes: Any) -> Enrolment:
        enrolment = with_keys(Enrolment(name="reg-01", group=False, attestation=Attestation.SYMMETRIC_KEY), [K1, K2])
        return self.dps.enrolments.add(replace(enrolment, **changes))

    def change(self, **changes: Any) -> None:
        old = self.dps.enrolments.named("reg-01")
        self.dps.enrolments.remove(old)
        self.dps.enrolments.add(replace(old, **changes))

    def proven(self, registrant: Registrant = REG) -> Proven:
        return self.dps.admit(registrant, token(registrant), ())

    async def registered(self, payload: Any = None, proven: Proven | None = None) -> Answer:
        """The last answer of a registration, once its operation is over."""
        who = proven or self.proven()
        first = self.dps.register(who, request(payload))
        await idle()
        return self.dps.poll(who, first.body["operationId"])


def token(registrant: Registrant, key: str = K1) -> str:
    return sas.make(str(registrant), sas.decode_key(key), 1_800_003_600)


def request(payload: Any = None, registration: str = "Reg-01") -> bytes:
    return orjson.dumps({"registrationId": registration} | ({} if payload is None else {"payload": payload}))


async def idle() -> None:
    """Let the tasks of this loop run that wait for nothing outside."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def site(tmp_path: Path, clock: Clock) -> AsyncIterator[Site]:
    site = Site(tmp_path, clock, Elsewhere())
    async with site.dps:
        yield site
    site.hub.close()


async def test_an_enrolled_device_is_assigning_first_and_then_in_the_registry(site: Site) -> None:
    site.enrol(tags={"floor": 2}, desired={"interval": 5})
    proven = site.proven()
    first = site.dps.register(proven, request())
    assert (first.status, first.body["status"], first.retry_after_s) == (202, "assigning", 0)
    await idle()
    last = site.dps.poll(proven, first.body["operationId"])
    assert (last.status, last.body["status"], last.retry_after_s) == (200, "assigned", None)
    state = last.body["registrationState"]
    assert state.pop("etag")
    assert state == {
        "registrationId": "Reg-01",
        "createdDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "lastUpdatedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "status": "assigned",
        "substatus": "initialAssignment",
        "assignedHub": "127.0.0.7",
        "deviceId": "Reg-01",
    }
    entry = site.hub.registry.get(DEVICE)
    assert entry is not None
    assert (entry.primary_key, entry.secondary_key) == (K1, K2)
    assert (site.hub.twin(DEVICE).tags, site.hub.twin(DEVICE).desired) == ({"floor": 2}, {"interval": 5})


async def test_the_end_is_told_once_the_delay_is_over(tmp_path: Path, clock: Clock) -> None:
    site = Site(tmp_path, clock, Elsewhere(), delay_s=2.5)
    async with site.dps:
        site.enrol()
        proven = site.proven()
        first = site.dps.register(proven, request())
        await idle()
        operation = first.body["operationId"]
        assert first.retry_after_s == 3
        clock.now += 2
        assert (site.dps.poll(proven, operation).status, site.dps.poll(proven, operation).retry_after_s) == (202, 1)
        clock.now += 0.5
        assert site.dps.poll(proven, operation).status == 200
    site.hub.close()


@pytest.mark.parametrize(("own", "told"), [(None, {"model": "x"}), ({"from": "us"}, {"from": "us"})])
async def test_a_payload_comes_back_unless_the_enrolment_has_its_own(site: Site, own: Any, told: Any) -> None:
    site.enrol(payload=own)
    last = await site.registered({"model": "x"})
    assert last.body["registrationState"]["payload"] == told


async def test_the_device_may_have_another_id(site: Site) -> None:
    site.enrol(device="pump-7")
    last = await site.registered()
    assert last.body["registrationState"]["deviceId"] == "pump-7"
    assert site.hub.registry.get(identity("pump-7")) is not None


async def test_who_is_disabled_is_told_so_at_the_end(site: Site) -> None:
    site.enrol(enabled=False)
    last = await site.registered()
    state = last.body["registrationState"]
    assert (last.status, last.body["status"]) == (200, "disabled")
    assert (state["status"], state["errorCode"]) == ("disabled", 401002)
    assert "assignedHub" not in state
    assert site.hub.registry.get(DEVICE) is None


async def test_a_hub_that_does_not_take_the_device_is_a_failure(site: Site) -> None:
    site.elsewhere.fails = True
    site.enrol(hub="other")
    last = await site.registered()
    assert last.body["registrationState"]["errorMessage"] == "it is away"
    assert (last.body["status"], last.body["registrationState"]["errorCode"]) == ("failed", 500001)
    site.elsewhere.fails = False
    assert (await site.registered()).body["registrationState"]["assignedHub"] == "127.0.0.8"


async def test_a_hub_that_is_not_linked_is_a_failure(site: Site) -> None:
    site.enrol(hub="nowhere")
    assert (await site.registered()).body["status"] == "failed"


async def test_registering_again_keeps_the_twin(site: Site) -> None:
    site.enrol(desired={"interval": 5})
    await site.registered()
    site.hub.patch_desired(DEVICE, {"interval": 9})
    last = await site.registered()
    assert last.body["registrationState"]["substatus"] == "deviceDataMigrated"
    assert site.hub.twin(DEVICE).desired == {"interval": 9}


async def test_registering_again_resets_the_twin_where_that_is_wanted(site: Site) -> None:
    site.enrol(desired={"interval": 5}, reprovisioning=Reprovisioning.RESET)
    await site.registered()
    site.hub.patch_desired(DEVICE, {"interval": 9})
    last = await site.registered()
    assert last.body["registrationState"]["substatus"] == "deviceDataReset"
    assert site.hub.twin(DEVICE).desired == {"interval": 5}


async def test_a_device_that_was_removed_from_the_hub_begins_anew(site: Site) -> None:
    site.enrol(desired={"interval": 5})
    await site.registered()
    site.hub.remove(DEVICE)
    assert (await site.registered()).body["registrationState"]["substatus"] == "initialAssignment"
    assert site.hub.twin(DEVICE).desired == {"interval": 5}


async def test_a_device_that_comes_with_a_new_key_is_let_in_by_it(site: Site) -> None:
    site.enrol()
    await site.registered()
    site.change(primary_key=K2)
    assert (await site.registered(proven=site.dps.admit(REG, token(REG, K2), ()))).status == 200
    entry = site.hub.registry.get(DEVICE)
    assert entry is not None
    assert entry.primary_key == K2


@pytest.mark.parametrize(
    ("policy", "substatus", "desired"),
    [
        (Reprovisioning.KEEP, Substatus.MIGRATED, {"interval": 9}),
        (Reprovisioning.RESET, Substatus.RESET, {"interval": 5}),
    ],
)
async def test_a_device_moves_to_another_hub(
    site: Site, policy: Reprovisioning, substatus: Substatus, desired: dict[str, Any]
) -> None:
    site.enrol(desired={"interval": 5}, reprovisioning=policy)
    await site.registered()
    site.hub.patch_desired(DEVICE, {"interval": 9})
    site.change(hub="other")
    last = await site.registered()
    assert last.body["registrationState"]["assignedHub"] == "127.0.0.8"
    assert last.body["registrationState"]["substatus"] == substatus.value
    assert site.elsewhere.devices["Reg-01"].desired == desired
    assert site.hub.registry.get(DEVICE) is None


async def test_a_device_that_cannot_move_stays_where_it_is_and_moves_later(site: Site) -> None:
    site.enrol(desired={"interval": 5})
    await site.registered()
    site.change(hub="other")
    site.elsewhere.fails = True
    assert (await site.registered()).body["status"] == "failed"
    assert site.hub.twin(DEVICE).desired == {"interval": 5}
    site.elsewhere.fails = False
    assert (await site.registered()).body["registrationState"]["substatus"] == "deviceDataMigrated"
    site.change(hub="")
    assert (await site.registered()).body["registrationState"]["assignedHub"] == "127.0.0.7"
    assert site.hub.twin(DEVICE).desired == {"interval": 5}
    assert site.elsewhere.devices == {}


async def test_a_device_that_moves_and_is_gone_begins_anew(site: Site) -> None:
    site.enrol(desired={"interval": 5})
    await site.registered()
    site.hub.patch_desired(DEVICE, {"interval": 9})
    site.hub.remove(DEVICE)
    site.change(hub="other")
    await site.registered()
    assert site.elsewhere.devices["Reg-01"].desired == {"interval": 5}


async def test_a_second_request_goes_on_with_the_operation_that_runs(site: Site) -> None:
    site.enrol(hub="other")
    site.elsewhere.goes_on.clear()
    proven = site.proven()
    first = site.dps.register(proven, request())
    await idle()
    assert site.dps.register(proven, request()).body == first.body
    assert site.dps.poll(proven, first.body["operationId"]).status == 202
    site.elsewhere.goes_on.set()
    await idle()
    assert site.dps.poll(proven, first.body["operationId"]).status == 200


async def test_an_operation_survives_a_restart(tmp_path: Path, clock: Clock) -> None:
    elsewhere = Elsewhere()
    elsewhere.goes_on.clear()
    site = Site(tmp_path, clock, elsewhere)
    async with site.dps:
        site.enrol(hub="other")
        operation = site.dps.register(site.proven(), request({"a": 1})).body["operationId"]
        await idle()
    site.hub.close()
    elsewhere.goes_on.set()
    site = Site(tmp_path, clock, elsewhere)
    async with site.dps:
        proven = site.proven()
        assert site.dps.poll(proven, operation).status == 202
        await idle()
        last = site.dps.poll(proven, operation)
        assert last.body["registrationState"]["payload"] == {"a": 1}
        (record,) = site.dps.records.all()
        assert record.status is Status.ASSIGNED
    site.hub.close()


async def test_registration_ids_are_compared_without_case(site: Site) -> None:
    site.enrol()
    first = await site.registered()
    other = Registrant("0NE00standin", "REG-01")
    again = await site.registered(proven=site.proven(other))
    assert first.body["registrationState"]["deviceId"] == again.body["registrationState"]["deviceId"] == "Reg-01"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"{}",
        b'{"registrationId": 1}',
        b'{"registrationId": "other"}',
        b'{"registrationId": "reg-01", "tpm": {}}',
        b'{"registrationId": "reg-01", "payload": "' + b"x" * 98_304 + b'"}',
    ],
)
async def test_a_malformed_request_is_refused(site: Site, body: bytes) -> None:
    site.enrol()
    with pytest.raises(DpsError) as caught:
        site.dps.register(site.proven(), body)
    assert caught.value.code == 400004


async def test_an_operation_nobody_knows_is_not_found(site: Site) -> None:
    site.enrol()
    with pytest.raises(DpsError) as caught:
        site.dps.poll(site.proven(), "4.x")
    assert caught.value.status == 404
    await site.registered()
    with pytest.raises(DpsError):
        site.dps.poll(site.proven(), "4.x")


async def test_who_asks_too_often_is_told_when_to_come_back(site: Site, clock: Clock) -> None:
    site.enrol()
    proven = site.proven()
    operation = site.dps.register(proven, request()).body["operationId"]
    await idle()
    for _ in range(MAX_POLLS):
        site.dps.poll(proven, operation)
        clock.now += 1
    with pytest.raises(DpsError) as caught:
        site.dps.poll(proven, operation)
    assert (caught.value.status, caught.value.retry_after_s) == (429, 5)
    clock.now += 5
    assert site.dps.poll(proven, operation).status == 200


async def test_there_is_a_limit_of_registrations(site: Site, clock: Clock) -> None:
    site.enrol()
    proven = site.proven()
    for _ in range(MAX_REGISTRATIONS):
        site.dps.register(proven, request())
    with pytest.raises(DpsError) as caught:
        site.dps.register(proven, request())
    assert (caught.value.code, caught.value.retry_after_s) == (429001, 60)


async def test_a_stand_in_that_throttles_answers_429(site: Site) -> None:
    site.enrol()
    proven = site.proven()
    site.hub.faults.throttling = True
    with pytest.raises(DpsError) as caught:
        site.dps.register(proven, request())
    answer = site.dps.refusal(caught.value)
    assert (answer.status, answer.retry_after_s) == (429, 0)
    assert set(answer.body) == {"errorCode", "trackingId", "message", "info", "timestampUtc"}
    assert site.hub.counters["provisioning answered 429"] == 1


async def test_an_enrolment_that_is_gone_since_the_login_is_disabled(site: Site) -> None:
    enrolment = site.enrol()
    proven = site.proven()
    site.dps.enrolments.remove(enrolment)
    assert (await site.registered(proven=proven)).body["status"] == "disabled"


async def test_a_refused_login_is_counted(site: Site) -> None:
    with pytest.raises(DpsError) as caught:
        site.proven()
    assert caught.value.what == "Unauthorized"
    assert site.hub.counters["provisioning refused: unknown identity"] == 1


async def test_tokens_are_refused_on_purpose(site: Site) -> None:
    site.enrol()
    site.hub.faults.refusing_tokens = True
    with pytest.raises(DpsError):
        site.proven()
    assert site.hub.counters["provisioning refused: refusing tokens on purpose"] == 1


async def test_an_id_scope_has_letters_and_digits(site: Site) -> None:
    with pytest.raises(RegistryError, match="0ne-00"):
        Provisioning(site.hub, {}, DpsOptions(scope="0ne-00"))
