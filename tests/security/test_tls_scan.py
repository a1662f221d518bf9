"""The listeners as sslscan sees them: TLS 1.2 and 1.3, forward secrecy and authenticated encryption, nothing else."""

import asyncio
import re
from xml.etree import ElementTree as ET

import pytest

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
        f"{site.address}:{port}",
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SCAN_S):
        out, _ = await process.communicate()
    found = ET.fromstring(out).find("ssltest")
    assert found is not None, out
    return found


@pytest.mark.parametrize("certificates_asked", ["on", "off"])
async def test_a_listener_offers_what_is_safe_and_nothing_else(site: GatewaySite, certificates_asked: str) -> None:
    await site.gateway.start(GATEWAY_CLIENT_CERTIFICATES=certificates_asked, GATEWAY_WEBSOCKET_PORT="8443")
    for port in (8883, 5671, 8443):
        found = await scan(site, port)
        enabled = {
            f"{each.get('type')} {each.get('version')}"
            for each in found.findall("protocol")
            if each.get("enabled") == "1"
        }
        assert enabled == {"tls 1.2", "tls 1.3"}
        ciphers = {str(each.get("cipher")) for each in found.findall("cipher")}
        assert len(ciphers) >= 5, ciphers
        assert {cipher for cipher in ciphers if not FORWARD_SECRET.fullmatch(cipher)} == set()
        assert [each.get("supported") for each in found.findall("renegotiation")] == ["0"]
        assert {each.get("vulnerable") for each in found.findall("heartbleed")} == {"0"}
        weak = {each.get("name") for each in found.findall("group") if int(each.get("bits") or 0) < 112}
        assert weak == set()
