"""Certificates of a running gateway: replaced without a restart, warned of, revoked; seen by real TLS clients."""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.credential import Credential
from edgeca.files import Entry
from edgeca.folder import Folder, Made, Wish
from edgeca.keys import KeyType
from edgeca.profiles import Kind
from edgeca.revocation import Reason
from edgeca.revoking import Lists, target_of_entry
from edgewire.codec.amqp.conditions import UNAUTHORIZED_ACCESS
from edgewire.codec.amqp.performatives import Accepted
from edgewire.message import identity
from edgewire.session.amqp.events import LinkDetached
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import CaSigned, Registration, Roster
from support.amqp_device import AmqpDevice
from support.gateway_site import GatewaySite, until
from support.paho_device import Dial, dial, let_in
from support.whole_file import put

MQTT: Final = 8883
AMQP: Final = 5671
HTTPS: Final = 8443
SMALL_MQTT: Final = 8885
SMALL_HTTPS: Final = 8444
BOOTSTRAP: Final = 8080
RSA_EXCHANGE: Final = "AES128-SHA256:AES128-SHA"
STAYS: Final = "What was in force stays in force"


def now() -> datetime:
    return datetime.now(UTC)


class Files:
    """Certificate and key of some listeners in files, as an operator replaces them."""

    def __init__(self, site: GatewaySite, name: str) -> None:
        self.chain, self.key = site.folder / f"{name}.chain.pem", site.folder / f"{name}.key.pem"

    def write(self, credential: Credential) -> bytes:
        """Put this pair in place; its certificate, DER."""
        self.chain.write_bytes(credential.chain_pem)
        self.key.write_bytes(credential.key_pem)
        return credential.certificate.public_bytes(Encoding.DER)


