import asyncio
import json
from pathlib import Path

import pytest

from edgeca.authority import self_signed_device
from edgeca.credential import thumbprint_sha256
from edgewire.iothub import sas
from edgewire.iothub.dps import Registrant
from edgewire.message import identity
from standin.app import StandIn
from support.standin_commands import run, running

K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
Capture = pytest.CaptureFixture[str]


async def register(standin: StandIn, registration: str, key: str) -> None:
    """What a device with this key does."""
    registrant = Registrant(standin.dps.scope, registration)
    token = sas.make(str(registrant), sas.decode_key(key), 4_000_000_000)
    body = json.dumps({"registrationId": registration}).encode()
    standin.dps.register(standin.dps.admit(registrant, token, ()), body)
    async with asyncio.timeout(30):
        await standin.dps.until_idle()


async def test_enrolments_are_added_listed_shown_disabled_enabled_and_removed(
    standin: StandIn, capsys: Capture
) -> None:
    said = await run(standin, capsys, "enrolments", "add", "reg-01", "--key", K1, "--tags", '{"floor": 2}')
    first, primary, secondary = said.out.splitlines()
    assert first == "IdScope=0ne00STANDIN;RegistrationId=reg-01"
    assert primary == f"primaryKey={K1}"
    assert secondary.startswith("secondaryKey=")
    group = await run(standin, capsys, "enrolments", "add", "meters", "--group", "--disabled", "--json")
    assert json.loads(group.out)["enrolment"]["group"]
    await register(standin, "reg-01", K1)
    assert (await run(standin, capsys, "enrolments", "list")).out.splitlines() == [
        "reg-01  device, symmetricKey, enabled, 1 registered",
        "meters  group, symmetricKey, disabled, 0 registered",
    ]
    shown = json.loads((await run(standin, capsys, "enrolments", "show", "REG-01")).out)
    assert (shown["tags"], shown["registrations"][0]["status"]) == ({"floor": 2}, "assigned")
    assert (await run(standin, capsys, "enrolments", "disable", "reg-01")).out == "reg-01 is disabled\n"
    assert (await run(standin, capsys, "enrolments", "enable", "meters")).out == "meters is enabled\n"
    assert (await run(standin, capsys, "enrolments", "remove", "reg-01")).out == "reg-01 is removed\n"
    listed = json.loads((await run(standin, capsys, "enrolments", "list", "--json")).out)
    assert [each["name"] for each in listed["enrolments"]] == ["meters"]


async def test_keys_are_shown_only_when_asked_for(standin: StandIn, capsys: Capture) -> None:
    await run(standin, capsys, "enrolments", "add", "reg-01", "--key", K1)
    for words in (("show", "reg-01"), ("list",), ("list", "--json")):
        assert K1 not in (await run(standin, capsys, "enrolments", *words)).out
    assert K1 in (await run(standin, capsys, "enrolments", "show", "reg-01", "--keys")).out


async def test_the_key_of_a_device_of_a_group_lets_it_in(standin: StandIn, capsys: Capture) -> None:
    await run(standin, capsys, "enrolments", "add", "meters", "--group", "--key", K1)
    key = (await run(standin, capsys, "enrolments", "device-key", "meters", "Meter-1")).out.strip()
    await register(standin, "Meter-1", key)
    assert standin.hub.registry.get(identity("Meter-1")) is not None


async def test_certificates_are_enrolled_by_file_by_thumbprint_and_by_their_ca(
    standin: StandIn, capsys: Capture, tmp_path: Path
) -> None:
    credential = self_signed_device("cert-1")
    file = tmp_path / "cert.pem"
    file.write_bytes(credential.certificate_pem)
    await run(standin, capsys, "enrolments", "add", "cert-1", "--certificate", str(file), "--thumbprint", "A" * 40)
    shown = json.loads((await run(standin, capsys, "enrolments", "show", "cert-1")).out)
    assert shown["thumbprints"] == [thumbprint_sha256(credential.certificate), "A" * 40]
    await run(standin, capsys, "enrolments", "add", "fleet", "--group", "--ca", "issuing")
    shown = json.loads((await run(standin, capsys, "enrolments", "show", "fleet")).out)
    root = tmp_path / "root.pem"
    root.write_text(standin.trust_bundle)
    await run(standin, capsys, "enrolments", "add", "all", "--group", "--ca", str(root))
    other = json.loads((await run(standin, capsys, "enrolments", "show", "all")).out)
    assert shown["authority"].startswith("-----BEGIN CERTIFICATE-----")
    assert other["authority"] != shown["authority"]
    said = await run(standin, capsys, "enrolments", "device-key", "fleet", "x")
    assert (said.code, "have certificates" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("add", "reg 01"), 1, "is impossible"),
        (("add", "reg-01", "--key", "short"), 1, "the key is not base64"),
        (("add", "reg-01", "--thumbprint", "xyz"), 1, "no thumbprint"),
        (("add", "reg-01", "--device-id", "a b"), 1, "device id"),
        (("add", "reg-01", "--tags", "[1]"), 1, "tags is no JSON object"),
        (("add", "reg-01", "--tags", "{"), 2, "not JSON"),
        (("add", "reg-01", "--hub", "nowhere"), 1, "link it first"),
        (("add", "reg-01", "--certificate", "/nowhere.pem"), 2, "cannot be read"),
        (("add", "fleet", "--group", "--ca", "/nowhere.pem"), 2, "neither root nor issuing"),
        (("show", "reg-01"), 2, "there is no enrolment"),
        (("remove", "reg-01"), 1, "there is no enrolment"),
    ],
)
async def test_what_cannot_be_is_explained(
    standin: StandIn, capsys: Capture, words: tuple[str, ...], code: int, says: str
) -> None:
    said = await run(standin, capsys, "enrolments", *words)
    assert says in said.err
    assert said.code == code


async def test_a_name_of_a_device_and_a_group_needs_to_say_which(standin: StandIn, capsys: Capture) -> None:
    await run(standin, capsys, "enrolments", "add", "twice")
    await run(standin, capsys, "enrolments", "add", "twice", "--group")
    assert "say which" in (await run(standin, capsys, "enrolments", "disable", "twice")).err
    assert (await run(standin, capsys, "enrolments", "disable", "twice", "--group")).code == 0
    assert [each.enabled for each in standin.dps.enrolments.all()] == [True, False]


async def test_devices_are_assigned_to_a_linked_hub(standin: StandIn, capsys: Capture, tmp_path: Path) -> None:
    async with running(tmp_path / "other", "127.0.70.21") as other:
        linked = await run(standin, capsys, "linked-hubs", "add", str(other.directory))
        assert linked.out == "standin-hub.test is linked; its devices call 127.0.70.21\n"
        assert (await run(standin, capsys, "linked-hubs", "list")).out.startswith("standin-hub.test  127.0.70.21, ")
        words = ("add", "reg-01", "--key", K1, "--hub", "standin-hub.test", "--desired", '{"a": 1}')
        await run(standin, capsys, "enrolments", *words)
        await register(standin, "reg-01", K1)
        assert standin.dps.records.all()[0].assigned_hub == "127.0.70.21"
        assert other.hub.twin(identity("reg-01")).desired == {"a": 1}
        assert standin.hub.registry.get(identity("reg-01")) is None
    assert (await run(standin, capsys, "linked-hubs", "remove", "standin-hub.test")).code == 0
    assert (await run(standin, capsys, "linked-hubs", "remove", "standin-hub.test")).code == 1
