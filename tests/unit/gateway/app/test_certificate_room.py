import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.folder import Folder, Made
from edgeca.revocation import Reason
from edgeca.revoking import Lists, target_of_entry
from edgeca.signing import utc_now
from edgewire.message import identity
from gateway.app import certificate_room
from gateway.app.certificate_room import CertificateRoom
from gateway.app.certificate_watch import Mark
from gateway.app.settings import ConfigError, read_environment
from gateway.dispatch.presence import Ending, Presence
from gateway.identity.authenticator import Authenticator
from gateway.identity.credentials import Admitted, Claim, RefusalReason, Refused
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import CaSigned, Registration, Roster
from gateway.observe.certificates import CertificateEndsSoon, CertificateKind, LookedAgain, RevocationListsReloaded
from gateway.observe.events import Event
from support.gateway_site import until

HUB = "hub.azure-devices.net"
DAY_S = 86_400.0


class Link:
    """A connected device."""

    def __init__(self) -> None:
        self.ended: list[Ending] = []

    def end(self, why: Ending) -> None:
        self.ended.append(why)

    def judge_again(self) -> None:
        raise AssertionError("the clock was not set")


@dataclass
class House:
    """A CA, a gateway's room, and a clock."""

    folder: Folder
    room: CertificateRoom
    authenticator: Authenticator
    presence: Presence
    events: list[Event]
    clock: list[float]
    made: dict[str, Made] = field(default_factory=dict)

    def log_in(self, device: str) -> Admitted | Refused:
        """By its certificate."""
        made = self.folder.device(device)
        self.made[device] = made
        chain = [made.credential.certificate, *made.credential.issuers[:-1]]
        shown = tuple(each.public_bytes(Encoding.DER) for each in chain)
        who = identity(device)
        return self.authenticator.authenticate(
            Claim(identity=who, hub=HUB, token=None, certificates=shown, now=self.clock[0])
        )

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def opened(
    tmp_path: Path, *devices: str, seen: x509.Certificate | None = None, **more: str
) -> AsyncIterator[House]:
    folder = Folder(tmp_path / "ca")
    folder.init()
    server = folder.server(["gateway.local"])
    Lists(folder, utc_now).refresh(within=timedelta(days=1))
    registry = Registry(tmp_path / FILE_NAME)
    for device in devices:
        entry = Registration(identity(device), CaSigned())
        registry.edit(partial(Roster.with_registration, registration=entry))
    environment = read_environment(
        {
            "GATEWAY_CERTIFICATE_FILE": str(server.entry.chain_path),
            "GATEWAY_KEY_FILE": str(server.entry.key_path),
            "GATEWAY_TRUST_BUNDLE_FILE": str(folder.directory / "trust-bundle.pem"),
            "GATEWAY_CRL_FILE": str(folder.directory / "crl.pem"),
            **more,
        }
    )
    events: list[Event] = []
    clock = [time.time()]
    room = CertificateRoom(environment, {}, events.append, seen_upstream=lambda: seen, clock=lambda: clock[0])
    await room.open()
    authenticator, presence = Authenticator(registry, [HUB], room.trusted), Presence()
    room.serve(authenticator, presence)
    house = House(folder, room, authenticator, presence, events, clock)
    house.made["server"] = server
    yield house


async def test_what_was_revoked_ends_who_is_connected_and_nobody_else(tmp_path: Path) -> None:
    async with opened(tmp_path, "d1", "d2") as house:
        links = {}
        for device in ("d1", "d2"):
            assert isinstance(house.log_in(device), Admitted)
            links[device] = Link()
            house.presence.enter(identity(device), links[device])
        targets = [target_of_entry(house.folder, house.made["d1"].entry)]
        Lists(house.folder, utc_now).revoke(targets, Reason.UNSPECIFIED)
        await house.room.look_again()
        assert links["d1"].ended == [Ending.CREDENTIALS_CHANGED]
        assert links["d2"].ended == []
        assert house.log_in("d2") != Refused(RefusalReason.CERTIFICATE_REVOKED)
        (event,) = house.told(RevocationListsReloaded)
        assert event.sentence().endswith("1 revoked certificates in 2 lists; the connections of 1 end")
        assert len(house.told(LookedAgain)) == 1


