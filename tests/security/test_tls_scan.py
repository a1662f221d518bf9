"""The listeners as sslscan sees them: TLS 1.2 and 1.3, forward secrecy and authenticated encryption, nothing else.

Those for small boards: TLS 1.2 and the four suites that such boards have, and the others are not changed by them.
"""

import asyncio
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.axtls_client import SUITES
from support.certificates import rsa_key, self_signed
from support.gateway_site import GatewaySite

SCAN_S = 60.0
FORWARD_SECRET = re.compile(
    r"ECDHE-(ECDSA|RSA)-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)|TLS_(AES_\d+_GCM|CHACHA20_POLY1305)_SHA\d+"
)


async def scan(site: GatewaySite, port: int) -> ET.Element:
    process = await asyncio.create_subprocess_exec(
        "sslscan",
        "--no-colour",
        "--xml=-",
        "--timeout=15",  # of each handshake; three seconds are the default
        f"{site.address}:{port}",
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SCAN_S):
        out, _ = await process.communicate()
    found = ET.fromstring(out).find("ssltest")
    assert found is not None, out
    return found


def enabled(found: ET.Element) -> set[str]:
    return {
        f"{each.get('type')} {each.get('version')}" for each in found.findall("protocol") if each.get("enabled") == "1"
    }


def ciphers_of(found: ET.Element) -> set[str]:
    return {str(each.get("cipher")) for each in found.findall("cipher")}


@pytest.mark.parametrize("certificates_asked", ["on", "off"])
@pytest.mark.parametrize("boards", [{}, {"GATEWAY_CONSTRAINED_MQTT_PORT": "8884"}], ids=["no boards", "boards"])
async def test_a_listener_offers_what_is_safe_and_nothing_else(
    site: GatewaySite, certificates_asked: str, boards: dict[str, str]
) -> None:
    await site.gateway.start(GATEWAY_CLIENT_CERTIFICATES=certificates_asked, GATEWAY_WEBSOCKET_PORT="8443", **boards)
    for port in (8883, 5671, 8443):
        found = await scan(site, port)
        assert enabled(found) == {"tls 1.2", "tls 1.3"}
        ciphers = ciphers_of(found)
        assert len(ciphers) >= 5, ciphers
        assert {cipher for cipher in ciphers if not FORWARD_SECRET.fullmatch(cipher)} == set()
        assert [each.get("supported") for each in found.findall("renegotiation")] == ["0"]
        assert {each.get("vulnerable") for each in found.findall("heartbleed")} == {"0"}
        weak = {each.get("name") for each in found.findall("group") if int(each.get("bits") or 0) < 112}
        assert weak == set()


async def test_the_listeners_for_small_boards_offer_their_four_suites_and_nothing_else(
    site: GatewaySite, tmp_path: Path
) -> None:
    small = self_signed("gateway", key=rsa_key(), addresses=(site.address,))
    (tmp_path / "small.pem").write_bytes(small.pem)
    (tmp_path / "small.key").write_bytes(small.key_pem)
    await site.gateway.start(
        GATEWAY_CONSTRAINED_MQTT_PORT="8884",
        GATEWAY_CONSTRAINED_HTTPS_PORT="8444",
        GATEWAY_CONSTRAINED_CERTIFICATE=str(tmp_path / "small.pem"),
        GATEWAY_CONSTRAINED_KEY=str(tmp_path / "small.key"),
    )
    for port in (8884, 8444):
        found = await scan(site, port)
        assert enabled(found) == {"tls 1.2"}
        assert ciphers_of(found) == {suite.name for suite in SUITES}
        assert [each.get("supported") for each in found.findall("renegotiation")] == ["0"]
        assert {each.get("vulnerable") for each in found.findall("heartbleed")} == {"0"}
        assert [each.get("supported") for each in found.findall("compression")] in ([], ["0"])