def context_for(site: GatewaySite, port: int) -> ssl.SSLContext:
    if port not in (SMALL_MQTT, SMALL_HTTPS):
        return site.client_tls()
    context = site.client_tls(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(RSA_EXCHANGE)
    return context


async def served(site: GatewaySite, port: int) -> bytes:
    """The certificate that a new client is shown there, which it has checked."""
    _, writer = await asyncio.open_connection(site.address, port, ssl=context_for(site, port))
    shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert shown
    return shown


async def is_served(site: GatewaySite, port: int, certificate: bytes) -> bool:
    return await served(site, port) == certificate


@pytest.mark.parametrize("way", ["look", "SIGHUP"])
async def test_new_files_are_served_by_every_listener_and_connections_stay(
    site: GatewaySite, certificates: Path, way: str
) -> None:
    folder = Folder(certificates)
    files, small = Files(site, "server"), Files(site, "small")
    names = [site.address]
    old = files.write(folder.authority().issue_server(names))
    old_small = small.write(folder.authority().issue_server(names, key_type=KeyType.RSA_2048))
    await site.gateway.start(
        GATEWAY_CERTIFICATE_FILE=str(files.chain),
        GATEWAY_KEY_FILE=str(files.key),
        GATEWAY_WEBSOCKET_PORT=str(HTTPS),
        GATEWAY_CONSTRAINED_MQTT_PORT=str(SMALL_MQTT),
        GATEWAY_CONSTRAINED_HTTPS_PORT=str(SMALL_HTTPS),
        GATEWAY_CONSTRAINED_CERTIFICATE=str(small.chain),
        GATEWAY_CONSTRAINED_KEY=str(small.key),
        GATEWAY_BOOTSTRAP_PLAIN_PORT=str(BOOTSTRAP),
    )
    ports = dict.fromkeys((MQTT, AMQP, HTTPS), old) | dict.fromkeys((SMALL_MQTT, SMALL_HTTPS), old_small)
    for port, certificate in ports.items():
        assert await served(site, port) == certificate
    async with let_in(site, "d1") as device, let_in(site, "d2", Dial(port=HTTPS, websocket=True)) as over_websocket:
        await device.publish("before")
        new = files.write(folder.authority().issue_server(names))
        new_small = small.write(folder.authority().issue_server(names, key_type=KeyType.RSA_2048))
        if way == "SIGHUP":
            site.gateway.hang_up()
            await site.gateway.said("SIGHUP: certificates, keys, trust bundle and revocation lists are looked at")
        for port in ports:
            await until(partial(is_served, site, port, new if ports[port] == old else new_small))
        await device.publish("after")
        await over_websocket.publish("after, over WebSocket")
        await site.arrived(3)
    assert "disconnected" not in site.gateway.transcript().partition("server certificate reloaded")[0]


async def test_half_a_pair_is_never_served_and_is_told_once_with_what_to_do(
    site: GatewaySite, certificates: Path
) -> None:
    authority, files = Folder(certificates).authority(), Files(site, "server")
    old = files.write(authority.issue_server([site.address]))
    await site.gateway.start(GATEWAY_CERTIFICATE_FILE=str(files.chain), GATEWAY_KEY_FILE=str(files.key))
    new = authority.issue_server([site.address])
    for content, says in (
        (new.chain_pem, "the key does not belong to the first certificate"),
        (new.chain_pem[:300], "the chain holds no readable PEM certificate"),
    ):
        line = len(site.gateway.lines)
        files.chain.write_bytes(content)
        told = await site.gateway.said(says, after=line)
        assert STAYS in told
        assert await served(site, MQTT) == old
        assert await served(site, AMQP) == old
    told_before = sum(STAYS in line for line in site.gateway.lines)
    assert told_before == 2
    certificate = files.write(new)
    await until(partial(is_served, site, MQTT, certificate))
    assert sum(STAYS in line for line in site.gateway.lines) == 2
    assert (await site.metrics())["gateway_unusable_certificates_total"] == 2


async def test_small_boards_never_get_the_key_of_the_others(site: GatewaySite, certificates: Path) -> None:
    authority = Folder(certificates).authority()
    files, small = Files(site, "server"), Files(site, "small")
    shared = authority.issue_server([site.address], key_type=KeyType.RSA_2048)
    old = files.write(authority.issue_server([site.address]))
    old_small = small.write(authority.issue_server([site.address], key_type=KeyType.RSA_2048))
    await site.gateway.start(
        GATEWAY_CERTIFICATE_FILE=str(files.chain),
        GATEWAY_KEY_FILE=str(files.key),
        GATEWAY_CONSTRAINED_MQTT_PORT=str(SMALL_MQTT),
        GATEWAY_CONSTRAINED_CERTIFICATE=str(small.chain),
        GATEWAY_CONSTRAINED_KEY=str(small.key),
    )
    served_now = files.write(shared)
    await until(partial(is_served, site, MQTT, served_now))
    small.write(shared)
    told = await site.gateway.said("have the same key")
    assert STAYS in told
    assert await served(site, SMALL_MQTT) == old_small
    assert served_now != old


async def test_sighup_has_iot_edge_issue_a_new_certificate(site: GatewaySite) -> None:
    await site.gateway.start()
    before = await served(site, MQTT)
    async with let_in(site, "d1") as device:
        site.gateway.hang_up()

        async def is_new() -> bool:
            return await served(site, MQTT) != before

        await until(is_new)
        await device.publish("still here")
        await site.arrived(1)


# Revocation.


class Certified:
    """A site whose device `c1` comes by a certificate, and the lists that the gateway reads."""

    def __init__(self, site: GatewaySite, folder: Folder) -> None:
        self.site = site
        self.folder = folder
        self.devices: dict[str, Made] = {}
        self.place = site.folder / "crl.pem"
        self.lists = Lists(folder, now)

    def device(self, name: str) -> ssl.SSLContext:
        """Register and make it; the TLS that shows its certificate."""
        entry = Registration(identity(name), CaSigned())
        Registry(self.site.data / FILE_NAME).edit(partial(Roster.with_registration, registration=entry))
        self.devices[name] = made = self.folder.device(name)
        context = self.site.client_tls()
        context.load_cert_chain(made.entry.chain_path, made.entry.key_path)
        return context

    def publish(self) -> None:
        """Put the lists where the gateway reads them, whole."""
        put(self.place, (self.folder.directory / "crl.pem").read_bytes())

    def revoke(self, *names: str) -> None:
        """Take these back, and publish."""
        targets = [target_of_entry(self.folder, self.devices[name].entry) for name in names]
        self.lists.revoke(targets, Reason.KEY_COMPROMISE)
        self.publish()


@pytest.fixture
def certified(site: GatewaySite, tmp_path: Path) -> Certified:
    """Lists in which nobody stands yet. The folder of the CA is the test's own: what is revoked stays so."""
    folder = Folder(tmp_path / "devices-ca")
    folder.init()
    bundle = site.folder / "bundle.pem"
    bundle.write_bytes(site.root_file.read_bytes() + (folder.directory / "trust-bundle.pem").read_bytes())
    ready = Certified(site, folder)
    ready.lists.refresh(within=timedelta(days=1))
    ready.publish()
    site.gateway.environment |= {
        "GATEWAY_TRUST_BUNDLE_FILE": str(bundle),
        "GATEWAY_CRL_FILE": str(ready.place),
        "GATEWAY_WEBSOCKET_PORT": str(HTTPS),
    }
    return ready


def by_certificate(tls: ssl.SSLContext) -> Dial:
    return Dial(tls=tls, token="")


async def https_status(site: GatewaySite, device: str, tls: ssl.SSLContext) -> int:
    url = f"https://{site.address}:{HTTPS}/devices/{device}/messages/events?api-version=2020-03-13"
    async with aiohttp.ClientSession() as session, session.post(url, data=b"x", ssl=tls) as answer:
        return answer.status


async def test_who_is_revoked_is_disconnected_and_not_let_in_again_and_the_others_stay(
    certified: Certified,
) -> None:
    site = certified.site
    bad, good, over_amqp = (certified.device(name) for name in ("c1", "c2", "c3"))
    await site.gateway.start()
    async with (
        let_in(site, "c1", by_certificate(bad)) as revoked,
        let_in(site, "c2", by_certificate(good)) as other,
        AmqpDevice.dial(site, "EXTERNAL", tls=over_amqp) as connection,
    ):
        await revoked.publish("while it could")
        session = await connection.begin()
        link = await connection.sender(session, "/devices/c3/messages/events")
        assert not isinstance(link, str)
        assert await connection.tell(link, b"while it could") == Accepted()
        certified.revoke("c1", "c3")
        await site.gateway.said("2 revoked certificates in 2 lists; the connections of 2 end")
        await revoked.disconnects.next()
        await connection.until(lambda: bool(connection.said(LinkDetached)))
        assert await connection.sender(session, "/devices/c3/messages/events") == UNAUTHORIZED_ACCESS
        await other.publish("not disturbed")
        await site.arrived(3)
        async with dial(site, "c1", by_certificate(bad)) as again:
            assert await again.connects.next() == 5
        assert await https_status(site, "c1", bad) == 401
        assert await https_status(site, "c2", good) == 204
    assert "its certificate was revoked; give it a new one" in await site.gateway.said("'c1' from 127")
    assert await site.counted('gateway_refused_logins_total{reason="certificate_revoked"}', 3) == 3


async def test_a_new_certificate_brings_a_revoked_device_back(certified: Certified) -> None:
    site = certified.site
    certified.device("c1")
    certified.revoke("c1")
    certified.folder.device("c1", Wish(force=True))
    tls = site.client_tls()
    entry = certified.devices["c1"].entry
    tls.load_cert_chain(entry.chain_path, entry.key_path)
    await site.gateway.start()
    async with let_in(site, "c1", by_certificate(tls)) as device:
        await device.publish("back")
        await site.arrived(1)


async def test_an_issuing_ca_that_the_root_has_revoked_takes_its_devices_along(certified: Certified) -> None:
    site = certified.site
    tls = certified.device("c1")
    await site.gateway.start()
    async with let_in(site, "c1", by_certificate(tls)) as device:
        issuing = Entry(directory=certified.folder.directory, kind=Kind.ISSUING)
        certified.lists.revoke([target_of_entry(certified.folder, issuing)], Reason.CA_COMPROMISE)
        certified.publish()
        await device.disconnects.next()
    async with dial(site, "c1", by_certificate(tls)) as again:
        assert await again.connects.next() == 5


async def test_a_list_that_cannot_be_used_changes_nothing_and_is_told(certified: Certified) -> None:
    site = certified.site
    certified.device("c1")
    tls = certified.device("c2")
    certified.revoke("c1")
    await site.gateway.start()
    certified.place.write_text("garbage")
    told = await site.gateway.said("holds no list of revoked certificates that can be read")
    assert "The lists before stay in force" in told
    async with let_in(site, "c2", by_certificate(tls)):
        pass
    certified.revoke("c2")
    await site.gateway.said("2 revoked certificates in 2 lists")


@pytest.mark.parametrize(("when_old", "answer"), [("accept", 0), ("refuse", 5)])
async def test_a_list_past_its_next_update_is_told_and_means_what_the_setting_says(
    certified: Certified, when_old: str, answer: int
) -> None:
    site = certified.site
    tls = certified.device("c1")
    long_ago = Lists(certified.folder, lambda: now() - timedelta(days=5))
    long_ago.refresh(within=timedelta(days=1), days=3, force=True)
    certified.publish()
    await site.gateway.start(GATEWAY_CRL_WHEN_OLD=when_old)
    told = await site.gateway.said("revocation list of ")
    assert " ended 2 days ago: have its authority make a new one (`edgeca crl`)" in told
    async with dial(site, "c1", by_certificate(tls)) as device:
        assert await device.connects.next() == answer


# Warnings.


async def test_what_ends_soon_is_told_in_log_metric_twin_and_status(site: GatewaySite, certificates: Path) -> None:
    files = Files(site, "server")
    earlier = Folder(certificates, clock=lambda: now() - timedelta(days=100))
    files.write(earlier.authority().issue_server([site.address], days=105))
    await site.gateway.start(GATEWAY_CERTIFICATE_FILE=str(files.chain), GATEWAY_KEY_FILE=str(files.key))
    told = await site.gateway.said("server certificate ends in 5 days")
    assert f"write a new one over {files.chain} and its key over {files.key}" in told
    assert await site.counted('gateway_certificate_warnings_total{kind="server"}') == 1
    reported: Mapping[str, Any] = await site.reported(lambda all_: "certificates" in all_)
    assert reported["certificates"]["server%20certificate"]["state"] == "7 days"
    assert reported["certificateState"] == "7 days"
    status = {each["name"]: each for each in (await site.status())["certificates"]}
    assert status["server certificate"]["state"] == "7 days"
    assert status["server certificate"]["daysLeft"] in (4, 5)
    assert sum("server certificate ends in" in line for line in site.gateway.lines) == 1
    files.write(Folder(certificates).authority().issue_server([site.address]))
    site.gateway.hang_up()
    await site.reported(lambda all_: all_["certificates"]["server%20certificate"]["state"] == "good")


async def test_a_month_from_iot_edge_does_not_cry_from_the_start(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub")
    await site.gateway.said("connected upstream on behalf of devices")
    status = await site.status()
    assert [each["name"] for each in status["certificates"] if "upstream" in each["name"]]
    assert {each["state"] for each in status["certificates"]} == {"good"}
    assert status["certificates"][0]["name"] == "server certificate"
    assert " ends in " not in site.gateway.transcript()