async def test_everything_is_followed_by_tasks_until_they_are_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("server_identity", "revocation_files"):
        monkeypatch.setattr(f"gateway.app.{module}.LOOK_EVERY_S", 0.001)
    async with opened(tmp_path, "d1") as house, asyncio.TaskGroup() as tasks:
        running = house.room.start(tasks)
        before = house.room.identity.security.certificate
        fresh = house.folder.authority().issue_server(["gateway.local"])
        house.made["server"].entry.chain_path.write_bytes(fresh.chain_pem)
        house.made["server"].entry.key_path.write_bytes(fresh.key_pem)
        await until(lambda: house.room.identity.security.certificate is not before)
        house.room.look_soon()
        await until(lambda: bool(house.told(LookedAgain)))
        for task in running:
            task.cancel()


async def test_all_that_ends_is_watched_each_once(tmp_path: Path) -> None:
    other = Folder(tmp_path / "hub")
    other.init()
    seen = other.server(["hub.example"]).credential.certificate
    async with opened(tmp_path, "d1", seen=seen) as house:
        kinds = [each.kind for each in house.room.watch.certificates()]
        assert kinds == [
            CertificateKind.SERVER,
            CertificateKind.SERVER_ISSUER,
            CertificateKind.TRUST_BUNDLE,
            CertificateKind.UPSTREAM,
            CertificateKind.REVOCATION_LIST,
            CertificateKind.REVOCATION_LIST,
        ]
        names = [each.name for each in house.room.watch.certificates()]
        assert names[0] == "server certificate"
        assert names[1].startswith("server issuer Edge test issuing CA ")
        assert names[3] == "server upstream hub.example"
        assert all(each.advice for each in house.room.watch.certificates())
        house.room.watch.look()
        assert house.told(CertificateEndsSoon) == []


async def test_devices_are_listed_when_their_certificates_near_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate_room, "MAX_DEVICES", 2)
    async with opened(tmp_path, "d1", "d2", "d3") as house:
        for device in ("d1", "d2", "d3"):
            assert isinstance(house.log_in(device), Admitted)
        assert not [each for each in house.room.watch.certificates() if each.kind is CertificateKind.DEVICE]
        house.clock[0] += 725 * DAY_S
        listed = [each for each in house.room.watch.certificates() if each.kind is CertificateKind.DEVICE]
        assert [each.name for each in listed] == ["certificate of device d1", "certificate of device d2"]
        assert {each.state for each in listed} == {Mark.WEEK}
        house.room.watch.look()
        (event, _) = [each for each in house.told(CertificateEndsSoon) if "device" in each.sentence()]
        assert "`edgeca renew d1`" in event.sentence()


async def test_who_came_by_a_certificate_and_left_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_room, "PRUNE_EVERY_S", 0.001)
    monkeypatch.setattr("gateway.identity.certified.ROOM", 0)
    async with opened(tmp_path, "d1") as house, asyncio.TaskGroup() as tasks:
        house.log_in("d1")
        running = house.room.start(tasks)
        await until(lambda: not len(house.authenticator.certified))
        for task in running:
            task.cancel()


async def test_lists_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"GATEWAY_CRL_FILE: .*none\.pem cannot be read"):
        async with opened(tmp_path, GATEWAY_CRL_FILE=str(tmp_path / "none.pem")):
            pass


async def test_without_small_boards_there_is_no_identity_for_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as house:
        assert house.room.constrained is None
        assert house.room.trust_pem().startswith(b"-----BEGIN CERTIFICATE-----")
